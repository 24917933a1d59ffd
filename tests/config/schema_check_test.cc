#include "core/config/schema_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status_name.h"
#include "slipway/options_fields.hpp"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kSchema = R"({
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "required": ["device"],
  "properties": {
    "device": {"type": "string", "minLength": 1},
    "lanes": {"type": "integer", "minimum": 1, "maximum": 64},
    "mode": {"enum": ["push", "pull"]},
    "ratio": {"type": ["number", "null"], "exclusiveMinimum": 0},
    "hosts": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "maxItems": 2, "uniqueItems": true},
    "limits": {"$ref": "#/definitions/limits"},
    "either": {"oneOf": [{"type": "integer"}, {"type": "string"}]}
  },
  "definitions": {
    "limits": {"type": "object", "additionalProperties": false,
               "properties": {"depth": {"type": "integer", "minimum": 0}, "inner": {"$ref": "#/definitions/limits"}}}
  }
})";

class SchemaCheckTest : public ::testing::Test {
 protected:
  void UseSchema(const std::string& schema) { schema_ = schema; }
  Status Check(const std::string& json) const {
    return CheckAgainstSchema(schema_, json, "/transports/0/options", "node.json");
  }
  void Accept(const std::string& json) const {
    const Status status = Check(json);
    EXPECT_TRUE(status.ok()) << json << "\n" << status.message();
  }
  std::string Refuse(const std::string& json, slipway_status code) const {
    const Status status = Check(json);
    EXPECT_EQ(StatusName(status.code()), std::string(StatusName(code))) << json << "\n" << status.message();
    EXPECT_THAT(status.message(), StartsWith("node.json: "));
    return status.message();
  }
  // The schema is refused, whatever the options are.
  void SchemaIsAtFault(const std::string& schema, const std::string& why = "") {
    UseSchema(schema);
    for (const char* json : {"{}", R"({"a": 1})", R"({"a": {"a": "x"}})"}) {
      const std::string message = Refuse(json, SLIPWAY_E_PLUGIN_CONFIG);
      EXPECT_THAT(message, HasSubstr("/transports/0/options: cannot be checked, because the plugin's own JSON Schema"));
      EXPECT_THAT(message, HasSubstr(why));
    }
  }

 private:
  std::string schema_ = kSchema;
};

TEST_F(SchemaCheckTest, AcceptsWhatFollowsIt) {
  Accept(R"({"device": "d"})");
  Accept(R"({"device": "d", "lanes": 64, "mode": "pull", "ratio": null, "hosts": ["a", "b"], "either": 1,
             "limits": {"depth": 0, "inner": {"inner": {"depth": 7}}}})");
}

TEST_F(SchemaCheckTest, SaysWhereWhatAndWhatInstead) {
  EXPECT_EQ(Refuse(R"({"device": "d", "lanes": 65})", SLIPWAY_E_CONFIG_VALUE),
            "node.json: /transports/0/options/lanes: found number 65, expected an integer of at least 1 and of at most "
            "64");
  EXPECT_EQ(Refuse(R"({"device": "d", "lanes": "8"})", SLIPWAY_E_CONFIG_TYPE),
            "node.json: /transports/0/options/lanes: found string \"8\", expected an integer of at least 1 and of at "
            "most 64");
  EXPECT_EQ(Refuse(R"({"device": "d", "lane": 1})", SLIPWAY_E_CONFIG_KEY),
            "node.json: /transports/0/options/lane: found an unknown key; did you mean \"lanes\"?");
  EXPECT_EQ(Refuse(R"({"device": "d", "mode": "shove"})", SLIPWAY_E_CONFIG_VALUE),
            R"(node.json: /transports/0/options/mode: found string "shove", expected one of "push", "pull")");
  EXPECT_EQ(Refuse("{}", SLIPWAY_E_CONFIG_VALUE),
            "node.json: /transports/0/options/device: found nothing, expected a string with a length of at least 1");
  EXPECT_EQ(
      Refuse(R"({"device": "d", "lanes": 1.5})", SLIPWAY_E_CONFIG_VALUE),
      "node.json: /transports/0/options/lanes: found number 1.5, expected an integer of at least 1 and of at most "
      "64");
}

