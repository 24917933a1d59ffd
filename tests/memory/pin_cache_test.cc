// What is pinned on demand, when, and what is let go of for it.
#include "tests/memory/pin_cache_fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

TEST_F(PinCacheTest, TheFirstTouchIsStagedAndTheSecondPins) {
  Declare(0, 4 * kChunk);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage);
  EXPECT_EQ(pinner_->count(), 0u);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage) << "pinning takes longer than one more copy, so that is made";
  EXPECT_EQ(pinner_->count(), 1u);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kGranted);
  EXPECT_EQ(Count(Counter::kPinHits), 1u);
  EXPECT_EQ(Count(Counter::kPinMisses), 1u);
  EXPECT_EQ(Count(Counter::kPinStagedInstead), 2u);
  EXPECT_EQ(budget_->used_bytes(), kChunk);
  EXPECT_TRUE(Undeclare(0, 4 * kChunk).ok());
  EXPECT_EQ(pinner_->count(), 0u);
  EXPECT_EQ(budget_->used_bytes(), 0u);
}

TEST_F(PinCacheTest, WhereCopyingCostsMoreThanPinningTheSecondTouchWaitsAndIsDirect) {
  SetCosts(20'000, 21'000);
  options_.pin_from_bytes = 4 * kChunk;  // no first touch
  Make(PinBudget::kNoCap);
  SetCosts(20'000, 21'000);
  Declare(0, kChunk);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage);
  ExtentLease lease;
  EXPECT_EQ(Ask(0, kChunk, &lease), LeaseAnswer::kWait);
  EXPECT_EQ(Ask(0, kChunk, &lease), LeaseAnswer::kWait) << "another finds it being pinned";
  EXPECT_EQ(Count(Counter::kPinFlightWaits), 1u);
  EXPECT_TRUE(cache_->RunOnce());
  EXPECT_EQ(pinner_->pins, 1u) << "once for both";
  EXPECT_EQ(Ask(0, kChunk, &lease), LeaseAnswer::kGranted);
  cache_->Return(lease);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

TEST_F(PinCacheTest, ALongFirstTouchPinsByWhatItCosts) {
  Declare(0, 2 * kChunk);
  SetCosts(17'000, 1'000);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage);
  EXPECT_EQ(pinner_->count(), 0u) << "not expected to be used 17 times";
  SetCosts(15'000, 1'000);
  EXPECT_EQ(Touch(kChunk, kChunk / 2), LeaseAnswer::kStage);
  EXPECT_EQ(pinner_->count(), 0u) << "half as much is half as long";
  Pass(2000 * kMs);
  EXPECT_EQ(Touch(kChunk, kChunk), LeaseAnswer::kStage);
  EXPECT_EQ(pinner_->count(), 1u) << "it is copied meanwhile, and pinned for the next time";
  EXPECT_EQ(Touch(kChunk, kChunk), LeaseAnswer::kGranted);
  EXPECT_TRUE(Undeclare(0, 2 * kChunk).ok());
}

TEST_F(PinCacheTest, AConfiguredLengthPinsAtTheFirstTouch) {
  options_.pin_from_bytes = 2 * kChunk;
  Make(PinBudget::kNoCap);
  Declare(0, 8 * kChunk);
  Touch(0, 2 * kChunk - 1);
  EXPECT_EQ(pinner_->count(), 0u);
  Touch(4 * kChunk, 2 * kChunk);
  EXPECT_EQ(pinner_->count(), 1u) << "the part that was asked about: the request's first chunk";
  EXPECT_TRUE(Undeclare(0, 8 * kChunk).ok());
}

