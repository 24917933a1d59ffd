#include "core/config/environment.h"

#include <cstdlib>

#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using EnvironmentTest = ConfigTest;

TEST_F(EnvironmentTest, OverridesTheFile) {
  SetVariable("SLIPWAY_LOG_LEVEL", "debug");
  SetVariable("SLIPWAY_CONTROL_LISTEN", "[::1]:9");
  SetVariable("SLIPWAY_STAGING_BYTES", "8MiB");
  SetVariable("MC_STORE_PIN_MEMORY", "0");
  SetVariable("MC_STORE_PIN_MEMORY_MAX_BYTES", "1073741824");
  const Options o = Accept(R"({"log": {"level": "error"}, "control": {"listen": ""},
                               "memory": {"pin_policy": "whole-region", "staging": {"bytes": 0}, "budget_bytes": 1}})");
  EXPECT_EQ(o.log.level, LogLevelOption::kDebug);
  EXPECT_EQ(o.control.listen, "[::1]:9");
  EXPECT_EQ(o.memory.staging.bytes, 8u << 20);
  EXPECT_EQ(o.memory.staging.chunk_bytes, 1u << 20) << "the key beside it stays";
  EXPECT_EQ(o.memory.pin_policy, PinPolicy::kOff);
  EXPECT_EQ(o.memory.budget_bytes, 1u << 30);
}

TEST_F(EnvironmentTest, PluginFoldersComeFirst) {
  SetVariable("SLIPWAY_PLUGIN_PATH", ":/a::/b:");
  EXPECT_THAT(Accept(R"({"plugin_path": ["/c"]})").plugin_path, ElementsAre("/a", "/b", "/c"));
}

TEST_F(EnvironmentTest, TooManyPluginFoldersAreRefused) {
  std::string folders;
  for (int i = 0; i < 64; ++i) folders += "/f:";
  SetVariable("SLIPWAY_PLUGIN_PATH", folders);
  EXPECT_EQ(Accept("{}").plugin_path.size(), 64u);
  EXPECT_THAT(Refuse(R"({"plugin_path": ["/c"]})", SLIPWAY_E_CONFIG_ENV), HasSubstr("SLIPWAY_PLUGIN_PATH"));
}

TEST_F(EnvironmentTest, PinningIsSwitchedOffByTheWordsForIt) {
  for (const char* text : {"0", "false", "False", "FALSE"}) {
    SetVariable("MC_STORE_PIN_MEMORY", text);
    EXPECT_EQ(Accept("{}").memory.pin_policy, PinPolicy::kOff) << text;
  }
  for (const char* text : {"1", "true", "TRUE", ""}) {
    SetVariable("MC_STORE_PIN_MEMORY", text);
    EXPECT_EQ(Accept("{}").memory.pin_policy, PinPolicy::kOnDemand) << text;
    EXPECT_EQ(Accept(R"({"memory": {"pin_policy": "whole-region"}})").memory.pin_policy, PinPolicy::kWholeRegion);
    EXPECT_EQ(Accept(R"({"memory": {"pin_policy": "off"}})").memory.pin_policy, PinPolicy::kOff) << text;
  }
}

TEST_F(EnvironmentTest, ABudgetOfZeroIsNone) {
  SetVariable("MC_STORE_PIN_MEMORY_MAX_BYTES", "0");
  EXPECT_EQ(Accept(R"({"memory": {"budget_bytes": "1GiB"}})").memory.budget_bytes, 0u);
}

TEST_F(EnvironmentTest, AnEmptyVariableCountsAsNotSet) {
  for (const EnvironmentOverride& entry : EnvironmentOverrides()) SetVariable(entry.name, "");
  const Options o = Accept(R"({"control": {"listen": "localhost:1"}, "log": {"level": "info"}})");
  EXPECT_EQ(o.control.listen, "localhost:1");
  EXPECT_EQ(o.log.level, LogLevelOption::kInfo);
}

TEST_F(EnvironmentTest, ABadValueNamesVariableAndKey) {
  SetVariable("SLIPWAY_STAGING_BYTES", "lots");
  EXPECT_EQ(
      Refuse("{}", SLIPWAY_E_CONFIG_ENV),
      "node.json: environment variable SLIPWAY_STAGING_BYTES, which overrides /memory/staging/bytes: found string "
      R"("lots", expected a size such as 65536 or "64KiB", from 0 to "1TiB")");
}

TEST_F(EnvironmentTest, EveryVariableRefusesGarbage) {
  for (const EnvironmentOverride& entry : EnvironmentOverrides()) {
    const std::string name = entry.name;
    const FixedEnvironment environment({{name, "\x1b garbage\n"}});
    const Status status = ParseOptions("{}", "options", environment).status();
    EXPECT_EQ(status.code(), SLIPWAY_E_CONFIG_ENV) << name;
    EXPECT_THAT(status.message(), HasSubstr("options: environment variable " + name + ", which overrides "));
    EXPECT_THAT(status.message(), HasSubstr(", expected "));
    EXPECT_EQ(status.message().find('\x1b'), std::string::npos);
  }
}

TEST_F(EnvironmentTest, ErrorsOfTheFileComeFirst) {
  SetVariable("SLIPWAY_LOG_LEVEL", "loud");
  const std::string message = Refuse(R"({"nme": 1})", SLIPWAY_E_CONFIG_KEY);
  EXPECT_LT(message.find("/nme"), message.find("SLIPWAY_LOG_LEVEL"));
}

TEST_F(EnvironmentTest, TheLogLevelOfTheFileIsNotExcused) {
  SetVariable("SLIPWAY_LOG_LEVEL", "info");
  EXPECT_THAT(Refuse(R"({"log": {"level": "loud"}})", SLIPWAY_E_CONFIG_VALUE), HasSubstr("/log/level"));
}

TEST_F(EnvironmentTest, AConflictSaysThatAVariableMadeIt) {
  SetVariable("SLIPWAY_STAGING_BYTES", "64KiB");
  EXPECT_THAT(Refuse("{}", SLIPWAY_E_CONFIG_CONFLICT),
              HasSubstr("/memory/staging/bytes, which is 64KiB (from the environment variable SLIPWAY_STAGING_BYTES)"));
  SetVariable("SLIPWAY_STAGING_BYTES", "");
  SetVariable("SLIPWAY_CONTROL_LISTEN", "0.0.0.0:1");
  EXPECT_THAT(Refuse("{}", SLIPWAY_E_CONFIG_CONFLICT), HasSubstr("SLIPWAY_CONTROL_LISTEN"));
}

TEST(ProcessEnvironment, IsTheProcesss) {
  ASSERT_EQ(setenv("SLIPWAY_LOG_LEVEL", "trace", 1), 0);
  const Result<Options> options = ParseOptions("{}", "options", ProcessEnvironment());
  unsetenv("SLIPWAY_LOG_LEVEL");
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->log.level, LogLevelOption::kTrace);
  EXPECT_EQ(ProcessEnvironment().Get("SLIPWAY_LOG_LEVEL"), std::nullopt);
}

}  // namespace
}  // namespace slipway
