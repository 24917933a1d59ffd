#include "core/config/reader.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "slipway/options_json.hpp"
#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using ReaderTest = ConfigTest;

TEST_F(ReaderTest, AnEmptyObjectIsTheDefaults) { EXPECT_EQ(OptionsToJson(Accept("{}")), OptionsToJson(Options{})); }

TEST_F(ReaderTest, ReadsWhatAFileSays) {
  const Options o = Accept(R"({
    "$schema": "./slipway.schema.json",
    "name": "node-7",
    "plugin_path": ["/opt/a", "b"],
    "log": {"level": "trace", "file": "/tmp/log"},
    "transports": [
      {"name": "fast", "plugin": "fast-lane", "required": true, "priority": 3, "options": {"b": [1, 2.5], "a": "x"}},
      {"name": "slow"}
    ],
    "memory_providers": [{"name": "device", "options": {"ordinal": 0}}],
    "memory": {"pin_policy": "off", "budget_bytes": "1.5GiB",
               "staging": {"bytes": 1048576, "chunk_bytes": "64KiB", "share_per_batch_percent": 25, "copy_threads": 4}},
    "transfer": {"route_policy": "fastest", "slice_bytes": "2MB", "spin_us": 0, "verify_registrations": true},
    "control": {"listen": "[::1]:7700", "tls": {"certificate_file": "c.pem", "key_file": "k.pem", "ca_file": "a.pem"}}
  })");
  EXPECT_EQ(o.name, "node-7");
  EXPECT_THAT(o.plugin_path, ElementsAre("/opt/a", "b"));
  EXPECT_EQ(o.log.level, LogLevelOption::kTrace);
  EXPECT_EQ(o.log.file, "/tmp/log");
  ASSERT_EQ(o.transports.size(), 2u);
  EXPECT_EQ(o.transports[0].name, "fast");
  EXPECT_EQ(o.transports[0].plugin, "fast-lane");
  EXPECT_TRUE(o.transports[0].required);
  EXPECT_EQ(o.transports[0].priority, 3);
  EXPECT_EQ(o.transports[0].options_json, R"({"b":[1,2.5],"a":"x"})");
  EXPECT_EQ(o.transports[1].options_json, "{}");
  EXPECT_EQ(o.transports[1].priority, -1);
  ASSERT_EQ(o.memory_providers.size(), 1u);
  EXPECT_EQ(o.memory_providers[0].options_json, R"({"ordinal":0})");
  EXPECT_EQ(o.memory.pin_policy, PinPolicy::kOff);
  EXPECT_EQ(o.memory.budget_bytes, uint64_t{3} << 29);
  EXPECT_EQ(o.memory.staging.bytes, 1u << 20);
  EXPECT_EQ(o.memory.staging.chunk_bytes, 65536u);
  EXPECT_EQ(o.memory.staging.share_per_batch_percent, 25u);
  EXPECT_EQ(o.memory.staging.copy_threads, 4u);
  EXPECT_EQ(o.transfer.route_policy, RoutePolicy::kFastest);
  EXPECT_EQ(o.transfer.slice_bytes, 2'000'000u);
  EXPECT_EQ(o.transfer.spin_us, 0u);
  EXPECT_TRUE(o.transfer.verify_registrations);
  EXPECT_EQ(o.control.listen, "[::1]:7700");
  EXPECT_EQ(o.control.tls.key_file, "k.pem");
}

TEST_F(ReaderTest, ThePluginsObjectKeepsItsOrderAndItsNumbers) {
  const std::string object = R"({"z":1,"a":{"y":[],"x":null},"big":18446744073709551615,"less":-9223372036854775808,)"
                             R"("real":0.1,"text":"\u00e9\n"})";
  const Options o = Accept(R"({"transports": [{"name": "t", "options": )" + object + "}]}");
  EXPECT_EQ(o.transports[0].options_json,
            R"({"z":1,"a":{"y":[],"x":null},"big":18446744073709551615,"less":-9223372036854775808,)"
            "\"real\":0.1,\"text\":\"\xc3\xa9\\n\"}");
}

TEST_F(ReaderTest, AMessageSaysWhereWhatAndWhatInstead) {
  EXPECT_EQ(
      Refuse(R"({"transfer": {"slice_bytes": "x"}})", SLIPWAY_E_CONFIG_VALUE),
      R"(node.json: /transfer/slice_bytes: found string "x", expected a size such as 65536 or "64KiB", from 0 to )"
      R"("1TiB")");
  EXPECT_EQ(Refuse(R"({"transfer": {"spin_us": true}})", SLIPWAY_E_CONFIG_TYPE),
            "node.json: /transfer/spin_us: found true, expected a whole number of microseconds from 0 to 1000000");
  EXPECT_EQ(Refuse(R"({"log": {"level": "wrning"}})", SLIPWAY_E_CONFIG_VALUE),
            R"(node.json: /log/level: found string "wrning", expected one of "error", "warning", "info", "debug", )"
            R"("trace"; did you mean "warning"?)");
}

