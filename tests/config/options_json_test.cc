#include "slipway/options_json.hpp"

#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

using OptionsJsonTest = ConfigTest;

TEST_F(OptionsJsonTest, IsReadBackAsTheSame) {
  Options o;
  o.name = "node";
  o.plugin_path = {"/a", "with \"quotes\" and \\ and gr\xc3\xbc\xc3\x9f"};
  o.transports.push_back({"t", "p", true, 5, R"({"x":[1,{"y":"z"}]})"});
  o.memory_providers.push_back({.name = "m"});
  o.log.level = LogLevelOption::kError;
  o.memory.pin_policy = PinPolicy::kOff;
  o.memory.budget_bytes = 123'456'789;
  o.transfer.verify_registrations = true;
  o.control.listen = "";
  const Options back = Accept(OptionsToJson(o));
  EXPECT_EQ(OptionsToJson(back), OptionsToJson(o));
  EXPECT_EQ(back.plugin_path, o.plugin_path);
  EXPECT_EQ(back.transports[0].options_json, o.transports[0].options_json);
  EXPECT_EQ(back.transports[0].priority, 5);
  EXPECT_EQ(back.memory.budget_bytes, 123'456'789u);
  EXPECT_EQ(back.control.listen, "");
}

TEST_F(OptionsJsonTest, ControlCharactersAreEscapedAndThenRefused) {
  Options o;
  o.log.file = std::string("a\0\x1f\n", 4);
  EXPECT_THAT(OptionsToJson(o), HasSubstr(R"("a\u0000\u001f\u000a")"));
  EXPECT_THAT(Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_VALUE), HasSubstr("/log/file"));
}

TEST_F(OptionsJsonTest, WrongOptionsAreRefusedByTheReader) {
  Options o;
  o.transfer.spin_us = ~uint64_t{0};
  EXPECT_THAT(Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_VALUE), HasSubstr("/transfer/spin_us"));
  o = {};
  o.memory.pin_policy = static_cast<PinPolicy>(99);
  EXPECT_THAT(Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_VALUE), HasSubstr("/memory/pin_policy"));
  o = {};
  o.log.file = "\xff";
  Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_SYNTAX);
  o = {};
  o.transports.push_back({.name = "t", .options_json = "not json"});
  Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_SYNTAX);
  o.transports[0].options_json = "[]";
  EXPECT_THAT(Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_TYPE), HasSubstr("/transports/0/options"));
  o.transports[0].options_json = R"({}, "required": true)";
  EXPECT_THAT(Refuse(OptionsToJson(o), SLIPWAY_E_CONFIG_KEY), HasSubstr("/transports/0/required"));
}

}  // namespace
}  // namespace slipway
