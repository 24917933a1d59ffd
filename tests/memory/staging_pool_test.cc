// The staging pool against a model that knows who owns each byte.
#include "core/memory/staging_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "core/base/bytes.h"

namespace slipway {
namespace {

constexpr uint64_t kGranule = StagingPool::kGranuleBytes;

TEST(StagingPoolTest, HandsOutWholeGranulesFromOneRun) {
  auto pool = *StagingPool::Create(3 * kGranule - 5);
  EXPECT_EQ(pool->bytes(), 3 * kGranule);
  EXPECT_EQ(reinterpret_cast<uint64_t>(pool->base()) % kGranule, 0u);
  EXPECT_EQ(pool->Allocate(0), nullptr);
  EXPECT_EQ(pool->Allocate(3 * kGranule + 1), nullptr);
  StagingBlock* all = pool->Allocate(2 * kGranule + 1);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(all->bytes, 3 * kGranule);
  EXPECT_EQ(pool->used_bytes(), 3 * kGranule);
  EXPECT_EQ(pool->Allocate(1), nullptr);
  EXPECT_TRUE(pool->Close(all));
  EXPECT_EQ(pool->used_bytes(), 0u);
}

TEST(StagingPoolTest, AnAbsurdLengthIsRefusedNotWrapped) {
  auto pool = *StagingPool::Create(4 * kGranule);
  for (const uint64_t bytes : {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - kGranule + 2, uint64_t{1} << 63}) {
    EXPECT_EQ(pool->Allocate(bytes), nullptr) << bytes;
  }
  EXPECT_EQ(pool->used_bytes(), 0u);
}

TEST(StagingPoolTest, ABlockIsFreeWhenItIsClosedAndItsLastPieceCameBack) {
  auto pool = *StagingPool::Create(kGranule);
  StagingBlock* block = pool->Allocate(kGranule);
  char* a = pool->Cut(block, 100);
  char* b = pool->Cut(block, 100);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(b - a, 128) << "pieces begin at their alignment";
  EXPECT_EQ(pool->Cut(block, kGranule - 255), nullptr);
  EXPECT_FALSE(pool->GiveBack(block));
  EXPECT_FALSE(pool->GiveBack(block));
  EXPECT_EQ(pool->Allocate(1), nullptr) << "still open";
  EXPECT_TRUE(pool->Close(block));
  block = pool->Allocate(kGranule);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(pool->Cut(block, kGranule), pool->base());
  EXPECT_EQ(pool->Cut(block, 1), nullptr);
  EXPECT_FALSE(pool->Close(block));
  EXPECT_TRUE(pool->GiveBack(block));
}

TEST(StagingPoolTest, PiecesBeginWhereTheyAreAskedTo) {
  auto pool = *StagingPool::Create(8 * kGranule);
  for (const uint64_t align : {1u, 64u, 512u, 4096u}) {
    StagingBlock* block = pool->Allocate(3 * kGranule);
    for (int i = 0; i < 3; ++i) {
      char* piece = pool->Cut(block, 100, align);
      ASSERT_NE(piece, nullptr);
      EXPECT_EQ(reinterpret_cast<uint64_t>(piece) % std::max<uint64_t>(align, StagingPool::kPieceAlign), 0u);
      EXPECT_LE(piece + 100, pool->base() + block->offset + block->bytes);
    }
    EXPECT_FALSE(pool->Close(block));
    EXPECT_FALSE(pool->GiveBack(block));
    EXPECT_FALSE(pool->GiveBack(block));
    EXPECT_TRUE(pool->GiveBack(block));
  }
}

class StagingPoolPropertyTest : public testing::TestWithParam<uint32_t> {
 protected:
  struct Piece {
    char* at;
    uint64_t bytes;
    char mark;
  };
  struct Owned {
    StagingBlock* block;
    uint64_t offset, bytes;
    std::vector<Piece> pieces;
    bool open = true;
  };

  uint64_t Pick(uint64_t limit) { return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_); }

