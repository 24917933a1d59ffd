// The allocator against a model that keeps every range in a list.
#include "core/store/allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace slipway {
namespace {

constexpr uint64_t kGranule = Allocator::kGranuleBytes;

TEST(AllocatorTest, GivesAllThereIsAndTakesItBack) {
  Allocator allocator(64 * 1024 + 63);
  EXPECT_EQ(allocator.total_bytes(), 64u * 1024);
  EXPECT_EQ(allocator.LargestFreeBytes(), 64u * 1024);
  const auto all = allocator.Allocate(64 * 1024);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->offset, 0u);
  EXPECT_FALSE(allocator.Allocate(1));
  EXPECT_EQ(allocator.LargestFreeBytes(), 0u);
  allocator.Free(all->block);
  EXPECT_TRUE(allocator.Consistent());
  EXPECT_EQ(allocator.used_bytes(), 0u);
  EXPECT_TRUE(allocator.Allocate(64 * 1024));
}

TEST(AllocatorTest, RefusesWhatCannotBe) {
  Allocator allocator(1 << 20);
  EXPECT_FALSE(allocator.Allocate((1 << 20) + 1));
  EXPECT_FALSE(allocator.Allocate(UINT64_MAX));
  Allocator none(63);
  EXPECT_FALSE(none.Allocate(1));
  EXPECT_TRUE(none.Consistent());
}

TEST(AllocatorTest, KnowsWhatWouldBeFreeWithoutSome) {
  Allocator allocator(10 * kGranule);
  std::vector<uint32_t> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(allocator.Allocate(kGranule)->block);
  EXPECT_EQ(allocator.LargestFreeBytesWithout({}), 2 * kGranule);
  allocator.Free(blocks[2]);
  EXPECT_EQ(allocator.LargestFreeBytesWithout(std::vector{blocks[1], blocks[3]}), 3 * kGranule);
  EXPECT_EQ(allocator.LargestFreeBytesWithout(std::vector{blocks[6], blocks[7]}), 4 * kGranule);
  EXPECT_EQ(allocator.LargestFreeBytesWithout(std::vector{blocks[0], blocks[4]}), 2 * kGranule);
  EXPECT_EQ(allocator.LargestFreeBytesWithout(blocks), 10 * kGranule);
  EXPECT_EQ(allocator.LargestFreeBytes(), 2 * kGranule);
  EXPECT_EQ(Allocator(63).LargestFreeBytesWithout({}), 0u);
}

TEST(AllocatorTest, NeighboursAreMergedWhateverTheOrder) {
  std::minstd_rand random(7);
  Allocator allocator(64 * kGranule);
  for (int round = 0; round < 50; ++round) {
    std::vector<uint32_t> blocks;
    for (int i = 0; i < 64; ++i) blocks.push_back(allocator.Allocate(kGranule)->block);
    EXPECT_FALSE(allocator.Allocate(1));
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (const uint32_t block : blocks) allocator.Free(block);
    ASSERT_TRUE(allocator.Consistent());
    ASSERT_EQ(allocator.LargestFreeBytes(), 64 * kGranule);
  }
}

TEST(AllocatorTest, NoTwoRangesEverOverlap) {
  for (const uint32_t seed : {1u, 2u, 3u}) {
    std::minstd_rand random(seed);
    constexpr uint64_t kBytes = 4 << 20;
    Allocator allocator(kBytes);
    std::map<uint64_t, std::pair<uint64_t, uint32_t>> model;  // offset -> length in granules' bytes, block
    uint64_t used = 0;
    for (int step = 0; step < 20'000; ++step) {
      if (random() % 5 < 3) {
        const uint64_t bytes = 1 + random() % (random() % 8 == 0 ? 256 * 1024 : 4096);
        const auto range = allocator.Allocate(bytes);
        if (!range) {
          // Good fit: what is refused is at most a little shorter than what is free in one piece.
          EXPECT_LT(allocator.LargestFreeBytes(), bytes + bytes / 16 + kGranule);
          continue;
        }
        const uint64_t charge = Allocator::Charge(bytes);
        EXPECT_EQ(range->offset % kGranule, 0u);
        EXPECT_LE(range->offset + charge, kBytes);
        const auto [at, fresh] = model.emplace(range->offset, std::make_pair(charge, range->block));
        ASSERT_TRUE(fresh);
        if (at != model.begin()) {
          ASSERT_LE(std::prev(at)->first + std::prev(at)->second.first, at->first);
        }
        if (std::next(at) != model.end()) {
          ASSERT_LE(at->first + charge, std::next(at)->first);
        }
        used += charge;
      } else if (!model.empty()) {
        auto at = model.lower_bound(random() % kBytes);
        if (at == model.end()) at = model.begin();
        allocator.Free(at->second.second);
        used -= at->second.first;
        model.erase(at);
      }
      ASSERT_EQ(allocator.used_bytes(), used);
      if (step % 997 == 0) {
        ASSERT_TRUE(allocator.Consistent()) << step;
      }
    }
    for (const auto& [offset, range] : model) allocator.Free(range.second);
    EXPECT_TRUE(allocator.Consistent());
    EXPECT_EQ(allocator.LargestFreeBytes(), kBytes);
  }
}

TEST(AllocatorTest, WhatIsWastedStaysBounded) {
  // Values of mixed lengths come and go at nine tenths of the space: then there is still room for most.
  std::minstd_rand random(11);
  constexpr uint64_t kBytes = 16 << 20;
  Allocator allocator(kBytes);
  std::vector<std::pair<uint32_t, uint64_t>> taken;
  uint64_t refused = 0, asked = 0;
  for (int step = 0; step < 30'000; ++step) {
    while (allocator.used_bytes() > kBytes / 10 * 9) {
      const size_t which = random() % taken.size();
      allocator.Free(taken[which].first);
      taken[which] = taken.back();
      taken.pop_back();
    }
    const uint64_t bytes = uint64_t{64} << random() % 10;
    ++asked;
    if (const auto range = allocator.Allocate(bytes)) {
      taken.emplace_back(range->block, bytes);
    } else {
      ++refused;
    }
  }
  EXPECT_LT(refused, asked / 100);
}

}  // namespace
}  // namespace slipway
