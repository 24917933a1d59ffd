// Completions come, once each, polled or woken for; back-pressure, and ends in the middle of copies.
#include <thread>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

class CudaProgressTest : public CudaTest {
 protected:
  void TearDown() override {
    if (FakeCuda() != nullptr) FakeCuda()->hold(0);
    CudaTest::TearDown();
  }
  void Submit(const std::vector<slipway_copy>& pieces) {
    uint32_t accepted = 0;
    ASSERT_EQ(CudaTest::Submit(pieces, &accepted), SLIPWAY_OK) << error_.message;
    ASSERT_EQ(accepted, pieces.size());
  }
};

TEST_F(CudaProgressTest, TheCoreIsWokenWithoutPolling) {
  Open();
  HostBuffer pinned(256 * kKiB), pageable(256 * kKiB);
  Pin(pinned);
  char* const device = Device(256 * kKiB);
  // Directly, by the ring with the caller's copying, by the ring with the threads'.
  const std::vector<slipway_copy> pieces[] = {
      {Up(device, pinned.data(), 4096)},         {Down(pageable.data(), device, 4096)},
      {Up(device, pageable.data(), 4096)},       {Down(pageable.data(), device, 256 * kKiB)},
      {Up(device, pageable.data(), 256 * kKiB)}, {Up(device, pageable.data(), 0)}};
  for (const auto& p : pieces) {
    const uint64_t before = host_.wakes(cookie());
    Submit(p);
    EXPECT_TRUE(WaitUntil([&] { return host_.wakes(cookie()) > before; })) << p[0].length;
    std::vector<slipway_completion> done = Poll();
    ASSERT_EQ(done.size(), 1u) << "woken before there was a completion";
    EXPECT_EQ(done[0].status, SLIPWAY_OK);
  }
}

TEST_F(CudaProgressTest, WakingGoesOnWithATestsClock) {
  host_.StopClock();
  Open();
  HostBuffer pageable(512 * kKiB);
  char* const device = Device(512 * kKiB);
  Submit({Up(device, pageable.data(), 512 * kKiB)});
  EXPECT_TRUE(WaitUntil([&] { return host_.wakes(cookie()) > 0; }));
  Drain(1);
}

// What is alone and short is told of by a flag that the device sets, and by its event where it cannot.
TEST_F(CudaProgressTest, WhatIsAloneIsToldOfByItsFlag) {
  SLIPWAY_NEEDS_FAKE();
  constexpr int32_t kNotReady = 600, kNotSupported = 801;
  Open();
  HostBuffer pinned(64 * kKiB), pageable(64 * kKiB);
  Pin(pinned);
  char* const device = Device(64 * kKiB);
  for (const bool sets_flags : {true, false}) {
    for (const slipway_copy& piece :
         {Up(device, pinned.data(), 4096), Down(pinned.data(), device, 4096), Down(pageable.data(), device, 100)}) {
      if (sets_flags) FakeCuda()->fail("cuEventQuery", kNotReady, 0, UINT32_MAX);
      if (!sets_flags) FakeCuda()->fail("cuStreamWriteValue32_v2", kNotSupported, 0, 1);
      Submit({piece});
      const std::vector<slipway_completion> done = Drain(1);
      FakeCuda()->fail("cuEventQuery", 0, 0, 0);
      ASSERT_EQ(done.size(), 1u);
      EXPECT_EQ(done[0].status, SLIPWAY_OK);
    }
  }
}

TEST_F(CudaProgressTest, NothingCompletesBeforeItIsThere) {
  SLIPWAY_NEEDS_FAKE();
  Open();
  HostBuffer pinned(64 * kKiB), pageable(64 * kKiB);
  Pin(pinned);
  char* const device = Device(64 * kKiB);
  FakeCuda()->hold(1);
  Submit({Up(device, pinned.data(), 4096), Down(pageable.data(), device + 8192, 100),
          Up(device + 16384, pageable.data(), 64)});
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(Poll().empty());
  EXPECT_EQ(t_.queue_close(queue_), SLIPWAY_E_BUSY);
  FakeCuda()->hold(0);
  Drain(3);
  EXPECT_EQ(host_.wakes(nullptr), 0u);
}

// The caller may reuse a source when its piece has completed, and not before the bytes have left it.
TEST_F(CudaProgressTest, ASourceIsFreeWhenItsPieceHasCompleted) {
  Open();
  HostBuffer source(64 * kKiB);
  char* const device = Device(16 * source.size());
  for (int i = 0; i < 16; ++i) {
    source.Fill(static_cast<char>('a' + i));
    Copy({Up(device + i * source.size(), source.data(), source.size())});
  }
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(ReadDevice(device + i * source.size(), source.size()),
              std::string(source.size(), static_cast<char>('a' + i)));
  }
}

