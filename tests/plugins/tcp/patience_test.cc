// When an io thread goes on looking before it sleeps.
#include "plugins/tcp/patience.h"

#include <gtest/gtest.h>

namespace slipway::tcp {
namespace {

constexpr uint64_t kLimit = 50'000, kShort = 12'000;  // ns
// What a request takes there and back, and how much longer where the thread has to be woken for it.
constexpr uint64_t kWaking = 45'000;

// A peer that sends the next request as soon as it has the answer, at times of its own.
class PatienceTest : public testing::Test {
 protected:
  // One more request after `interval`, or later where the thread sleeps: returns whether it slept.
  bool Request(uint64_t interval) {
    const uint64_t due = now_ + interval;
    const bool looks = patience_.Looks(now_) && patience_.Looks(due);
    now_ = looks ? due : due + kWaking;
    patience_.OnEvent(now_);
    return !looks;
  }
  uint64_t Slept(int requests, uint64_t interval) {
    uint64_t slept = 0;
    for (int i = 0; i < requests; ++i) slept += Request(interval) ? 1 : 0;
    return slept;
  }

  Patience patience_{kLimit};
  uint64_t now_ = 1'000'000'000;
};

TEST_F(PatienceTest, LooksOnceRequestsComeAtShortIntervals) {
  EXPECT_FALSE(patience_.Looks(now_));
  EXPECT_LE(Slept(100, kShort), 6u);
  EXPECT_TRUE(patience_.Looks(now_ + kLimit - 1));
  EXPECT_FALSE(patience_.Looks(now_ + kLimit));
}

// Being woken takes as long as the limit: who slept once looks again all the same, and soon.
TEST_F(PatienceTest, OneLongIntervalDoesNotPutItToSleepForGood) {
  Slept(100, kShort);
  EXPECT_TRUE(Request(100'000));
  EXPECT_LE(Slept(100, kShort), 2u);
  EXPECT_TRUE(Request(1'000'000));
  EXPECT_LE(Slept(100, kShort), 3u);
}

// A rhythm that looking always misses: it costs the thread less and less.
TEST_F(PatienceTest, LooksInVainBecomeRare) {
  uint64_t looked = 0;
  for (int i = 0; i < 10'000; ++i) {
    looked += patience_.Looks(now_) ? 1 : 0;
    Request(kLimit * 3 / 2);
  }
  EXPECT_LT(looked, 200u);
  EXPECT_GT(looked, 20u);
  EXPECT_LE(Slept(1000, kShort), 70u) << "and when the rhythm changes, it looks again";
}

TEST_F(PatienceTest, DoesNotLookWhereRequestsAreRareOrLong) {
  for (int i = 0; i < 1000; ++i) {
    Request(kLimit * 5);
    EXPECT_FALSE(patience_.Looks(now_));
  }
  Slept(100, kShort);
  patience_.OnMuchToDo();
  EXPECT_FALSE(patience_.Looks(now_));
  EXPECT_TRUE(Request(kShort));
  EXPECT_TRUE(Request(kShort)) << "and not after the first short one either";
}

TEST_F(PatienceTest, NeverLooksWithALimitOfNothing) {
  Patience none(0);
  for (int i = 0; i < 100; ++i) {
    none.OnEvent(++now_);
    EXPECT_FALSE(none.Looks(now_));
  }
}

}  // namespace
}  // namespace slipway::tcp
