// Unpinning host memory beside copies that use it: not while they fly, and what comes meanwhile goes another way.
#include <atomic>
#include <thread>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

using testing::HasSubstr;

class CudaUnpinTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Open());
    device_ = Device(kMiB);
  }
  void TearDown() override {
    if (FakeCuda() != nullptr) FakeCuda()->hold(0);
    CudaTest::TearDown();
  }
  slipway_pin* PinPart(HostBuffer& host, size_t offset, size_t length) {
    slipway_pin* pin = nullptr;
    EXPECT_EQ(TryPin(host.data() + offset, length, &pin), SLIPWAY_OK) << error_.message;
    return pin;
  }
  void SubmitAll(const std::vector<slipway_copy>& pieces) {
    uint32_t accepted = 0;
    ASSERT_EQ(Submit(pieces, &accepted), SLIPWAY_OK) << error_.message;
    ASSERT_EQ(accepted, pieces.size());
  }

  char* device_ = nullptr;
};

TEST_F(CudaUnpinTest, WhatCopiesInFlightUseStaysPinnedAndNothingElse) {
  SLIPWAY_NEEDS_FAKE();
  for (const uint64_t delta : {uint64_t{0}, uint64_t{1} << 40}) {
    Close();
    FakeCuda()->set_host_delta(delta);
    ASSERT_NO_FATAL_FAILURE(Open());
    device_ = Device(kMiB);
    HostBuffer host(256 * kKiB);
    slipway_pin* const used = PinPart(host, 0, 64 * kKiB);
    slipway_pin* const other = PinPart(host, 64 * kKiB, 64 * kKiB);
    slipway_pin* const many = PinPart(host, 128 * kKiB, 64 * kKiB);
    FakeCuda()->hold(1);
    SubmitAll({Up(device_, host.data() + 60 * kKiB, 4 * kKiB)});
    std::vector<slipway_copy> pieces;
    for (size_t i = 0; i < 100; ++i) {
      pieces.push_back(Down(host.data() + 128 * kKiB + i * 512, device_ + 64 * kKiB + i * 512, 512));
    }
    SubmitAll(pieces);
    EXPECT_EQ(Unpin(used), SLIPWAY_E_BUSY);
    EXPECT_THAT(error_.message, HasSubstr("in flight"));
    EXPECT_EQ(Unpin(many), SLIPWAY_E_BUSY);
    EXPECT_EQ(Unpin(other), SLIPWAY_OK) << "its neighbours are used, and it is not";
    EXPECT_EQ(Stat("pinned_bytes"), 128 * kKiB);
    FakeCuda()->hold(0);
    Drain(101);
    EXPECT_EQ(Unpin(used), SLIPWAY_OK);
    EXPECT_EQ(Unpin(many), SLIPWAY_OK);
    EXPECT_EQ(Stat("pinned_bytes"), 0u);
  }
}

TEST_F(CudaUnpinTest, ACopyThatHasLandedHoldsNothingThoughNobodyPolledIt) {
  HostBuffer host(64 * kKiB);
  slipway_pin* const pin = Pin(host);
  SubmitAll({Up(device_, host.data(), 4 * kKiB)});
  EXPECT_TRUE(WaitUntil([&] { return host_.wakes(cookie()) > 0; }));
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
  Drain(1);
}

TEST_F(CudaUnpinTest, QueuesOfOtherInstancesCount) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer host(64 * kKiB);
  slipway_provider* other = nullptr;
  ASSERT_EQ(TryOpen(kSmallRing, &other), SLIPWAY_OK);
  slipway_pin* theirs = nullptr;
  ASSERT_EQ(t_.pin_host(other, host.data(), host.size(), &theirs, &error_), SLIPWAY_OK);
  FakeCuda()->hold(1);
  SubmitAll({Up(device_, host.data(), 4 * kKiB)});
  EXPECT_EQ(t_.unpin_host(other, theirs, &error_), SLIPWAY_E_BUSY);
  FakeCuda()->hold(0);
  Drain(1);
  EXPECT_EQ(t_.unpin_host(other, theirs, &error_), SLIPWAY_OK);
  t_.destroy(other);
}

// Pins come and go while copies use the same memory: each copy goes directly or through the ring, and arrives.
TEST_F(CudaUnpinTest, CopiesAndPinsOfTheSameMemoryAtOnce) {
  constexpr size_t kPart = 16 * kKiB;
  HostBuffer host(4 * kPart);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> unpinned{0};
  std::thread pinner([&] {
    for (size_t i = 0; !stop.load(); ++i) {
      slipway_pin* pin = nullptr;
      if (t_.pin_host(provider_, host.data() + i % 4 * kPart, kPart, &pin, nullptr) != SLIPWAY_OK) continue;
      while (t_.unpin_host(provider_, pin, nullptr) != SLIPWAY_OK) std::this_thread::yield();
      ++unpinned;
    }
  });
  for (uint64_t i = 0; !HasFailure() && (i < 50 || unpinned.load() < 10); ++i) {
    host.FillRandom(i);
    Copy({Up(device_, host.data(), host.size())});
    const std::string sent(host.view());
    host.Fill(0);
    Copy({Down(host.data(), device_, host.size())});
    EXPECT_EQ(host.view(), sent) << i;
  }
  stop.store(true);
  pinner.join();
  EXPECT_EQ(Stat("failed"), 0u);
  EXPECT_EQ(Stat("pinned_bytes"), 0u);
}

}  // namespace
}  // namespace slipway::test
