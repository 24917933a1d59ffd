// Who gets room where there is too little: evicting, waiting, staging, and what the system refuses.
#include <array>
#include <thread>

#include "tests/memory/pin_cache_fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class PinPressureTest : public PinCacheTest {
 protected:
  // Two touches, a moment apart: the second asks for the chunk to be pinned.
  void Want(uint64_t chunk) {
    Touch(chunk * kChunk, kChunk);
    Pass(kMs);
    Touch(chunk * kChunk, kChunk);
    Pass(kMs);
  }
  bool Pinned(uint64_t chunk) const { return pinner_->Holds(kHome + chunk * kChunk, kChunk); }
};

TEST_F(PinPressureTest, WhatWasNotUsedSinceMakesRoom) {
  options_.high_watermark_percent = options_.low_watermark_percent = 100;
  Make(2 * kChunk);
  Declare(0, 8 * kChunk);
  Want(0);
  Want(1);
  Pass(30 * kMs);
  Want(2);
  EXPECT_TRUE(Pinned(2));
  EXPECT_EQ(pinner_->count(), 2u);
  EXPECT_EQ(Count(Counter::kPinEvictions), 1u);
  EXPECT_TRUE(Undeclare(0, 8 * kChunk).ok());
}

TEST_F(PinPressureTest, AWorkingSetLargerThanTheBudgetKeepsWhatFitsInsteadOfThrashing) {
  options_.high_watermark_percent = options_.low_watermark_percent = 100;
  Make(4 * kChunk);
  Declare(0, 16 * kChunk);
  for (int round = 0; round < 20; ++round) {
    for (uint64_t i = 0; i < 16; ++i) {
      Touch(i * kChunk, kChunk);
      Pass(5 * kMs);
      ASSERT_LE(budget_->used_bytes(), 4 * kChunk);
    }
  }
  EXPECT_LE(pinner_->pins, 8u) << "it pins what it has just unpinned, round after round";
  EXPECT_GE(Count(Counter::kPinHits), 17u * 4);
  EXPECT_TRUE(Undeclare(0, 16 * kChunk).ok());
}

TEST_F(PinPressureTest, AHitGivesASecondChance) {
  options_.high_watermark_percent = options_.low_watermark_percent = 60;
  Make(4 * kChunk);
  Declare(0, 8 * kChunk);
  for (uint64_t i = 0; i < 3; ++i) Want(i);
  Pass(200 * kMs);
  RunAll();
  EXPECT_EQ(pinner_->count(), 2u) << "down to the mark; it has looked at all three";
  const uint64_t used = Pinned(1) ? 1 : 0, unused = Pinned(2) ? 2 : 0;
  ASSERT_NE(used, unused);
  Touch(used * kChunk, kChunk);
  Want(3);
  Pass(200 * kMs);
  RunAll();
  EXPECT_EQ(pinner_->count(), 2u);
  EXPECT_TRUE(Pinned(used));
  EXPECT_FALSE(Pinned(unused));
  EXPECT_TRUE(Undeclare(0, 8 * kChunk).ok());
}

TEST_F(PinPressureTest, OneLargeIdleExtentIsUnpinnedRatherThanManySmallOnesBesideIt) {
  options_.high_watermark_percent = options_.low_watermark_percent = 100;
  Make(2 * kChunk);
  for (uint64_t i = 0; i < 5; ++i) Declare(i * 4 * kChunk, 4 * kKiB);  // regions of a page: extents of a page
  Declare(64 * kChunk, kChunk);
  Declare(80 * kChunk, kChunk);
  for (uint64_t i = 0; i < 4; ++i) cache_->Return(Hold(i * 4 * kChunk, 4 * kKiB));
  const ExtentLease in_use = Hold(16 * kChunk, 4 * kKiB);
  cache_->Return(Hold(64 * kChunk, kChunk));
  Pass(100 * kMs);
  // 20 KiB are missing: the small idle ones have 16.
  cache_->Return(Hold(80 * kChunk, kChunk));
  EXPECT_FALSE(pinner_->Holds(kHome + 64 * kChunk, kChunk));
  EXPECT_EQ(pinner_->count(), 6u) << "the small ones stayed";
  cache_->Return(in_use);
  for (uint64_t i = 0; i < 5; ++i) EXPECT_TRUE(Undeclare(i * 4 * kChunk, 4 * kKiB).ok());
  EXPECT_TRUE(Undeclare(64 * kChunk, kChunk).ok());
  EXPECT_TRUE(Undeclare(80 * kChunk, kChunk).ok());
}

