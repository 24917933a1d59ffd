// What an engine pins: on demand as it is delivered, as its configuration and its environment say.
#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/engine/fixture.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

using testing::HasSubstr;

// Sets a variable for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    const char* const before = std::getenv(name);
    if (before != nullptr) before_ = before;
    setenv(name, value, 1);
  }
  ~Variable() {
    if (before_.empty()) {
      unsetenv(name_);
    } else {
      setenv(name_, before_.c_str(), 1);
    }
  }

 private:
  const char* const name_;
  std::string before_;
};

class EnginePinningTest : public testing::Test {
 protected:
  Json Config() {
    Json json = Configuration({Use("fake", {{"tag", "pinning"}})});
    json["memory"]["cache"] = {{"chunk_bytes", "1MiB"}};
    return json;
  }
  // Writes all of `local` so often, and returns how many of the last write's slices were staged.
  uint64_t WriteTimes(const Engine& engine, const Bytes& local, int times) {
    const Segment segment = *engine.Open("/s");
    uint64_t staged = 0;
    for (int i = 0; i < times; ++i) {
      const Request request = WriteRequest(segment, 0, local.data(), local.size());
      Result<Batch> batch = engine.Submit({&request, 1});
      EXPECT_TRUE(batch->Wait().ok());
      staged = batch->result(0)->staged_slices;
    }
    return staged;
  }
};

TEST_F(EnginePinningTest, WhatIsUsedAgainAndAgainIsPinnedAndUndeclaringLetsGoOfIt) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  const Engine engine = Make(Config());
  Bytes memory(4 * kMiB), local = Pattern(4 * kMiB, 5);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  ASSERT_TRUE(engine.Declare(local.data(), local.size()).ok());
  EXPECT_EQ(FakeCounters("pinning").registrations_now, 2u) << "the pool and the segment: declaring pins nothing";
  EXPECT_TRUE(test::WaitUntil([&] { return WriteTimes(engine, local, 1) == 0; })) << "never all direct";
  EXPECT_EQ(memory, local);
  const Json described = Described(engine);
  EXPECT_EQ(described["memory"]["pin_policy"], "on-demand");
  EXPECT_EQ(described["memory"]["pin_cache"][0]["name"], "fake");
  EXPECT_GE(described["memory"]["pin_cache"][0]["bytes"].get<uint64_t>(), local.size());
  EXPECT_TRUE(described["memory"]["regions"][0]["on_demand"].get<bool>());
  EXPECT_GE(described["counters"]["pin_hits"].get<uint64_t>(), 4u);
  EXPECT_GT(described["counters"]["mappings"].get<uint64_t>(), 0u);
  EXPECT_TRUE(engine.Undeclare(local.data(), local.size(), 20'000).ok());
  EXPECT_EQ(FakeCounters("pinning").registrations_now, 2u);
  EXPECT_EQ(FakeCounters("pinning").violations, 0u);
}

TEST_F(EnginePinningTest, TheEnvironmentSwitchesPinningOff) {
  const Variable off("MC_STORE_PIN_MEMORY", "0");
  const Engine engine = Make(Config());
  Bytes memory(4 * kMiB), local = Pattern(4 * kMiB, 5);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  ASSERT_TRUE(engine.Declare(local.data(), local.size()).ok());
  EXPECT_GT(WriteTimes(engine, local, 4), 0u);
  EXPECT_EQ(FakeCounters("pinning").registrations_peak, 2u) << "the pool and the segment";
  EXPECT_EQ(Described(engine)["memory"]["pin_policy"], "off");
  EXPECT_EQ(memory, local);
}

TEST_F(EnginePinningTest, TheEnvironmentSetsTheBudget) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  constexpr uint64_t kBudget = 8 * kMiB + 4 * kMiB + 4 * kMiB;  // the pool, the segment, and half of what is written
  const Variable budget("MC_STORE_PIN_MEMORY_MAX_BYTES", "16777216");
  const Engine engine = Make(Config());
  Bytes memory(4 * kMiB - 4096), local = Pattern(memory.size(), 5);
  std::vector<Bytes> more(3, local);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  EXPECT_EQ(Described(engine)["memory"]["budget_bytes"], kBudget);
  for (Bytes& m : more) ASSERT_TRUE(engine.Declare(m.data(), m.size()).ok());
  for (int round = 0; round < 4; ++round) {
    for (Bytes& m : more) {
      (void)WriteTimes(engine, m, 1);
      EXPECT_LE(Described(engine)["memory"]["pinned_bytes"].get<uint64_t>(), kBudget);
    }
  }
  EXPECT_LE(Described(engine)["counters"]["pin_peak_bytes"].get<uint64_t>(), kBudget);
  EXPECT_EQ(memory, local);
}

TEST_F(EnginePinningTest, ABudgetThatThePoolAloneUsesUpIsRefused) {
  if (!MayPin()) GTEST_SKIP() << "without pinning on demand the pool may use it all";
  const Variable budget("MC_STORE_PIN_MEMORY_MAX_BYTES", "8MiB");
  const Status refused = TryMake(Config()).status();
  EXPECT_EQ(refused.code(), SLIPWAY_E_CONFIG_CONFLICT);
  EXPECT_THAT(refused.message(), HasSubstr("MC_STORE_PIN_MEMORY_MAX_BYTES"));
}

}  // namespace
}  // namespace slipway
