// Plugins that cannot be used: what the engine says, and whether it goes on.
#include <algorithm>

#include "tests/engine/fixture.h"

namespace slipway {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Bad {
  const char* plugin;
  slipway_status status;
};

class BadPluginTest : public testing::TestWithParam<Bad> {};

TEST_P(BadPluginTest, StopsTheEngineOnlyWhereItIsRequired) {
  Json use = Use(GetParam().plugin);
  Json json = Configuration({use, Use("fake")});
  const Engine engine = Make(json);
  ASSERT_TRUE(engine) << "an optional one is a warning";
  const Json described = Described(engine);
  ASSERT_EQ(described["transports"].size(), 1u);
  ASSERT_EQ(described["not_loaded"].size(), 1u);
  EXPECT_EQ(described["not_loaded"][0]["name"], GetParam().plugin);
  EXPECT_THAT(described["not_loaded"][0]["reason"].get<std::string>(),
              HasSubstr(slipway_status_name(GetParam().status)));
  json["transports"][0]["required"] = true;
  const Result<Engine> refused = TryMake(json);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), GetParam().status) << refused.status().message();
  EXPECT_THAT(refused.status().message(), AllOf(HasSubstr(GetParam().plugin), HasSubstr("required")));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadPluginTest,
    testing::Values(Bad{"nowhere", SLIPWAY_E_PLUGIN_NOT_FOUND}, Bad{"undefined", SLIPWAY_E_PLUGIN_OPEN},
                    Bad{"missing-dependency", SLIPWAY_E_PLUGIN_OPEN}, Bad{"no-symbol", SLIPWAY_E_PLUGIN_NO_ENTRY},
                    Bad{"newer-major", SLIPWAY_E_PLUGIN_ABI_NEWER}, Bad{"older-major", SLIPWAY_E_PLUGIN_ABI_OLDER},
                    Bad{"bad-header", SLIPWAY_E_PLUGIN_ABI_MISMATCH}, Bad{"null-entries", SLIPWAY_E_PLUGIN_INCOMPLETE},
                    Bad{"wrong-name", SLIPWAY_E_PLUGIN_NAME}),
    [](const auto& info) {
      std::string name = info.param.plugin;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(PluginsTest, ATransportThatThePluginDoesNotOfferIsNamed) {
  Json use = {{"name", "teleport"}, {"plugin", "fake"}, {"required", true}};
  const Result<Engine> refused = TryMake(Configuration({use}));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), SLIPWAY_E_PLUGIN_NO_TRANSPORT);
  EXPECT_THAT(refused.status().message(), AllOf(HasSubstr("teleport"), HasSubstr("fake")));
}

TEST(PluginsTest, OptionsThatThePluginRefusesHaveTheirPath) {
  Json json = Configuration({Use("fake-b"), Use("fake", {{"local_align", 3}})});
  json["transports"][1]["required"] = true;
  Result<Engine> refused = TryMake(json);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), SLIPWAY_E_PLUGIN_CONFIG) << refused.status().message();
  EXPECT_THAT(refused.status().message(), HasSubstr("/transports/1/options/local_align"));
  json["transports"][1]["options"] = {{"max_inflite", 3}};
  refused = TryMake(json);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr("/transports/1/options/max_inflite"));
}

TEST(PluginsTest, AllTransportsMayBeMissingAndThenThereIsNoRoute) {
  const Engine engine = Make(Configuration({Use("nowhere")}));
  Bytes memory(4096);
  const Status refused = Publish(engine, "s", memory);
  EXPECT_EQ(refused.code(), SLIPWAY_E_NO_ROUTE);
}

TEST(PluginsTest, WhatTheBudgetCannotHoldIsAConflictWithItsPath) {
  Json json = Configuration({Use("fake", {{"max_slice_bytes", "1MiB"}})});
  json["memory"]["budget_bytes"] = "9MiB";
  Result<Engine> refused = TryMake(json);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), SLIPWAY_E_CONFIG_CONFLICT);
  EXPECT_THAT(refused.status().message(), HasSubstr("/memory/budget_bytes"));
  json["memory"]["budget_bytes"] = "10MiB";
  EXPECT_TRUE(TryMake(json).ok());
}

}  // namespace
}  // namespace slipway