TEST_F(PinPressureTest, WhatIsLeasedIsWaitedForInOrderUntilTheDeadline) {
  options_.high_watermark_percent = options_.low_watermark_percent = 100;
  Make(2 * kChunk);
  Declare(0, 8 * kChunk);
  const ExtentLease a = Hold(0, kChunk), b = Hold(kChunk, kChunk);
  Pass(30 * kMs);
  Want(2);
  Want(3);
  EXPECT_EQ(pinner_->count(), 2u);
  EXPECT_FALSE(Pinned(2) || Pinned(3));
  cache_->Return(a);
  RunAll();
  EXPECT_TRUE(Pinned(2)) << "first come, first served";
  EXPECT_FALSE(Pinned(3));
  Pass(20 * kMs);  // its time is up
  RunAll();
  cache_->Return(b);
  RunAll();
  EXPECT_FALSE(Pinned(3)) << "who asked for it has staged it";
  Pass(11 * kMs);
  EXPECT_EQ(Touch(3 * kChunk, kChunk), LeaseAnswer::kStage);
  EXPECT_TRUE(Pinned(3)) << "and finds it worth pinning once more";
  EXPECT_TRUE(Undeclare(0, 8 * kChunk).ok());
}

TEST_F(PinPressureTest, WhatIsIdleForLongIsUnpinnedAFewAtATime) {
  Declare(0, 40 * kChunk);
  for (uint64_t i = 0; i < 40; ++i) Want(i);
  ASSERT_EQ(pinner_->count(), 40u);
  Pass(4000 * kMs);
  RunAll();
  EXPECT_EQ(pinner_->count(), 40u);
  Pass(1100 * kMs);
  Touch(7 * kChunk, kChunk);
  EXPECT_EQ(pinner_->count(), 24u);
  for (int i = 0; i < 2; ++i) {
    Pass(100 * kMs);
    RunAll();
  }
  EXPECT_EQ(pinner_->count(), 1u);
  EXPECT_TRUE(Pinned(7));
  EXPECT_TRUE(Undeclare(0, 40 * kChunk).ok());
}

TEST_F(PinPressureTest, OthersWhoNeedTheBudgetGetWhatIsIdle) {
  options_.high_watermark_percent = options_.low_watermark_percent = 100;
  Make(4 * kChunk);
  budget_->SetReclaimer([this](uint64_t bytes) { cache_->MakeRoom(bytes); });
  Declare(0, 4 * kChunk);
  for (uint64_t i = 0; i < 4; ++i) Want(i);
  Pass(30 * kMs);
  EXPECT_FALSE(budget_->TryReserve(kChunk)) << "never blocks";
  EXPECT_TRUE(budget_->Reserve(2 * kChunk)) << "may unpin";
  EXPECT_EQ(pinner_->count(), 2u);
  EXPECT_FALSE(budget_->Reserve(3 * kChunk)) << "more than is idle";
  budget_->Release(2 * kChunk);
  budget_->SetReclaimer(nullptr);
  EXPECT_TRUE(Undeclare(0, 4 * kChunk).ok());
}

