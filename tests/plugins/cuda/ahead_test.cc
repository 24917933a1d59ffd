// What is read before it is submitted: where it is copied from then, and what comes of it when it is not.
#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/plugins/cuda/blocks.h"

namespace slipway::test {
namespace {

class CudaAheadTest : public CudaBlocksTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(CudaBlocksTest::SetUp());
    nothing_.Fill(0);
    WriteDevice(device_, nothing_, nothing_.size());
  }
  uint32_t Read(const std::vector<slipway_copy>& pieces) {
    uint32_t taken = 0;
    Checked("read", [&] {
      taken = ahead().read(queue_, pieces.data(), sizeof(slipway_copy), static_cast<uint32_t>(pieces.size()));
      return SLIPWAY_OK;
    });
    return taken;
  }
  bool Drop() {
    uint32_t reads = 0;
    Checked("drop", [&] {
      reads = ahead().drop(queue_);
      return SLIPWAY_OK;
    });
    return reads != 0;
  }
  // After so long a device has read what it was told to.
  static void LetItRead() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }
  slipway_completion CopyGroup(const std::vector<slipway_copy>& pieces) {
    uint32_t accepted = 0;
    EXPECT_EQ(SubmitGroup(5, pieces, &accepted), SLIPWAY_OK);
    EXPECT_EQ(accepted, pieces.size());
    return Only();
  }
  const sdk::MemoryAhead& ahead() { return Extension<sdk::MemoryAhead>(sdk::kMemoryAheadId); }

  HostBuffer nothing_{2 * kBlock * kBlocks}, first_{kBlock * kBlocks};
};

TEST_F(CudaAheadTest, ItIsCopiedFromWhereItWasReadTo) {
  first_.FillRandom(3);
  const std::vector<slipway_copy> pieces = Blocks();
  ASSERT_EQ(Read({pieces.begin(), pieces.begin() + 200}), 200u);
  ASSERT_EQ(Read({pieces.begin() + 200, pieces.begin() + 300}), 100u);
  EXPECT_EQ(Stat("read_ahead"), 300u);
  LetItRead();
  ASSERT_EQ(ReadDevice(device_, nothing_.size()), nothing_.view()) << "before it is submitted";
  EXPECT_TRUE(Poll().empty());
  // Of those that were read the bytes of then.
  std::fill_n(host_memory_.data(), 300 * kBlock, 'x');
  const slipway_completion done = CopyGroup(pieces);
  EXPECT_EQ(done.status, SLIPWAY_OK);
  EXPECT_EQ(done.bytes, kBlock * kBlocks);
  ExpectBlocks(first_);
  EXPECT_FALSE(Drop());
}

TEST_F(CudaAheadTest, GroupsTakeItPartByPart) {
  first_.FillRandom(3);
  const std::vector<slipway_copy> pieces = Blocks();
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(Read(pieces), kBlocks);
    for (size_t at = 0; at < kBlocks; at += 128) {
      EXPECT_EQ(
          CopyGroup({pieces.begin() + static_cast<ptrdiff_t>(at), pieces.begin() + static_cast<ptrdiff_t>(at) + 128})
              .bytes,
          128 * kBlock);
    }
    ExpectBlocks(first_);
    WriteDevice(device_, nothing_, nothing_.size());
  }
  EXPECT_EQ(Stat("read_ahead"), 3 * kBlocks);
}

TEST_F(CudaAheadTest, WhatIsDroppedIsReadAgain) {
  ASSERT_EQ(Read(Blocks()), kBlocks);
  EXPECT_TRUE(WaitUntil([&] { return !Drop(); }));
  EXPECT_EQ(ReadDevice(device_, nothing_.size()), nothing_.view());
  host_memory_.FillRandom(4);
  EXPECT_EQ(CopyGroup(Blocks()).status, SLIPWAY_OK);
  ExpectBlocks(host_memory_);
}

TEST_F(CudaAheadTest, WhatComesInAnotherOrderIsReadAgain) {
  std::vector<slipway_copy> pieces = Blocks();
  ASSERT_EQ(Read(pieces), kBlocks);
  LetItRead();
  host_memory_.FillRandom(4);
  std::reverse(pieces.begin(), pieces.end());
  EXPECT_EQ(CopyGroup(pieces).status, SLIPWAY_OK);
  ExpectBlocks(host_memory_);
}

TEST_F(CudaAheadTest, OnlyForADeviceThatHasNothingElseToDo) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->hold(1);
  uint32_t accepted = 0;
  ASSERT_EQ(SubmitGroup(1, Blocks(), &accepted), SLIPWAY_OK);
  EXPECT_EQ(Read(Blocks()), 0u);
  EXPECT_FALSE(Drop());
  FakeCuda()->hold(0);
  Drain(1);
}