  void Allocate(uint64_t limit) {
    const uint64_t bytes = 1 + Pick(limit);
    StagingBlock* block = pool_->Allocate(bytes);
    const uint64_t want = RoundUp(bytes, kGranule);
    if (block == nullptr) {
      ASSERT_LT(LongestFree(), want) << "a run of that length is free";
      return;
    }
    ASSERT_EQ(block->bytes, want);
    ASSERT_LE(block->offset + block->bytes, pool_->bytes());
    for (uint64_t i = block->offset; i < block->offset + want; i += kGranule) {
      ASSERT_FALSE(taken_[i / kGranule]) << "two blocks overlap";
      taken_[i / kGranule] = true;
    }
    blocks_.push_back({block, block->offset, block->bytes, {}, true});
  }
  uint64_t LongestFree() const {
    uint64_t longest = 0, run = 0;
    for (const bool taken : taken_) {
      run = taken ? 0 : run + kGranule;
      longest = std::max(longest, run);
    }
    return longest;
  }
  void Cut(Owned& owned) {
    const uint64_t bytes = 1 + Pick(2 * kGranule);
    const uint64_t align = uint64_t{1} << Pick(11);
    const uint64_t room = pool_->RoomIn(*owned.block, align);
    char* piece = pool_->Cut(owned.block, bytes, align);
    ASSERT_EQ(piece != nullptr, bytes <= room);
    if (piece == nullptr) return;
    ASSERT_GE(piece, pool_->base() + owned.offset);
    ASSERT_LE(piece + bytes, pool_->base() + owned.offset + owned.bytes);
    ASSERT_EQ(reinterpret_cast<uint64_t>(piece) % align, 0u);
    const char mark = static_cast<char>(++marks_);
    std::memset(piece, mark, bytes);
    owned.pieces.push_back({piece, bytes, mark});
  }
  // Takes back a piece, or closes; forgets the block when that freed it.
  void GiveBack(size_t index) {
    Owned& owned = blocks_[index];
    const bool close = owned.open && (owned.pieces.empty() || Pick(4) == 0);
    bool freed = false;
    if (close) {
      owned.open = false;
      freed = pool_->Close(owned.block);
    } else if (!owned.pieces.empty()) {
      const Piece& piece = owned.pieces.back();
      ASSERT_TRUE(std::all_of(piece.at, piece.at + piece.bytes, [&](char c) { return c == piece.mark; }))
          << "somebody else wrote into a piece";
      owned.pieces.pop_back();
      freed = pool_->GiveBack(owned.block);
    }
    ASSERT_EQ(freed, !owned.open && owned.pieces.empty());
    if (!freed) return;
    for (uint64_t i = owned.offset; i < owned.offset + owned.bytes; i += kGranule) taken_[i / kGranule] = false;
    blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(index));
  }
  void Check() {
    uint64_t used = 0;
    for (const Owned& o : blocks_) used += o.bytes;
    ASSERT_EQ(pool_->used_bytes(), used);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      for (size_t k = i + 1; k < blocks_.size(); ++k) ASSERT_NE(blocks_[i].block, blocks_[k].block);
      ASSERT_EQ(blocks_[i].block->bytes, blocks_[i].bytes) << "a live block's record was overwritten";
    }
  }

  std::mt19937 random_{GetParam()};
  std::unique_ptr<StagingPool> pool_;
  std::vector<bool> taken_;
  std::vector<Owned> blocks_;
  unsigned marks_ = 0;
};

TEST_P(StagingPoolPropertyTest, NeverOverlapsNeverLeaksAndUsesEveryRun) {
  const uint64_t granules = 1 + Pick(24);
  pool_ = *StagingPool::Create(granules * kGranule);
  taken_.assign(granules, false);
  for (int step = 0; step < 2'000; ++step) {
    const uint64_t what = Pick(10);
    if (what < 3 || blocks_.empty()) {
      Allocate(kGranule * (1 + Pick(granules + 1)));
    } else if (what < 6) {
      Owned& owned = blocks_[Pick(blocks_.size())];
      if (owned.open) Cut(owned);
    } else {
      GiveBack(Pick(blocks_.size()));
    }
    if (HasFatalFailure()) return;
    Check();
    if (HasFatalFailure()) return;
  }
  while (!blocks_.empty()) {
    GiveBack(0);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(pool_->used_bytes(), 0u);
  EXPECT_NE(pool_->Allocate(pool_->bytes()), nullptr) << "all of it is one free run again";
}

INSTANTIATE_TEST_SUITE_P(Seeds, StagingPoolPropertyTest, testing::Range(0u, 40u));

}  // namespace
}  // namespace slipway