TEST_F(PinCacheTest, ATouchIsForgottenAfterTheWindow) {
  Declare(0, kChunk);
  for (int i = 0; i < 5; ++i) {
    Touch(0, kChunk);
    Pass(1001 * kMs);
  }
  EXPECT_EQ(pinner_->pins, 0u);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

TEST_F(PinCacheTest, PassingOverARangeInPiecesIsOneTouch) {
  Declare(0, kChunk);
  for (uint64_t at = 0; at < kChunk; at += 4 * kKiB) Touch(at, 4 * kKiB);
  EXPECT_EQ(pinner_->pins, 0u);
  Touch(0, 4 * kKiB);
  EXPECT_EQ(pinner_->pins, 1u) << "the second pass begins";
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

TEST_F(PinCacheTest, AFewBytesAreNotWorthAWholeChunkUntilThereWereManyOfThem) {
  Declare(0, kChunk);
  // 1/1024 of a chunk is copied in about a nanosecond; pinning takes 20000.
  int touches = 0;
  while (pinner_->pins == 0 && touches < 10'000) {
    Touch(0, 64);
    ++touches;
  }
  EXPECT_GT(touches, 100);
  EXPECT_LT(touches, 1000);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

TEST_F(PinCacheTest, ExtentsLieOnAFixedGridClippedToPages) {
  Declare(kChunk + 100, 2 * kChunk);
  const ExtentLease first = Hold(kChunk + 200, 10), second = Hold(2 * kChunk, kChunk), last = Hold(3 * kChunk, 100);
  EXPECT_EQ(first.first->begin, kHome + kChunk);
  EXPECT_EQ(first.first->end, kHome + 2 * kChunk);
  EXPECT_EQ(second.first->begin, kHome + 2 * kChunk);
  EXPECT_EQ(last.first->end, kHome + 3 * kChunk + 4096);
  for (const ExtentLease& lease : {first, second, last}) cache_->Return(lease);
  ExtentLease lease;
  EXPECT_EQ(Ask(kChunk, 300, &lease), LeaseAnswer::kNotDeclared);
  EXPECT_EQ(lease.bytes, 100u) << "up to where the region begins";
  EXPECT_EQ(Ask(3 * kChunk + 100, 300, &lease), LeaseAnswer::kNotDeclared) << "the same page, but not declared";
  EXPECT_EQ(Ask(2 * kChunk - 50, 300, &lease), LeaseAnswer::kGranted);
  EXPECT_EQ(lease.bytes, 50u) << "one extent at a time";
  cache_->Return(lease);
  EXPECT_TRUE(Undeclare(kChunk + 100, 2 * kChunk).ok());
}

TEST_F(PinCacheTest, TheChunkFitsWhatTheDeviceAndTheBudgetAllow) {
  PinnerTraits traits = Traits();
  traits.max_pins = 8;
  Make(64 * kChunk, traits);  // 64 chunks of 64 KiB would be too many registrations: fewer than 4 are allowed
  Declare(0, 64 * kChunk);
  ExtentLease lease = Hold(0, kChunk);
  EXPECT_EQ(lease.first->end - lease.first->begin, 32 * kChunk);
  cache_->Return(lease);
  EXPECT_TRUE(Undeclare(0, 64 * kChunk).ok());
  Make(kChunk);  // two must fit
  Declare(0, 4 * kChunk);
  lease = Hold(0, kKiB);
  EXPECT_EQ(lease.first->end - lease.first->begin, kChunk / 2);
  cache_->Return(lease);
  EXPECT_TRUE(Undeclare(0, 4 * kChunk).ok());
  traits = Traits();
  traits.max_pin_bytes = 10'000;
  Make(PinBudget::kNoCap, traits);
  Declare(0, kChunk);
  lease = Hold(0, kKiB);
  EXPECT_EQ(lease.first->end - lease.first->begin, 8192u);
  cache_->Return(lease);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

TEST_F(PinCacheTest, SeveralDevicesThatPinAPageAreChargedSeveralTimes) {
  PinnerTraits traits = Traits();
  traits.pins_per_byte = 3;
  Make(7 * kChunk, traits);
  Declare(0, 4 * kChunk);
  for (uint64_t i = 0; i < 4; ++i) {
    for (int k = 0; k < 3; ++k) Touch(i * kChunk, kChunk);
  }
  EXPECT_EQ(pinner_->count(), 2u);
  EXPECT_EQ(budget_->used_bytes(), 6 * kChunk);
  EXPECT_TRUE(Undeclare(0, 4 * kChunk).ok());
}

TEST_F(PinCacheTest, ARangeOverSeveralExtentsIsLeasedWholeOrNotAtAll) {
  Declare(0, 4 * kChunk);
  cache_->Return(Hold(0, kChunk));
  cache_->Return(Hold(2 * kChunk, kChunk));
  ExtentLease lease;
  EXPECT_EQ(Ask(0, 3 * kChunk, &lease, kToRead, true), LeaseAnswer::kStage);
  for (const Extent* e : {lease.first}) EXPECT_EQ(e, nullptr);
  cache_->Copied(0, kHome, 3 * kChunk, clock_.NowNs());
  EXPECT_EQ(Ask(0, 3 * kChunk, &lease, kToRead, true), LeaseAnswer::kStage) << "the middle one is being pinned";
  RunAll();
  ASSERT_EQ(Ask(0, 3 * kChunk, &lease, kToRead, true), LeaseAnswer::kGranted);
  EXPECT_EQ(lease.count, 3u);
  EXPECT_EQ(lease.bytes, 3 * kChunk);
  EXPECT_EQ(Undeclare(0, 4 * kChunk).code(), SLIPWAY_E_REGION_BUSY);
  cache_->Return(lease);
  ExtentLease beyond;
  EXPECT_EQ(Ask(2 * kChunk, 3 * kChunk, &beyond, kToRead, true), LeaseAnswer::kStage) << "beyond the region";
  EXPECT_TRUE(Undeclare(0, 4 * kChunk).ok());
}

TEST_F(PinCacheTest, MemoryThatCanOnlyBeReadIsPinnedForReading) {
  pinner_->grants = kToRead;
  Declare(0, kChunk);
  cache_->Return(Hold(0, kChunk));
  EXPECT_EQ(Touch(0, kChunk, kToWrite), LeaseAnswer::kStage);
  EXPECT_EQ(Touch(0, kChunk, kToRead), LeaseAnswer::kGranted);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

TEST_F(PinCacheTest, OverlappingRegionsAreLookedUpInOneOfThem) {
  Declare(0, 4 * kChunk);
  Declare(2 * kChunk, 4 * kChunk);
  cache_->Return(Hold(3 * kChunk, kChunk));
  cache_->Return(Hold(5 * kChunk, kChunk));
  EXPECT_TRUE(Undeclare(0, 4 * kChunk).ok());
  EXPECT_EQ(Touch(3 * kChunk, kChunk), LeaseAnswer::kStage) << "now the other's, which has not pinned it";
  EXPECT_EQ(Touch(5 * kChunk, kChunk), LeaseAnswer::kGranted);
  EXPECT_TRUE(Undeclare(2 * kChunk, 4 * kChunk).ok());
  EXPECT_EQ(pinner_->count(), 0u);
}

TEST_F(PinCacheTest, UndeclareWaitsForLeasesAndRefusesNewOnes) {
  Declare(0, kChunk);
  ExtentLease lease = Hold(0, kChunk);
  EXPECT_EQ(Undeclare(0, kChunk).code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_EQ(Count(Counter::kPinLeasesAtClose), 1u);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kGranted) << "still declared";
  pinner_->on_unpin = [&] {
    ExtentLease none;
    EXPECT_EQ(Ask(0, kChunk, &none), LeaseAnswer::kNotDeclared) << "closing";
  };
  cache_->Return(lease);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
  EXPECT_EQ(pinner_->count(), 0u);
  EXPECT_EQ(Undeclare(0, kChunk).code(), SLIPWAY_E_NOT_DECLARED);
}

TEST_F(PinCacheTest, UndeclareTakesBackWhatWaitsToBePinned) {
  Declare(0, kChunk);
  ExtentLease lease;
  Touch(0, kChunk);
  EXPECT_EQ(Ask(0, kChunk, &lease), LeaseAnswer::kStage);
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
  RunAll();
  EXPECT_EQ(pinner_->pins, 0u);
}

TEST_F(PinCacheTest, WhatCannotBeUnpinnedStaysChargedAndIsSaid) {
  Declare(0, 2 * kChunk);
  cache_->Return(Hold(0, kChunk));
  pinner_->unpin_with = SLIPWAY_E_DEVICE;
  Pass(6000 * kMs);
  RunAll();
  EXPECT_THAT(log_.text, HasSubstr("could not unpin 64KiB"));
  EXPECT_EQ(budget_->used_bytes(), kChunk);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage);
  EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage) << "never again";
  EXPECT_EQ(cache_->Views()[0].stuck, 1u);
  EXPECT_EQ(Undeclare(0, 2 * kChunk).code(), SLIPWAY_E_DEVICE) << "whoever frees the memory must know";
  EXPECT_EQ(budget_->used_bytes(), kChunk);
  cache_->Abandon(0);
  EXPECT_EQ(budget_->used_bytes(), 0u);
}

TEST_F(PinCacheTest, AFailureToPinIsNotTriedAtEveryTouch) {
  pinner_->refuse_with = SLIPWAY_E_INVALID;
  Declare(0, kChunk);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Touch(0, kChunk), LeaseAnswer::kStage);
  EXPECT_EQ(pinner_->refused, 2u) << "once for reading and writing, once for reading alone";
  EXPECT_EQ(budget_->used_bytes(), 0u);
  pinner_->refuse_with = SLIPWAY_OK;
  Pass(1001 * kMs);
  cache_->Return(Hold(0, kChunk));
  EXPECT_TRUE(Undeclare(0, kChunk).ok());
}

}  // namespace
}  // namespace slipway
