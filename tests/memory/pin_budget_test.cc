// The cap is hard: no order of calls, and no number of threads, gets above it.
#include "core/memory/pin_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace slipway {
namespace {

TEST(PinBudgetTest, ReservesUpToTheCapAndNotAByteMore) {
  Counters counters;
  PinBudget budget(100, counters);
  EXPECT_FALSE(budget.TryReserve(101));
  EXPECT_TRUE(budget.TryReserve(60));
  EXPECT_FALSE(budget.TryReserve(41));
  EXPECT_TRUE(budget.TryReserve(40));
  EXPECT_FALSE(budget.TryReserve(1));
  EXPECT_TRUE(budget.TryReserve(0));
  budget.Release(60);
  EXPECT_EQ(budget.used_bytes(), 40u);
  EXPECT_EQ(counters.Get(Counter::kPinNowBytes), 40u);
  EXPECT_EQ(counters.Get(Counter::kPinPeakBytes), 100u);
}

TEST(PinBudgetTest, SumsThatWouldWrapAreRefused) {
  Counters counters;
  PinBudget budget(UINT64_MAX - 1, counters);
  EXPECT_TRUE(budget.TryReserve(UINT64_MAX - 1));
  EXPECT_FALSE(budget.TryReserve(2));
  EXPECT_FALSE(budget.TryReserve(UINT64_MAX));
  budget.Release(UINT64_MAX - 1);
  PinBudget none(0, counters);
  EXPECT_FALSE(none.TryReserve(1));
  EXPECT_TRUE(none.TryReserve(0));
}

TEST(PinBudgetTest, WithoutACapEverythingFits) {
  Counters counters;
  PinBudget budget(PinBudget::kNoCap, counters);
  EXPECT_TRUE(budget.TryReserve(uint64_t{1} << 62));
  EXPECT_TRUE(budget.TryReserve(uint64_t{1} << 62));
  budget.Release(uint64_t{2} << 62);
}

// What the threads really hold is counted beside the budget, before releasing and after reserving, so that the count is
// never more than what is held: if it were above the cap, the cap would have been broken.
TEST(PinBudgetTest, EightThreadsNeverGetAboveTheCap) {
  constexpr uint64_t kCap = 1000;
  Counters counters;
  PinBudget budget(kCap, counters);
  std::atomic<uint64_t> held{0};
  std::atomic<uint64_t> above{0}, got{0}, refused{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < 5'000; ++i) {
        const uint64_t bytes = random() % 400;
        if (!budget.TryReserve(bytes)) {
          ++refused;
          continue;
        }
        ++got;
        if (held.fetch_add(bytes) + bytes > kCap) ++above;
        if (budget.used_bytes() > kCap) ++above;
        if (i % 8 == 0) std::this_thread::yield();
        held.fetch_sub(bytes);
        budget.Release(bytes);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(above, 0u);
  EXPECT_GT(got, 0u);
  EXPECT_EQ(budget.used_bytes(), 0u);
  EXPECT_LE(counters.Get(Counter::kPinPeakBytes), kCap);
  EXPECT_EQ(counters.Get(Counter::kPinNowBytes), 0u) << "the gauge says what is pinned now, also after a race";
}

TEST(PinCapTest, TheSmallerOfWhatIsConfiguredAndNineTenthsOfWhatTheSystemAllows) {
  constexpr uint64_t kNone = PinBudget::kNoCap;
  EXPECT_EQ(PinCapBytes(0, 1000, false), 900u);
  EXPECT_EQ(PinCapBytes(500, 1000, false), 500u);
  EXPECT_EQ(PinCapBytes(950, 1000, false), 900u);
  EXPECT_EQ(PinCapBytes(900, 1000, false), 900u);
  EXPECT_EQ(PinCapBytes(0, 1000, true), kNone);
  EXPECT_EQ(PinCapBytes(5000, 1000, true), 5000u);
  EXPECT_EQ(PinCapBytes(0, kNone, false), kNone);
  EXPECT_EQ(PinCapBytes(7, kNone, false), 7u);
  EXPECT_EQ(PinCapBytes(0, 0, false), 0u) << "nothing may be locked";
  EXPECT_EQ(PinCapBytes(0, kNone - 1, false), kNone - 1 - (kNone - 1) / 10) << "no overflow";
  EXPECT_LE(PinCapBytes(4096), 4096u) << "the system never allows more than what is configured";
}

}  // namespace
}  // namespace slipway
