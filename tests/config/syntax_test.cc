// What is not JSON, and what is JSON only just.
#include <random>

#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using SyntaxTest = ConfigTest;

TEST_F(SyntaxTest, SaysTheLineAndTheColumn) {
  EXPECT_THAT(Refuse("{\n  \"name\": \"a\",\n  oops\n}", SLIPWAY_E_CONFIG_SYNTAX),
              HasSubstr("node.json: line 3, column 3: not JSON: syntax error"));
  EXPECT_THAT(Refuse("{\"name\": \"a\",}", SLIPWAY_E_CONFIG_SYNTAX), HasSubstr("line 1, column 14"));
}

TEST_F(SyntaxTest, RefusesWhatIsNotJson) {
  for (const char* text : {"",
                           " \n\t",
                           "{",
                           "}",
                           "[",
                           "{]",
                           "nul",
                           "hello",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"name\": \"a\"} x",
                           "{} {}",
                           "{'name': 'a'}",
                           "{name: 1}",
                           "// c\n{}",
                           "{/* c */}",
                           "{\"transfer\": {\"spin_us\": NaN}}",
                           "{\"transfer\": {\"spin_us\": Infinity}}",
                           "{\"transfer\": {\"spin_us\": +1}}",
                           "{\"transfer\": {\"spin_us\": 01}}",
                           "{\"transfer\": {\"spin_us\": 0x10}}",
                           "{\"name\": \"\\x41\"}",
                           "{\"name\": \"\\ud800\"}",
                           "{\"name\": \"line\nbreak\"}",
                           "{\"name\": \"open",
                           "<name>a</name>"}) {
    Refuse(text, SLIPWAY_E_CONFIG_SYNTAX);
  }
  Refuse(std::string_view("{\0}", 3), SLIPWAY_E_CONFIG_SYNTAX);
}

TEST_F(SyntaxTest, RefusesTopLevelsThatAreNoObject) {
  for (const char* text : {"null", "true", "1", "\"{}\"", "[]", "[{}]"}) {
    EXPECT_THAT(Refuse(text, SLIPWAY_E_CONFIG_TYPE), HasSubstr("expected an object")) << text;
  }
}

TEST_F(SyntaxTest, RefusesWhatIsNotUtf8) {
  for (const char* bytes : {"\xff", "\xc3", "\xc3(", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf"}) {
    const std::string message = Refuse("{\"name\": \"" + std::string(bytes) + "\"}", SLIPWAY_E_CONFIG_SYNTAX);
    EXPECT_THAT(message, HasSubstr("UTF-8"));
    EXPECT_THAT(message, Not(HasSubstr(bytes)));
    Refuse("{\"" + std::string(bytes) + "\": 1}", SLIPWAY_E_CONFIG_SYNTAX);
  }
}

TEST_F(SyntaxTest, RefusesDeepNesting) {
  for (const size_t depth : {size_t{65}, size_t{5000}, size_t{1000000}}) {
    EXPECT_THAT(Refuse(std::string(depth, '['), SLIPWAY_E_CONFIG_SYNTAX), HasSubstr("deeper than 64 levels"));
    std::string objects;
    for (size_t i = 0; i < depth; ++i) objects += "{\"a\":";
    EXPECT_THAT(Refuse(objects, SLIPWAY_E_CONFIG_SYNTAX), HasSubstr("deeper than 64 levels"));
  }
}

TEST_F(SyntaxTest, TakesNestingUpToTheBound) {
  // The document, its list, an element and the options are four levels.
  const std::string inner = std::string(60, '[') + std::string(60, ']');
  const Options o = Accept(R"({"transports": [{"name": "t", "options": {"deep": )" + inner + "}}]}");
  EXPECT_EQ(o.transports[0].options_json, "{\"deep\":" + inner + "}");
}

TEST_F(SyntaxTest, RefusesTooMuchText) {
  EXPECT_THAT(Refuse(std::string((16u << 20) + 1, ' '), SLIPWAY_E_CONFIG_SYNTAX), HasSubstr("more than 16 MiB"));
}

TEST_F(SyntaxTest, RefusesRepeatedKeysWhereverTheyAre) {
  EXPECT_THAT(Refuse(R"({"name": "a", "name": "a"})", SLIPWAY_E_CONFIG_KEY),
              HasSubstr("/name: found this key again, expected each key once"));
  EXPECT_THAT(Refuse(R"({"memory": {"staging": {"bytes": 1}, "staging": {"bytes": 2}}})", SLIPWAY_E_CONFIG_KEY),
              HasSubstr("/memory/staging: found this key again"));
  EXPECT_THAT(Refuse(R"({"transports": [{"name": "a"}, {"name": "b", "options": {"x": [0, {"y": 1, "y": [{}]}]}}]})",
                     SLIPWAY_E_CONFIG_KEY),
              HasSubstr("/transports/1/options/x/1/y: found this key again"));
  // Written differently, and the same key.
  EXPECT_THAT(Refuse(R"({"name": "a", "n\u0061me": "b"})", SLIPWAY_E_CONFIG_KEY), HasSubstr("/name: found this key"));
}

TEST_F(SyntaxTest, WhatFollowsARepeatedKeyIsStillRead) {
  const std::string message =
      Refuse(R"({"log": {}, "log": {"a": {"a": 1, "a": 2}, "b": [1, [2]]}, "name": 7})", SLIPWAY_E_CONFIG_KEY);
  EXPECT_THAT(message, HasSubstr("2 errors"));
  EXPECT_THAT(message, HasSubstr("/name: found number 7"));
}

TEST_F(SyntaxTest, ManyKeysTakeNoQuadraticTime) {
  std::string json = R"({"transports": [{"name": "t", "options": {)";
  for (int i = 0; i < 200'000; ++i) json += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
  EXPECT_GT(Accept(json + "}}]}").transports[0].options_json.size(), 1u << 20);
}

TEST_F(SyntaxTest, ADamagedTextNeverThrows) {
  const std::string good = R"({"name": "n", "memory": {"staging": {"bytes": "64MiB"}}, "transports": [{"name": "t"}]})";
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = good;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 5);
          break;
        default:
          text.insert(at, 1, "{}[]\",:0-"[random() % 9]);
      }
      if (text.empty()) break;
    }
    const Result<Options> result = Parse(text);
    if (result.ok()) continue;
    ++refused;
    ASSERT_LE(result.status().code(), SLIPWAY_E_CONFIG_SYNTAX) << text;
    ASSERT_GE(result.status().code(), SLIPWAY_E_CONFIG_CONFLICT) << text;
  }
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace slipway
