// Groups of pieces: what their one completion says, and when.
#include "tests/plugins/cuda/blocks.h"

namespace slipway::test {
namespace {

using CudaGroupTest = CudaBlocksTest;

TEST_F(CudaGroupTest, BlocksOfOneLengthAreFewLaunchesAndOneCompletion) {
  uint32_t accepted = 0;
  ASSERT_EQ(SubmitGroup(77, Blocks(), &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, kBlocks);
  const slipway_completion done = Only();
  EXPECT_EQ(done.token, 77u);
  EXPECT_EQ(done.status, SLIPWAY_OK);
  EXPECT_EQ(done.bytes, kBlock * kBlocks);
  EXPECT_EQ(Stat("kernel_copies"), kBlocks);
  EXPECT_LE(Stat("kernel_launches"), 3u);
  EXPECT_EQ(Stat("pieces"), kBlocks);
  EXPECT_LE(Stat("address_queries"), 4u);
  ExpectBlocks();
}

TEST_F(CudaGroupTest, TheCoreIsWokenWhenAllOfItIsDone) {
  uint32_t accepted = 0;
  HostBuffer pageable(kMiB);
  std::vector<slipway_copy> pieces = Blocks();
  pieces.push_back(Up(device_ + kBlock, pageable.data(), kBlock));
  pieces.push_back(Up(device_ + 3 * kBlock, pageable.data(), 0));
  ASSERT_EQ(SubmitGroup(1, pieces, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, pieces.size());
  EXPECT_TRUE(WaitUntil([&] { return host_.wakes(cookie()) > 0; }));
  EXPECT_EQ(Only().bytes, kBlock * (kBlocks + 1));
  ExpectBlocks();
}

TEST_F(CudaGroupTest, WhatItUsesStaysPinned) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->hold(1);
  uint32_t accepted = 0;
  ASSERT_EQ(SubmitGroup(1, Blocks(), &accepted), SLIPWAY_OK);
  EXPECT_EQ(Unpin(pin_), SLIPWAY_E_BUSY);
  EXPECT_TRUE(Poll().empty());
  FakeCuda()->hold(0);
  EXPECT_EQ(Only().status, SLIPWAY_OK);
  EXPECT_EQ(Unpin(pin_), SLIPWAY_OK);
}

TEST_F(CudaGroupTest, OneLaunchThatFailsFailsItAndNothingElse) {
  SLIPWAY_NEEDS_FAKE();
  for (const char* entry : {"cuLaunchKernel", "cuEventRecord"}) {
    for (const uint32_t skip : {0u, 1u}) {
      FakeCuda()->fail(entry, kLaunchFailed, skip, 1);
      uint32_t accepted = 0;
      ASSERT_EQ(SubmitGroup(5, Blocks(), &accepted), SLIPWAY_OK);
      ASSERT_EQ(accepted, kBlocks);
      const slipway_completion done = Only();
      EXPECT_EQ(done.status, SLIPWAY_E_DEVICE) << entry << ", after " << skip;
      EXPECT_EQ(done.native, kLaunchFailed);
      EXPECT_EQ(done.bytes, 0u);
      FakeCuda()->fail(entry, 0, 0, 0);
    }
  }
  in_groups_ = true;
  Copy(Blocks());
  ExpectBlocks();
}

TEST_F(CudaGroupTest, APageablePieceThatFailsFailsIt) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer pageable(kMiB);
  FakeCuda()->fail("cuMemcpyAsync", kLaunchFailed, 0, 1);
  uint32_t accepted = 0;
  std::vector<slipway_copy> pieces = Blocks();
  pieces.push_back(Up(device_ + kBlock, pageable.data(), kBlock));
  ASSERT_EQ(SubmitGroup(5, pieces, &accepted), SLIPWAY_OK);
  EXPECT_EQ(Only().status, SLIPWAY_E_DEVICE);
}

TEST_F(CudaGroupTest, APieceThatIsWrongEndsItBefore) {
  std::vector<slipway_copy> pieces = Blocks();
  pieces[300].dst = host_memory_.data();
  uint32_t accepted = 0;
  EXPECT_EQ(SubmitGroup(8, pieces, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 300u);
  const slipway_completion done = Only();
  EXPECT_EQ(done.token, 8u);
  EXPECT_EQ(done.bytes, 300 * kBlock);
  pieces[0].dst = host_memory_.data();
  EXPECT_EQ(SubmitGroup(9, pieces, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 0u);
  EXPECT_TRUE(Poll().empty());
}

// More than is listed at a time, and more than a stream takes: what does not fit is another group.
TEST_F(CudaGroupTest, TooMuchIsBackPressureNotAnError) {
  SLIPWAY_NEEDS_FAKE();
  std::vector<slipway_copy> pieces;
  for (int i = 0; i < 300'000; ++i)
    pieces.push_back(Up(device_ + i % 1000 * 64, host_memory_.data() + i % 1000 * 64, 64));
  FakeCuda()->hold(1);
  uint32_t accepted = 0;
  uint64_t bytes = 0, groups = 0;
  slipway_status status = SLIPWAY_OK;
  for (size_t at = 0; at < pieces.size() && groups < 100; at += accepted, ++groups) {
    status = SubmitGroup(groups, {pieces.begin() + static_cast<ptrdiff_t>(at), pieces.end()}, &accepted);
    if (status != SLIPWAY_OK) break;
    bytes += accepted * 64;
  }
  EXPECT_EQ(status, SLIPWAY_E_AGAIN);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  FakeCuda()->hold(0);
  for (const slipway_completion& c : Drain(groups)) {
    EXPECT_EQ(c.status, SLIPWAY_OK);
    bytes -= c.bytes;
  }
  EXPECT_EQ(bytes, 0u);
}

}  // namespace
}  // namespace slipway::test
