// Pinning host memory: whole pages, once, given back once, and refused in words.
#include <sys/mman.h>

#include <thread>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

using testing::HasSubstr;

class CudaPinTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Open());
  }
};

TEST_F(CudaPinTest, PinnedMemoryIsCopiedDirectly) {
  HostBuffer host(256 * kKiB);
  host.FillRandom(1);
  char* const device = Device(host.size());
  slipway_pin* const pin = Pin(host);
  WriteDevice(device, host, host.size());
  EXPECT_EQ(Stat("ring_bytes"), 0u);
  EXPECT_EQ(Stat("pinned_bytes"), host.size());
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
  EXPECT_EQ(Stat("pinned_bytes"), 0u);
  EXPECT_EQ(ReadDevice(device, host.size()), host.view()) << "and unpinned memory through the ring";
  EXPECT_GT(Stat("ring_bytes"), 0u);
}

TEST_F(CudaPinTest, OnlyWholePagesThatAreThere) {
  HostBuffer host(64 * kKiB);
  slipway_pin* pin = nullptr;
  EXPECT_EQ(TryPin(host.data() + 1, 4096, &pin), SLIPWAY_E_INVALID);
  EXPECT_EQ(TryPin(host.data(), 4095, &pin), SLIPWAY_E_INVALID);
  EXPECT_EQ(TryPin(host.data(), 0, &pin), SLIPWAY_E_INVALID);
  EXPECT_EQ(TryPin(nullptr, 4096, &pin), SLIPWAY_E_INVALID);
  EXPECT_EQ(pin, nullptr);
}

TEST_F(CudaPinTest, APinAndItsNeighbourServeOnePiece) {
  HostBuffer host(192 * kKiB);
  host.FillRandom(2);
  char* const device = Device(host.size());
  slipway_pin *first = nullptr, *second = nullptr;
  ASSERT_EQ(TryPin(host.data(), 64 * kKiB, &first), SLIPWAY_OK);
  ASSERT_EQ(TryPin(host.data() + 64 * kKiB, 64 * kKiB, &second), SLIPWAY_OK);
  // Over both pins; over a pin and what is not pinned; and back.
  Copy({Up(device, host.data(), 128 * kKiB)});
  EXPECT_EQ(Stat("ring_bytes"), 0u);
  Copy({Up(device + 100 * kKiB, host.data() + 100 * kKiB, 92 * kKiB)});
  EXPECT_GT(Stat("ring_bytes"), 0u);
  EXPECT_EQ(ReadDevice(device, host.size()), host.view());
  const std::string bytes(host.view());
  host.Fill(0);
  Copy({Down(host.data(), device, host.size())});
  EXPECT_EQ(host.view(), bytes);
}

TEST_F(CudaPinTest, WhatTheApplicationPinnedIsUsedAndLeftAlone) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer host(64 * kKiB);
  host.FillRandom(3);
  slipway_provider* other = nullptr;  // as good as an application
  ASSERT_EQ(TryOpen(kSmallRing, &other), SLIPWAY_OK);
  slipway_pin *theirs = nullptr, *ours = nullptr;
  ASSERT_EQ(t_.pin_host(other, host.data(), host.size(), &theirs, &error_), SLIPWAY_OK);
  EXPECT_EQ(TryPin(host.data(), host.size(), &ours), SLIPWAY_E_BUSY);
  EXPECT_THAT(error_.message, HasSubstr("application"));
  char* const device = Device(host.size());
  WriteDevice(device, host, host.size());
  EXPECT_EQ(Stat("ring_bytes"), 0u) << "it is pinned, so it goes directly";
  const uint64_t registrations = FakeCounts().registrations;
  Close();
  EXPECT_EQ(FakeCounts().registrations, registrations - 1) << "the ring's, not theirs";
  t_.destroy(other);
}

TEST_F(CudaPinTest, ARefusalIsRetryableAndSaysWhatToDo) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer host(64 * kKiB);
  slipway_pin* pin = nullptr;
  for (const int32_t result : {2, 304, 800}) {
    FakeCuda()->fail("cuMemHostRegister_v2", result, 0, 1);
    EXPECT_EQ(TryPin(host.data(), host.size(), &pin), SLIPWAY_E_PIN_LIMIT) << result;
    EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
    EXPECT_EQ(error_.native, result);
    EXPECT_THAT(error_.message, HasSubstr("pin less"));
  }
  FakeCuda()->fail("cuMemHostRegister_v2", 1, 0, 1);
  EXPECT_EQ(TryPin(host.data(), host.size(), &pin), SLIPWAY_E_INVALID);
  FakeCuda()->fail("cuMemHostRegister_v2", 801, 0, 1);
  EXPECT_EQ(TryPin(host.data(), host.size(), &pin), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(Stat("pins_refused"), 5u);
  EXPECT_EQ(Stat("pinned_bytes"), 0u);
  EXPECT_EQ(TryPin(host.data(), host.size(), &pin), SLIPWAY_OK) << "and it works again";
}

TEST_F(CudaPinTest, AnUnpinThatFailsKeepsThePin) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer host(64 * kKiB);
  slipway_pin* const pin = Pin(host);
  FakeCuda()->fail("cuMemHostUnregister", 999, 0, 1);
  EXPECT_EQ(Unpin(pin), SLIPWAY_E_DEVICE);
  EXPECT_EQ(Stat("pinned_bytes"), host.size());
  slipway_pin* again = nullptr;
  EXPECT_EQ(TryPin(host.data(), host.size(), &again), SLIPWAY_E_BUSY);
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
  EXPECT_EQ(Unpin(pin), SLIPWAY_E_INVALID) << "once";
}

TEST_F(CudaPinTest, AUnpinOfWhatSomebodyElseUnpinnedIsDone) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer host(64 * kKiB);
  slipway_pin* const pin = Pin(host);
  FakeCuda()->unregister(host.data());
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
  EXPECT_EQ(Stat("pinned_bytes"), 0u);
}

TEST_F(CudaPinTest, ThreadsPinAtOnce) {
  constexpr int kThreads = 4, kRounds = 50;
  HostBuffer host(kThreads * 64 * kKiB);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        slipway_pin* pin = nullptr;
        ASSERT_EQ(t_.pin_host(provider_, host.data() + t * 64 * kKiB, 64 * kKiB, &pin, nullptr), SLIPWAY_OK);
        ASSERT_EQ(t_.unpin_host(provider_, pin, nullptr), SLIPWAY_OK);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(Stat("pinned_bytes"), 0u);
}

}  // namespace
}  // namespace slipway::test