TEST_F(CudaProgressTest, TooMuchIsBackPressureNotAnError) {
  SLIPWAY_NEEDS_FAKE();
  Open(R"("ring_bytes": "1MiB", "ring_chunk_bytes": "128KiB", "max_inflight": 100)");
  HostBuffer pinned(64 * kKiB);
  Pin(pinned);
  char* const device = Device(64 * kKiB);
  FakeCuda()->hold(1);
  std::vector<slipway_copy> pieces;
  for (int i = 0; i < 150; ++i) pieces.push_back(Up(device + i * 64, pinned.data() + i * 64, 64));
  uint32_t accepted = 0;
  EXPECT_EQ(CudaTest::Submit(pieces, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 100u);
  EXPECT_EQ(CudaTest::Submit({pieces.back()}, &accepted), SLIPWAY_E_AGAIN);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  FakeCuda()->hold(0);
  Drain(100);
  EXPECT_EQ(CudaTest::Submit({pieces.back()}, &accepted), SLIPWAY_OK);
  Drain(1);
}

// Commands on a stream are bounded, since the driver blocks its callers beyond that.
TEST_F(CudaProgressTest, AStreamIsNotFilledUntilTheDriverBlocks) {
  SLIPWAY_NEEDS_FAKE();
  Open(R"("method": "single")");
  HostBuffer pinned(kMiB);
  Pin(pinned);
  char* const device = Device(kMiB);
  FakeCuda()->hold(1);
  std::vector<slipway_copy> pieces;
  for (int i = 0; i < 4000; ++i) pieces.push_back(Up(device + i * 64, pinned.data() + i * 64, 64));
  uint32_t accepted = 0, all = 0;
  while (CudaTest::Submit({pieces.begin() + all, pieces.end()}, &accepted) == SLIPWAY_OK && accepted > 0)
    all += accepted;
  EXPECT_LT(all, 1024u);
  EXPECT_GT(all, 100u);
  FakeCuda()->hold(0);
  Drain(all);
}

TEST_F(CudaProgressTest, MoreThanTheRingHoldsAtOnce) {
  Open(R"("ring_bytes": "256KiB", "ring_chunk_bytes": "64KiB", "copy_threads": 3)");
  HostBuffer in(4 * kMiB), out(4 * kMiB);
  in.FillRandom(9);
  char *const device = Device(in.size()), *const other = Device(in.size());
  WriteDevice(other, in, in.size());
  // Both ways at once, so that lanes take turns.
  Copy({Up(device, in.data(), in.size()), Down(out.data(), other, in.size())});
  EXPECT_EQ(out.view(), in.view());
  EXPECT_EQ(ReadDevice(device, in.size()), in.view());
}

TEST_F(CudaProgressTest, ASmallCopyDoesNotWaitForALongOne) {
  Open(R"("ring_bytes": "512KiB", "ring_chunk_bytes": "64KiB", "copy_threads": 1, "inline_bytes": 0)");
  HostBuffer large(32 * kMiB), small(4096);
  char *const device = Device(large.size()), *const other = Device(4096);
  slipway_copy_queue* second = nullptr;
  ASSERT_EQ(t_.queue_open(provider_, nullptr, &second, &error_), SLIPWAY_OK);
  Submit({Up(device, large.data(), large.size())});
  const slipway_copy piece = Up(other, small.data(), 4096);
  uint32_t accepted = 0, n = 0;
  slipway_completion done{};
  ASSERT_EQ(t_.copy_submit(second, &piece, sizeof(piece), 1, &accepted, &error_), SLIPWAY_OK);
  EXPECT_TRUE(WaitUntil([&] {
    t_.copy_poll(second, &done, sizeof(done), 1, &n);
    return n == 1;
  }));
  // Of 512 chunks of the long one, its turn came after a few.
  EXPECT_LT(Stat("ring_bytes"), large.size() / 2);
  EXPECT_EQ(t_.queue_close(second), SLIPWAY_OK);
  Drain(1);
}

TEST_F(CudaProgressTest, QueuesOfSeveralThreadsShareTheRing) {
  Open(R"("ring_bytes": "1MiB", "ring_chunk_bytes": "64KiB", "copy_threads": 2)");
  constexpr int kThreads = 3;
  constexpr size_t kBytes = kMiB;
  std::vector<std::thread> threads;
  std::vector<char*> device;
  for (int t = 0; t < kThreads; ++t) device.push_back(Device(kBytes));
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      slipway_copy_queue* queue = nullptr;
      ASSERT_EQ(t_.queue_open(provider_, &device, &queue, nullptr), SLIPWAY_OK);
      HostBuffer in(kBytes), out(kBytes);
      in.FillRandom(static_cast<uint64_t>(t));
      const auto copy = [&](slipway_copy piece) {
        uint32_t accepted = 0, n = 0;
        slipway_completion done{};
        ASSERT_EQ(t_.copy_submit(queue, &piece, sizeof(piece), 1, &accepted, nullptr), SLIPWAY_OK);
        ASSERT_TRUE(WaitUntil([&] {
          t_.copy_poll(queue, &done, sizeof(done), 1, &n);
          return n == 1;
        }));
        ASSERT_EQ(done.status, SLIPWAY_OK);
      };
      for (int i = 0; i < 5; ++i) {
        copy({1, device[static_cast<size_t>(t)], in.data(), kBytes, kCuda, kHost});
        copy({2, out.data(), device[static_cast<size_t>(t)], kBytes, kHost, kCuda});
        EXPECT_EQ(out.view(), in.view());
      }
      EXPECT_EQ(t_.queue_close(queue), SLIPWAY_OK);
    });
  }
  for (std::thread& t : threads) t.join();
}

TEST_F(CudaProgressTest, DestroyingWaitsForWhatIsUnderWay) {
  Open();
  HostBuffer pageable(4 * kMiB);
  char* const device = Device(pageable.size());
  Submit({Up(device, pageable.data(), pageable.size())});
  memory_->dealloc(provider_, nullptr);
  t_.destroy(provider_);  // neither polled nor closed
  provider_ = nullptr;
  queue_ = nullptr;
  allocated_.clear();
  if (FakeCuda() != nullptr) FakeCuda()->release(device);
}

}  // namespace
}  // namespace slipway::test
