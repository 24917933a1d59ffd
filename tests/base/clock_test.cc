#include "core/base/clock.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

TEST(Clock, TheSystemsNeverGoesBack) {
  uint64_t last = SystemClock().NowNs();
  EXPECT_GT(last, 0u);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t now = SystemClock().NowNs();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Clock, TheFakeOneMovesWhenTold) {
  FakeClock clock;
  const uint64_t start = clock.NowNs();
  EXPECT_EQ(clock.NowNs(), start);
  clock.Advance(5);
  EXPECT_EQ(clock.NowNs(), start + 5);
}

TEST(Clock, ADeadlineTooFarAwayIsNone) {
  EXPECT_EQ(DeadlineAfter(10, 5), 15u);
  EXPECT_EQ(DeadlineAfter(10, kNoDeadline), kNoDeadline);
  EXPECT_EQ(DeadlineAfter(kNoDeadline, 1), kNoDeadline);
}

}  // namespace
}  // namespace slipway