TEST_F(SchemaCheckTest, FollowsReferencesAndItems) {
  EXPECT_THAT(Refuse(R"({"device": "d", "limits": {"inner": {"dept": 1}}})", SLIPWAY_E_CONFIG_KEY),
              HasSubstr("/transports/0/options/limits/inner/dept: found an unknown key; did you mean \"depth\"?"));
  EXPECT_THAT(Refuse(R"({"device": "d", "hosts": ["a", 1]})", SLIPWAY_E_CONFIG_TYPE),
              HasSubstr("/transports/0/options/hosts/1: found number 1"));
}

TEST_F(SchemaCheckTest, ListsSeveral) {
  EXPECT_THAT(Refuse(R"({"lanes": 0, "x": 1})", SLIPWAY_E_CONFIG_VALUE), HasSubstr("3 errors"));
}

TEST_F(SchemaCheckTest, ChecksAllOfDraft7) {
  if (!ChecksWholeSchema()) GTEST_SKIP() << "built without valijson";
  EXPECT_THAT(Refuse(R"({"device": ""})", SLIPWAY_E_CONFIG_VALUE), HasSubstr("/transports/0/options/device: found"));
  EXPECT_THAT(Refuse(R"({"device": "d", "hosts": ["a", "B"]})", SLIPWAY_E_CONFIG_VALUE),
              HasSubstr("/transports/0/options/hosts/1: found string \"B\""));
  EXPECT_THAT(Refuse(R"({"device": "d", "hosts": ["a", "a"]})", SLIPWAY_E_CONFIG_VALUE), HasSubstr("options/hosts"));
  EXPECT_THAT(Refuse(R"({"device": "d", "hosts": ["a", "b", "c"]})", SLIPWAY_E_CONFIG_VALUE),
              HasSubstr("options/hosts"));
  EXPECT_THAT(Refuse(R"({"device": "d", "either": true})", SLIPWAY_E_CONFIG_VALUE),
              HasSubstr("options/either: found true"));
  EXPECT_THAT(Refuse(R"({"device": "d", "ratio": 0})", SLIPWAY_E_CONFIG_VALUE),
              HasSubstr("options/ratio: found number 0"));
}

TEST_F(SchemaCheckTest, NoSchemaTakesNoKeys) {
  UseSchema("");
  Accept("{}");
  EXPECT_THAT(Refuse(R"({"a": 1})", SLIPWAY_E_CONFIG_KEY),
              HasSubstr("/transports/0/options/a: found an unknown key, expected no keys"));
}

TEST_F(SchemaCheckTest, TheOptionsAreOneObject) {
  Refuse("", SLIPWAY_E_CONFIG_SYNTAX);
  Refuse("{", SLIPWAY_E_CONFIG_SYNTAX);
  Refuse("[]", SLIPWAY_E_CONFIG_TYPE);
  Refuse(R"({"device": "a", "device": "b"})", SLIPWAY_E_CONFIG_KEY);
}

