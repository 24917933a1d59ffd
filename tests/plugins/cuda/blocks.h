// Blocks of one length, apart from one another on the device, and what both sides of them are.
#ifndef SLIPWAY_TESTS_PLUGINS_CUDA_BLOCKS_H_
#define SLIPWAY_TESTS_PLUGINS_CUDA_BLOCKS_H_

#include <vector>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {

class CudaBlocksTest : public CudaTest {
 protected:
  static constexpr int32_t kLaunchFailed = 719;
  static constexpr size_t kBlock = 4 * kKiB, kBlocks = 512;

  void SetUp() override {
    CudaTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Open());
    device_ = Device(2 * kBlock * kBlocks);
    host_memory_.FillRandom(3);
    pin_ = Pin(host_memory_);
  }
  void TearDown() override {
    if (FakeCuda() != nullptr) FakeCuda()->hold(0);
    CudaTest::TearDown();
  }
  // To the device.
  std::vector<slipway_copy> Blocks() {
    std::vector<slipway_copy> pieces;
    for (size_t i = 0; i < kBlocks; ++i) {
      pieces.push_back(Up(device_ + 2 * i * kBlock, host_memory_.data() + i * kBlock, kBlock));
    }
    return pieces;
  }
  // That they are there.
  void ExpectBlocks(const HostBuffer& expected) {
    for (size_t i = 0; i < kBlocks; i += 37) {
      ASSERT_EQ(ReadDevice(device_ + 2 * i * kBlock, kBlock), expected.view(i * kBlock, kBlock)) << i;
    }
  }
  void ExpectBlocks() { ExpectBlocks(host_memory_); }
  // The completion of what is in flight, which has no other.
  slipway_completion Only() {
    const std::vector<slipway_completion> done = Drain(1);
    EXPECT_TRUE(Poll().empty());
    return done.empty() ? slipway_completion{} : done[0];
  }

  HostBuffer host_memory_{kBlock * kBlocks};
  char* device_ = nullptr;
  slipway_pin* pin_ = nullptr;
};

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_PLUGINS_CUDA_BLOCKS_H_
