// A plugin's configuration is read strictly, and each refusal says where and what would be right.
#include "slipway/sdk/config_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::sdk {
namespace {

using testing::HasSubstr;

class ConfigReaderTest : public testing::Test {
 protected:
  struct Values {
    uint32_t count = 5;
    uint64_t bytes = 6;
    bool flag = false;
    std::string text = "default";
    std::vector<std::string> list;
    size_t choice = 0;
  };
  slipway_status Read(const std::string& json) {
    values_ = {};
    error_ = {};
    error_.struct_size = sizeof(error_);
    Error err(&error_);
    nlohmann::json parsed;
    if (const slipway_status s = ParseConfig(json, parsed, err); s != SLIPWAY_OK) return s;
    ConfigReader reader(parsed, "", err);
    reader.UInt("count", values_.count, 1, 10).Bytes("bytes", values_.bytes, 0, uint64_t{1} << 40);
    reader.Bool("flag", values_.flag).String("text", values_.text, 8).Strings("list", values_.list, 3);
    reader.Choice("choice", values_.choice, {"red", "green"});
    if (const nlohmann::json* inner = reader.Find("in/ner")) {
      ConfigReader deeper(*inner, reader.PointerOf("in/ner"), err);
      deeper.UInt("count", values_.count, 1, 10);
      if (const slipway_status s = deeper.Finish(); s != SLIPWAY_OK) return s;
    }
    return reader.Finish();
  }
  void ExpectRefused(const std::string& json, const std::string& where, const std::string& words) {
    EXPECT_EQ(Read(json), SLIPWAY_E_CONFIG) << json;
    EXPECT_EQ(error_.where, where) << json;
    EXPECT_THAT(std::string(error_.message), HasSubstr(words)) << json;
  }
  Values values_;
  slipway_error error_{};
};

TEST_F(ConfigReaderTest, AbsentKeysKeepTheirDefaults) {
  ASSERT_EQ(Read("{}"), SLIPWAY_OK);
  EXPECT_EQ(values_.count, 5u);
  EXPECT_EQ(values_.text, "default");
}

TEST_F(ConfigReaderTest, EveryKindIsRead) {
  ASSERT_EQ(Read(R"({"count": 7, "bytes": "2 MiB", "flag": true, "text": "hi", "list": ["a", "b"], "choice": "green",
                     "in/ner": {"count": 9}})"),
            SLIPWAY_OK)
      << error_.message;
  EXPECT_EQ(values_.bytes, 2u << 20);
  EXPECT_TRUE(values_.flag);
  EXPECT_EQ(values_.text, "hi");
  EXPECT_EQ(values_.list.size(), 2u);
  EXPECT_EQ(values_.choice, 1u);
  EXPECT_EQ(values_.count, 9u);
}

TEST_F(ConfigReaderTest, RefusalsSayWhereAndWhatWouldBeRight) {
  ExpectRefused(R"({"cuont": 1})", "/cuont", "did you mean \"count\"");
  ExpectRefused(R"({"zzz": 1})", "/zzz", "it takes count, bytes");
  ExpectRefused(R"({"count": "1"})", "/count", "expected an integer, found string");
  ExpectRefused(R"({"count": 1.0})", "/count", "expected an integer, found number");
  ExpectRefused(R"({"count": -1})", "/count", "-1 is out of range: expected 1 to 10");
  ExpectRefused(R"({"count": 11})", "/count", "11 is out of range");
  ExpectRefused(R"({"count": 18446744073709551616})", "/count", "expected an integer");
  ExpectRefused(R"({"bytes": "1 mile"})", "/bytes", "64KiB");
  ExpectRefused(R"({"bytes": "99999999999999TiB"})", "/bytes", "64KiB");
  ExpectRefused(R"({"bytes": "2TiB"})", "/bytes", "out of range");
  ExpectRefused(R"({"flag": 1})", "/flag", "true or false");
  ExpectRefused(R"({"text": "longer than 8"})", "/text", "longer than 8 bytes");
  ExpectRefused(R"({"list": ["a", 2]})", "/list/1", "expected a string");
  ExpectRefused(R"({"list": ["a", "b", "c", "d"]})", "/list", "more than 3");
  ExpectRefused(R"({"choice": "blue"})", "/choice", "\"red\", \"green\"");
  ExpectRefused(R"({"in/ner": {"count": 0}})", "/in~1ner/count", "out of range");
  ExpectRefused(R"({"in/ner": 3})", "/in~1ner", "expected an object");
  ExpectRefused(R"({"count": 1, "count": 2})", "", "\"count\" is there twice");
  ExpectRefused("nonsense", "", "not JSON");
  ExpectRefused(std::string(40, '[') + std::string(40, ']'), "", "32 levels");
}

TEST(ErrorTest, LongMessagesAreCutBetweenCharacters) {
  slipway_error error{};
  error.struct_size = sizeof(error);
  std::string text(254, 'a');
  text += "\xc3\xa9\xc3\xa9";  // the first é would be cut in half
  EXPECT_EQ(Fail(&error, SLIPWAY_E_IO, text, "where", 5, SLIPWAY_ERR_RETRYABLE), SLIPWAY_E_IO);
  EXPECT_EQ(std::string(error.message), std::string(254, 'a'));
  EXPECT_STREQ(error.where, "where");
  EXPECT_EQ(error.native, 5);
  EXPECT_EQ(Fail(nullptr, SLIPWAY_E_IO, "no report wanted"), SLIPWAY_E_IO);
}

TEST(NearestTest, FindsSlipsOfTheFingerOnly) {
  const std::vector<std::string> words = {"threads", "inline_bytes", "split_bytes"};
  EXPECT_EQ(Nearest("thread", words), "threads");
  EXPECT_EQ(Nearest("htreads", words), "threads");
  EXPECT_EQ(Nearest("inlinebytes", words), "inline_bytes");
  EXPECT_EQ(Nearest("colour", words), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'x'), words), "");
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

}  // namespace
}  // namespace slipway::sdk