TEST_F(SchemaCheckTest, ABrokenSchemaIsThePluginsFault) {
  SchemaIsAtFault("not json");
  SchemaIsAtFault("{");
  SchemaIsAtFault("[]", "not an object");
  SchemaIsAtFault("7", "not an object");
  SchemaIsAtFault(R"({"type": "object", "type": "object"})", "found this key again");
  SchemaIsAtFault(std::string(5000, '['));
  SchemaIsAtFault(R"({"properties": {"a": {"pattern": "("}}})", "no regular expression");
  SchemaIsAtFault(R"({"patternProperties": {"[": {}}})", "no regular expression");
  SchemaIsAtFault(R"({"properties": {"a": {"$ref": "#/definitions/none"}}})", "leads nowhere");
  SchemaIsAtFault(R"({"properties": {"a": {"$ref": "http://example.com/schema.json"}}})", "leads nowhere");
  SchemaIsAtFault(R"({"properties": {"a": {"$ref": "file:///etc/passwd"}}})", "leads nowhere");
  SchemaIsAtFault(R"({"description": ")" + std::string(1 << 20, 'x') + "\"}", "longer than 1 MiB");
}

TEST_F(SchemaCheckTest, SchemasThatNeverEndAreThePluginsFault) {
  SchemaIsAtFault(R"({"$ref": "#"})");
  SchemaIsAtFault(R"({"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"},
                      "b": {"$ref": "#/definitions/a"}}})");
  SchemaIsAtFault(R"({"allOf": [{"$ref": "#"}]})", "without end");
  SchemaIsAtFault(R"({"not": {"$ref": "#"}})", "without end");
  SchemaIsAtFault(R"({"if": {"$ref": "#/definitions/a"}, "definitions": {"a": {"anyOf": [{}, {"$ref": "#"}]}}})",
                  "without end");
  SchemaIsAtFault(R"({"dependencies": {"a": {"$ref": "#"}}})", "without end");
}

TEST_F(SchemaCheckTest, SchemasThatRecurOverValuesAreFine) {
  UseSchema(R"({"type": "object", "additionalProperties": {"$ref": "#"}})");
  Accept(R"({"a": {"b": {"c": {}}}})");
  Refuse(R"({"a": {"b": 1}})", SLIPWAY_E_CONFIG_TYPE);
}

TEST_F(SchemaCheckTest, KeywordsOfTheWrongTypeAreThePluginsFault) {
  if (!ChecksWholeSchema()) GTEST_SKIP() << "built without valijson";
  SchemaIsAtFault(R"({"type": "intger"})");
  SchemaIsAtFault(R"({"type": 5})");
  SchemaIsAtFault(R"({"properties": 3})");
  SchemaIsAtFault(R"({"required": "a"})");
  SchemaIsAtFault(R"({"properties": {"a": {"minimum": "x"}}})");
  SchemaIsAtFault(R"({"properties": {"a": {"minLength": -1}}})");
  SchemaIsAtFault(R"({"items": 3})");
  SchemaIsAtFault(R"({"enum": 3})");
}

TEST_F(SchemaCheckTest, LongTextsDoNotReachRegularExpressions) {
  UseSchema(R"({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a|b)*$"}},
               "patternProperties": {"^(k|l)*$": {}}})");
  Accept(R"({"a": ")" + std::string(1024, 'a') + "\"}");
  EXPECT_THAT(Refuse(R"({"a": ")" + std::string(1 << 20, 'a') + "\"}", SLIPWAY_E_CONFIG_VALUE),
              HasSubstr("expected at most 1024 bytes"));
  EXPECT_THAT(Refuse("{\"" + std::string(1 << 20, 'k') + "\": 1}", SLIPWAY_E_CONFIG_KEY),
              HasSubstr("expected at most 1024"));
}

TEST_F(SchemaCheckTest, TextsAreAsLongAsElsewhereWithoutPatterns) {
  UseSchema(R"({"type": "object", "properties": {"a": {"type": "string"}}})");
  Accept(R"({"a": ")" + std::string(kMaxTextBytes, 'a') + "\"}");
  Refuse(R"({"a": ")" + std::string(kMaxTextBytes + 1, 'a') + "\"}", SLIPWAY_E_CONFIG_VALUE);
}

TEST_F(SchemaCheckTest, MessagesArePrintable) {
  const std::string message = Refuse("{\"device\": \"d\", \"\\u001b[2J\": 1}", SLIPWAY_E_CONFIG_KEY);
  EXPECT_THAT(message, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace slipway