TEST_F(PinPressureTest, ARefusalTeachesALowerCapAndMoreIsTriedLater) {
  Declare(0, 32 * kChunk);
  for (uint64_t i = 0; i < 8; ++i) Want(i);
  Pass(30 * kMs);
  pinner_->refuse_with = SLIPWAY_E_PIN_LIMIT;
  pinner_->refuse_above = 4 * kChunk;
  Want(8);
  // A quarter of the 8 idle, then at least a quarter of the 6, were let go of; each time it was tried again.
  EXPECT_EQ(pinner_->refused, 3u);
  EXPECT_EQ(pinner_->count(), 4u);
  EXPECT_EQ(Count(Counter::kPinLearnedCapBytes), 4 * kChunk);
  EXPECT_THAT(log_.text, HasSubstr("refuses to pin more than"));
  const uint64_t refused = pinner_->refused;
  for (uint64_t i = 9; i < 12; ++i) Want(i);
  EXPECT_EQ(pinner_->refused, refused) << "the system is not asked for more than it gave";
  EXPECT_LE(pinner_->bytes(), 4 * kChunk);
  pinner_->refuse_with = SLIPWAY_OK;
  Pass(5000 * kMs);
  for (uint64_t i = 0; i < 8; ++i) Want(16 + i);
  EXPECT_GT(pinner_->bytes(), 4 * kChunk) << "and a little more after a while";
  EXPECT_EQ(budget_->used_bytes(), pinner_->bytes());
  EXPECT_TRUE(Undeclare(0, 32 * kChunk).ok());
  EXPECT_EQ(budget_->used_bytes(), 0u);
}

TEST_F(PinPressureTest, ARefusalThatPassesIsOvercome) {
  Declare(0, 8 * kChunk);
  for (uint64_t i = 0; i < 4; ++i) Want(i);
  Pass(30 * kMs);
  pinner_->refuse_with = SLIPWAY_E_NOMEM;
  pinner_->refuse_times = 2;
  Want(5);
  EXPECT_TRUE(Pinned(5));
  EXPECT_EQ(Count(Counter::kPinLearnedCapBytes), 0u);
  EXPECT_TRUE(Undeclare(0, 8 * kChunk).ok());
}

// With the cache's own thread, and the real clock: leases from several threads, churn under a small budget, regions
// that come and go. What holds is checked by the pinner at every call, and by the sanitizers.
TEST_F(PinPressureTest, ThreadsShareIt) {
  cache_.reset();
  options_.room_wait_ms = 1;
  budget_ = std::make_unique<PinBudget>(4 * kChunk, counters_);
  pinner_ = std::make_unique<FakePinner>(clock_, *budget_);
  cache_ = std::make_unique<PinCache>(PinCache::Parts{options_, budget_.get(), &SystemClock(), &log_, &counters_});
  cache_->AddPinner(*pinner_, Traits());
  SetCosts(1'000, 100'000);
  cache_->Start();
  std::array<std::thread, 3> threads;
  std::atomic<uint64_t> granted{0};
  for (uint64_t t = 0; t < threads.size(); ++t) {
    threads[t] = std::thread([&, t] {
      const uint64_t home = kHome + t * 1024 * kChunk;
      for (int round = 0; round < 10; ++round) {
        cache_->Declare(home, 8 * kChunk, SLIPWAY_MEM_HOST);
        for (uint64_t i = 0; i < 40; ++i) {
          LeaseQuery query;
          query.addr = home + i * 7 % 8 * kChunk;
          query.length = kChunk;
          query.access = kToRead;
          query.now_ns = SystemClock().NowNs();
          query.deadline_ns = query.now_ns + kMs;
          ExtentLease lease;
          if (cache_->Lease(query, &lease) == LeaseAnswer::kGranted) {
            EXPECT_TRUE(pinner_->Holds(query.addr, kChunk));
            ++granted;
            cache_->Return(lease);
          } else {
            cache_->Copied(0, query.addr, kChunk, query.now_ns);
          }
        }
        EXPECT_TRUE(cache_->Undeclare(home, 8 * kChunk, 10'000 * kMs).ok());
        EXPECT_FALSE(pinner_->Holds(home, 8 * kChunk)) << "pinned after it was undeclared";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cache_->Stop();
  EXPECT_GT(granted.load(), 0u);
  EXPECT_EQ(pinner_->count(), 0u);
  EXPECT_EQ(budget_->used_bytes(), 0u);
}

}  // namespace
}  // namespace slipway