TEST_F(ReaderTest, AMisspeltKeyNamesTheNearest) {
  EXPECT_EQ(Refuse(R"({"transfer": {"slice_byte": 1}})", SLIPWAY_E_CONFIG_KEY),
            R"(node.json: /transfer/slice_byte: found an unknown key; did you mean "slice_bytes"?)");
  EXPECT_THAT(Refuse(R"({"memory": {"budget": 1}})", SLIPWAY_E_CONFIG_KEY), HasSubstr(R"(mean "budget_bytes"?)"));
  EXPECT_THAT(Refuse(R"({"Memory": {}})", SLIPWAY_E_CONFIG_KEY), HasSubstr(R"(mean "memory"?)"));
  EXPECT_THAT(Refuse(R"({"memory-providers": []})", SLIPWAY_E_CONFIG_KEY), HasSubstr(R"(mean "memory_providers"?)"));
  EXPECT_THAT(Refuse(R"({"log": {"qqqq": 1}})", SLIPWAY_E_CONFIG_KEY),
              HasSubstr(R"(/log/qqqq: found an unknown key, expected one of "level", "file")"));
}

TEST_F(ReaderTest, TheSchemasNameIsAllowedAtTheTopAlone) {
  EXPECT_THAT(Refuse(R"({"log": {"$schema": "x"}})", SLIPWAY_E_CONFIG_KEY), HasSubstr("/log/$schema"));
  EXPECT_THAT(Refuse(R"({"$comment": "x"})", SLIPWAY_E_CONFIG_KEY), HasSubstr("/$comment"));
}

TEST_F(ReaderTest, KeysInMessagesArePointersAndPrintable) {
  EXPECT_THAT(Refuse(R"({"a/b~c": 1})", SLIPWAY_E_CONFIG_KEY), StartsWith("node.json: /a~1b~0c: "));
  const std::string message = Refuse("{\"a\\u001b[2J\\n\\u009b\": \"\\u0007\"}", SLIPWAY_E_CONFIG_KEY);
  EXPECT_THAT(message, Not(HasSubstr("\x1b")));
  EXPECT_THAT(message, HasSubstr("/a\\x1b[2J\\x0a\\xc2\\x9b"));
}

TEST_F(ReaderTest, ListsEveryErrorInTheOrderOfTheText) {
  EXPECT_EQ(
      Refuse(R"({"zzz": 1, "transfer": {"spin_us": 1.5}, "log": [], "transfer": 1, "name": ""})", SLIPWAY_E_CONFIG_KEY),
      "node.json: 5 errors:\n"
      "  /zzz: found an unknown key, expected one of \"$schema\", \"name\", \"plugin_path\", \"log\", "
      "\"transports\", \"memory_providers\", \"memory\", \"transfer\", \"control\", \"store\"\n"
      "  /transfer/spin_us: found number 1.5, expected a whole number of microseconds from 0 to 1000000\n"
      "  /log: found an array, expected an object\n"
      "  /transfer: found this key again, expected each key once: remove one of them\n"
      "  /name: found string \"\", expected a string of 1 to 63 letters, digits, '.', '_' and '-'");
}

TEST_F(ReaderTest, ListsAtMostTen) {
  std::string json = "{";
  for (int i = 0; i < 5000; ++i) json += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\": 1";
  const std::string message = Refuse(json + "}", SLIPWAY_E_CONFIG_KEY);
  EXPECT_THAT(message, StartsWith("node.json: 5000 errors:\n  /k0: "));
  EXPECT_THAT(message, ::testing::EndsWith("and 4990 more"));
  EXPECT_LT(message.size(), 5000u);
}

TEST_F(ReaderTest, ALongTextIsCutInTheMessage) {
  EXPECT_LT(Refuse("{\"name\": \"" + std::string(1 << 20, 'x') + "\"}", SLIPWAY_E_CONFIG_VALUE).size(), 400u);
  EXPECT_LT(Refuse("{\"" + std::string(1 << 20, 'x') + "\": 1}", SLIPWAY_E_CONFIG_KEY).size(), 800u);
}

TEST_F(ReaderTest, RefusesNumbersThatAreNoWholeOnesInRange) {
  for (const char* number : {"-1", "1.5", "1e300", "-1e300", "9223372036854775808", "18446744073709551615",
                             "18446744073709551616", "99999999999999999999999999", "1e-300", "9007199254740993.0"}) {
    for (const char* key : {"slice_bytes", "spin_us", "backoff_max_ms", "max_batch_requests", "bulk_share_percent"}) {
      const std::string json = std::string(R"({"transfer": {")") + key + "\": " + number + "}}";
      EXPECT_THAT(Refuse(json, SLIPWAY_E_CONFIG_VALUE), HasSubstr(std::string("/transfer/") + key)) << json;
    }
  }
  Refuse(R"({"transfer": {"spin_us": 1e400}})", SLIPWAY_E_CONFIG_VALUE);
}