TEST_F(CudaAheadTest, OnlyWhatTheKernelWouldCopyFromPinnedMemory) {
  HostBuffer pageable(kMiB);
  EXPECT_EQ(Read({Up(device_, pageable.data(), kBlock)}), 0u);
  EXPECT_EQ(Read({Down(host_memory_.data(), device_, kBlock)}), 0u);
  EXPECT_EQ(Read({Up(device_, host_memory_.data(), 256 * kKiB)}), 0u);
  EXPECT_EQ(Read({Up(device_, host_memory_.data() + 1, kBlock)}), 0u);
  EXPECT_EQ(Read({Up(device_, host_memory_.data(), 0)}), 0u);
  EXPECT_EQ(Read({Up(host_memory_.data(), host_memory_.data(), kBlock)}), 0u) << "no device's";
  EXPECT_EQ(ahead().read(queue_, nullptr, sizeof(slipway_copy), 1), 0u);
  EXPECT_FALSE(Drop());
}

TEST_F(CudaAheadTest, NoMoreThanThereIsRoomForNorAnythingWhereThereIsNone) {
  for (const auto& [text, blocks] : {std::pair{"64KiB", 16u}, std::pair{"0", 0u}}) {
    Close();
    ASSERT_NO_FATAL_FAILURE(Open(std::string(R"("ahead_bytes": ")") + text + "\""));
    device_ = Device(2 * kBlock * kBlocks);
    pin_ = Pin(host_memory_);
    EXPECT_EQ(Read(Blocks()), blocks);
    EXPECT_EQ(CopyGroup(Blocks()).status, SLIPWAY_OK);
    ExpectBlocks(host_memory_);
  }
}

TEST_F(CudaAheadTest, WhatIsReadStaysPinned) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->hold(1);
  ASSERT_EQ(Read(Blocks()), kBlocks);
  EXPECT_EQ(Unpin(pin_), SLIPWAY_E_BUSY);
  EXPECT_TRUE(Drop()) << "it is still read";
  FakeCuda()->hold(0);
  EXPECT_TRUE(WaitUntil([&] { return !Drop(); }));
  EXPECT_EQ(Unpin(pin_), SLIPWAY_OK);
}

// Whose completion tells that it has been read: a device that is busy for long holds nobody up.
TEST_F(CudaAheadTest, WhatIsAllSubmittedIsNotWaitedFor) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->hold(1);
  ASSERT_EQ(Read(Blocks()), kBlocks);
  uint32_t accepted = 0;
  ASSERT_EQ(SubmitGroup(1, Blocks(), &accepted), SLIPWAY_OK);
  ASSERT_EQ(accepted, kBlocks);
  EXPECT_FALSE(Drop());
  EXPECT_EQ(Unpin(pin_), SLIPWAY_E_BUSY);
  FakeCuda()->hold(0);
  EXPECT_EQ(Drain(1).at(0).status, SLIPWAY_OK);
  ExpectBlocks(host_memory_);
}

TEST_F(CudaAheadTest, AQueueIsClosedWhileItReads) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->hold(1);
  ASSERT_EQ(Read(Blocks()), kBlocks);
  std::thread later([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    FakeCuda()->hold(0);
  });
  Close();  // and nothing is left, as is seen at the end
  later.join();
}

TEST_F(CudaAheadTest, WhatCannotBeReadAheadIsCopiedAllTheSame) {
  SLIPWAY_NEEDS_FAKE();
  for (const char* entry : {"cuLaunchKernel", "cuEventRecord"}) {
    FakeCuda()->fail(entry, kLaunchFailed, 0, 1);
    EXPECT_EQ(Read(Blocks()), 0u) << entry;
    FakeCuda()->fail(entry, 0, 0, 0);
    EXPECT_TRUE(WaitUntil([&] { return !Drop(); }));
    EXPECT_EQ(CopyGroup(Blocks()).status, SLIPWAY_OK) << entry;
    ExpectBlocks(host_memory_);
    WriteDevice(device_, nothing_, nothing_.size());
  }
}

TEST_F(CudaAheadTest, ADeviceThatIsFullIsAskedOnce) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->fail("cuMemAlloc_v2", 2, 0, 1);
  EXPECT_EQ(Read(Blocks()), 0u);
  const uint64_t calls = FakeCuda()->calls("cuMemAlloc_v2");
  EXPECT_EQ(Read(Blocks()), 0u);
  EXPECT_EQ(FakeCuda()->calls("cuMemAlloc_v2"), calls);
  EXPECT_EQ(CopyGroup(Blocks()).status, SLIPWAY_OK);
  ExpectBlocks(host_memory_);
}

TEST_F(CudaAheadTest, WhereReadingFailsTheCopiesDo) {
  SLIPWAY_NEEDS_FAKE();
  ASSERT_EQ(Read(Blocks()), kBlocks);
  FakeCuda()->fail("cuEventQuery", kLaunchFailed, 0, 1);
  EXPECT_EQ(CopyGroup(Blocks()).status, SLIPWAY_E_DEVICE);
  FakeCuda()->fail("cuEventQuery", 0, 0, 0);
  ASSERT_EQ(Read(Blocks()), kBlocks);
  EXPECT_EQ(CopyGroup(Blocks()).status, SLIPWAY_OK);
  ExpectBlocks(host_memory_);
}

}  // namespace
}  // namespace slipway::test
