// Closing what other threads use: whoever closes waits for those inside, and nobody comes in afterwards.
#include "slipway/sdk/gate.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "slipway/sdk/grant.hpp"
#include "tests/support/plugin_driver.h"

namespace slipway::sdk {
namespace {

class GateTest : public testing::Test {
 protected:
  test::TestHost clock_;
  const Host host_{clock_.table()};
  Gate gate_;
};

TEST_F(GateTest, ManyAreInsideUntilItIsClosed) {
  const Pass first(gate_);
  {
    const Pass second(gate_);
    EXPECT_TRUE(first && second);
  }
  EXPECT_FALSE(gate_.closed());
  EXPECT_FALSE(gate_.Close(host_, 0)) << "one is still inside";
  EXPECT_TRUE(gate_.closed());
  const Pass late(gate_);
  EXPECT_FALSE(late);
}

TEST_F(GateTest, AnEmptyOneClosesAtOnceAndAgain) {
  clock_.StopClock();
  EXPECT_TRUE(gate_.Close(host_, 0));
  EXPECT_TRUE(gate_.Close(host_, 0));
}

TEST_F(GateTest, ClosingWaitsForThoseInside) {
  ASSERT_TRUE(gate_.Enter());
  std::atomic<bool> left{false};
  std::thread closer([&] {
    EXPECT_TRUE(gate_.Close(host_, kNoTimeoutNs));
    EXPECT_TRUE(left);
  });
  ASSERT_TRUE(test::WaitUntil([&] { return gate_.closed(); }));
  left = true;
  gate_.Leave();
  closer.join();
}

TEST_F(GateTest, ClosingGivesUpByTheHostsClock) {
  clock_.StopClock();
  ASSERT_TRUE(gate_.Enter());
  std::atomic<bool> late{false};
  std::thread closer([&] {
    EXPECT_FALSE(gate_.Close(host_, 1000));
    EXPECT_TRUE(late);
  });
  ASSERT_TRUE(test::WaitUntil([&] { return gate_.closed(); }));
  clock_.Advance(500);
  late = true;
  clock_.Advance(500);
  closer.join();
  EXPECT_TRUE(gate_.closed());
  gate_.Leave();
  EXPECT_TRUE(gate_.Close(host_, 0));
}

TEST_F(GateTest, TryingToCloseLeavesItAsItWas) {
  ASSERT_TRUE(gate_.Enter());
  EXPECT_FALSE(gate_.TryClose(host_, 0));
  EXPECT_FALSE(gate_.closed());
  ASSERT_TRUE(gate_.Enter());
  gate_.Leave();
  gate_.Leave();
  EXPECT_TRUE(gate_.TryClose(host_, 0));
  EXPECT_FALSE(gate_.Enter());
}

// What the gate guards is a plain variable, so that the thread sanitizer sees whoever is inside too late. Those who are
// refused go on trying, which must not keep the gate from closing.
TEST_F(GateTest, NobodyIsInsideOnceItIsClosed) {
  for (int round = 0; round < 100; ++round) {
    Gate gate;
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> passed{0};
    int guarded = 0, sum = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        int seen = 0;
        while (!stop) {
          if (const Pass pass(gate); pass) {
            seen |= guarded;
            ++passed;
          }
        }
        EXPECT_EQ(seen, 0);
      });
    }
    ASSERT_TRUE(test::WaitUntil([&] { return passed > 10; }));
    ASSERT_TRUE(gate.Close(host_, 20'000'000'000));
    guarded = 1;
    const uint64_t inside = passed;
    sum += guarded;
    EXPECT_EQ(passed, inside);
    stop = true;
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(sum, 1);
  }
}

// ---- what stands behind a registration -------------------------------------------------------------------------

class GrantTest : public GateTest {
 protected:
  std::unique_ptr<Registration> Register(uint64_t length) {
    const slipway_range range = {sizeof(range), SLIPWAY_ACCESS_ALL, memory_, length, SLIPWAY_MEM_HOST, -1, -1, 0};
    std::unique_ptr<Registration> mr;
    EXPECT_EQ(grants_.Register(range, mr), SLIPWAY_OK);
    return mr;
  }
  static uint64_t KeyOf(Registration& mr) { return GrantTable::Of(mr).key; }

  GrantTable grants_;
  char memory_[64] = {};
};

TEST_F(GrantTest, IsFoundByItsKeyUntilItIsDeregistered) {
  const std::unique_ptr<Registration> one = Register(64), two = Register(32);
  ASSERT_NE(KeyOf(*one), KeyOf(*two));
  const std::shared_ptr<Grant> found = grants_.Find(KeyOf(*two));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->range.length, 32u);
  EXPECT_EQ(found->At(5), memory_ + 5);
  EXPECT_EQ(grants_.Deregister(host_, *two), SLIPWAY_OK);
  EXPECT_EQ(grants_.Find(KeyOf(*two)), nullptr);
  EXPECT_NE(grants_.Find(KeyOf(*one)), nullptr);
  EXPECT_FALSE(Pass(found->gate)) << "who found it before is refused as well";
}

TEST_F(GrantTest, IsBusyWhileSomebodyCopiesAndThenAsItWas) {
  const std::unique_ptr<Registration> mr = Register(64);
  const std::shared_ptr<Grant> grant = grants_.Find(KeyOf(*mr));
  clock_.StopClock();
  ASSERT_TRUE(grant->gate.Enter());
  std::thread owner([&] { EXPECT_EQ(grants_.Deregister(host_, *mr), SLIPWAY_E_BUSY); });
  ASSERT_TRUE(test::WaitUntil([&] { return grant->gate.closed(); }));
  clock_.Advance(GrantTable::kRevokeNs);
  owner.join();
  EXPECT_EQ(grants_.Find(KeyOf(*mr)), grant);
  EXPECT_TRUE(Pass(grant->gate));
  grant->gate.Leave();
  EXPECT_EQ(grants_.Deregister(host_, *mr), SLIPWAY_OK);
}

}  // namespace
}  // namespace slipway::sdk