TEST_F(ReaderTest, TakesWholeNumbersHoweverTheyAreWritten) {
  EXPECT_EQ(Accept(R"({"transfer": {"spin_us": 1e3}})").transfer.spin_us, 1000u);
  EXPECT_EQ(Accept(R"({"transfer": {"spin_us": 7.0}})").transfer.spin_us, 7u);
  EXPECT_EQ(Accept(R"({"transfer": {"spin_us": -0}})").transfer.spin_us, 0u);
}

TEST_F(ReaderTest, NamesOfPluginsAreWords) {
  for (const char* name :
       {"", "TCP", "a b", "../evil", "a/b", "a.b", "a\\u0000b", "0123456789012345678901234567890x"}) {
    EXPECT_THAT(Refuse(std::string(R"({"transports": [{"name": ")") + name + "\"}]}", SLIPWAY_E_CONFIG_VALUE),
                HasSubstr("/transports/0/name"));
    if (*name == '\0') continue;  // no plugin: as the name
    EXPECT_THAT(
        Refuse(std::string(R"({"transports": [{"name": "t", "plugin": ")") + name + "\"}]}", SLIPWAY_E_CONFIG_VALUE),
        HasSubstr("/transports/0/plugin"));
  }
}

TEST_F(ReaderTest, APluginNeedsAName) {
  EXPECT_THAT(Refuse(R"({"transports": [{"name": "a"}, {"options": {}}]})", SLIPWAY_E_CONFIG_VALUE),
              HasSubstr("/transports/1/name: found nothing, expected"));
}

TEST_F(ReaderTest, ProvidersHaveNoPriority) {
  EXPECT_THAT(Refuse(R"({"memory_providers": [{"name": "a", "priority": 1}]})", SLIPWAY_E_CONFIG_KEY),
              HasSubstr("/memory_providers/0/priority: found an unknown key"));
}

TEST_F(ReaderTest, ListsAreBounded) {
  std::string folders, plugins;
  for (int i = 0; i < 65; ++i) folders += (i == 0 ? "\"f\"" : ",\"f\"");
  for (int i = 0; i < 33; ++i) plugins += (i == 0 ? "" : ",") + ("{\"name\": \"t" + std::to_string(i) + "\"}");
  EXPECT_THAT(Refuse("{\"plugin_path\": [" + folders + "]}", SLIPWAY_E_CONFIG_VALUE), HasSubstr("found 65 items"));
  EXPECT_THAT(Refuse("{\"transports\": [" + plugins + "]}", SLIPWAY_E_CONFIG_VALUE), HasSubstr("found 33 items"));
}

TEST_F(ReaderTest, TheTextNeedNotEndInNul) {
  const std::string text = "{\"name\": \"a\"}garbage";
  EXPECT_EQ(Accept(std::string_view(text).substr(0, 13)).name, "a");
}

class FileTest : public ConfigTest {
 protected:
  FileTest() {
    std::string pattern = ::testing::TempDir() + "slipway-config-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& text) const {
    const std::string path = folder_ + "/node.json";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static Result<Options> Load(const std::string& path) { return LoadOptionsFile(path, FixedEnvironment()); }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

TEST_F(FileTest, IsReadAndNamed) {
  EXPECT_EQ(Load(Write(R"({"name": "from-file"})"))->name, "from-file");
  const std::string path = Write("{\"nme\": 1}");
  EXPECT_THAT(Load(path).status().message(), StartsWith(path + ": /nme: "));
}

TEST_F(FileTest, ThatCannotBeReadSaysWhy) {
  for (const std::string& path : {folder() + "/missing.json", folder(), std::string(), std::string("a\0b", 3)}) {
    const Status status = Load(path).status();
    EXPECT_EQ(status.code(), SLIPWAY_E_CONFIG_FILE) << path;
    EXPECT_THAT(status.message(), HasSubstr("cannot be read: "));
  }
  EXPECT_THAT(Load(folder() + "/missing.json").status().message(), HasSubstr("No such file or directory"));
}

TEST_F(FileTest, ThatNeverEndsIsRefused) {
  const Status status = Load("/dev/zero").status();
  EXPECT_EQ(status.code(), SLIPWAY_E_CONFIG_SYNTAX);
  EXPECT_THAT(status.message(), HasSubstr("more than 16 MiB"));
}

TEST_F(FileTest, ThatIsEmptySaysSo) {
  const Status status = Load(Write("")).status();
  EXPECT_EQ(status.code(), SLIPWAY_E_CONFIG_SYNTAX);
  EXPECT_THAT(status.message(), HasSubstr("found no text, expected a JSON object"));
}

}  // namespace
}  // namespace slipway
