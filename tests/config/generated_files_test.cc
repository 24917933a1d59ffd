// The files of configs/ are what the table of keys says, and all of them are right.
#include <fstream>
#include <iterator>
#include <sstream>

#include "core/config/generate.h"
#include "core/config/schema_check.h"
#include "slipway/options_json.hpp"
#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

constexpr const char* kUpdate = "run ninja update_configs and commit the result";

std::string Committed(const std::string& name) {
  std::ifstream in(std::string(SLIPWAY_CONFIGS_DIR) + "/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

// The first line that differs, since the whole files are long.
std::string Difference(const std::string& committed, const std::string& generated) {
  std::istringstream a(committed), b(generated);
  for (int line = 1;; ++line) {
    std::string left, right;
    const bool has_left = static_cast<bool>(std::getline(a, left));
    const bool has_right = static_cast<bool>(std::getline(b, right));
    if (!has_left && !has_right) return committed == generated ? "" : "the end of the last line";
    if (left != right || has_left != has_right) {
      return "line " + std::to_string(line) + ":\n  committed: " + left + "\n  generated: " + right + "\n" + kUpdate;
    }
  }
}

using GeneratedFilesTest = ConfigTest;

TEST_F(GeneratedFilesTest, AreUpToDate) {
  EXPECT_EQ(Difference(Committed("reference.json"), ReferenceJson()), "");
  EXPECT_EQ(Difference(Committed("slipway.schema.json"), EditorSchemaJson()), "");
  EXPECT_EQ(Difference(Committed("README.md"), UpdateReadme(Committed("README.md")).value_or("no marks")), "");
}

TEST_F(GeneratedFilesTest, TheReferenceIsTheCompiledDefaults) {
  EXPECT_EQ(OptionsToJson(Accept(Committed("reference.json"))), OptionsToJson(Options{}));
}

TEST_F(GeneratedFilesTest, ReferencesOfOtherOptionsAreReadBackAsWell) {
  Options o;
  o.transports.push_back({.name = "t", .options_json = R"({"a":[]})"});
  o.memory.budget_bytes = (uint64_t{1} << 40) + 1;
  EXPECT_EQ(OptionsToJson(Accept(ReferenceJson(o))), OptionsToJson(o));
}

TEST_F(GeneratedFilesTest, EveryExampleIsAcceptedByReaderAndSchema) {
  for (const char* name : {"reference.json", "local.json", "tcp-server.json", "tcp-client.json", "rdma.json",
                           "cxl.json", "gpu.json", "store.json"}) {
    const std::string text = Committed(name);
    Accept(text);
    const Status status = CheckAgainstSchema(EditorSchemaJson(), text, "", name);
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

TEST_F(GeneratedFilesTest, TheSchemaRefusesWhatTheReaderRefuses) {
  for (const char* text :
       {R"({"nme": 1})", R"({"transfer": {"spin_us": -1}})", R"({"transfer": {"spin_us": "1"}})",
        R"({"log": {"level": "loud"}})", R"({"transports": [{}]})", R"({"transports": [{"name": "A"}]})",
        R"({"memory": {"budget_bytes": "1 lot"}})", R"({"memory_providers": [{"name": "a", "priority": 1}]})",
        R"({"control": {"listen": "nowhere"}})", R"({"plugin_path": [""]})", R"({"name": ""})"}) {
    EXPECT_FALSE(Parse(text).ok()) << text;
    const Status status = CheckAgainstSchema(EditorSchemaJson(), text, "", "x");
    EXPECT_TRUE(!status.ok() || !ChecksWholeSchema()) << text;
    EXPECT_NE(status.code(), SLIPWAY_E_PLUGIN_CONFIG) << status.message();
  }
}

TEST_F(GeneratedFilesTest, AReadmeWithoutItsMarksIsNotTouched) {
  EXPECT_EQ(UpdateReadme("no marks"), std::nullopt);
  EXPECT_EQ(UpdateReadme("<!-- keys: end --><!-- keys: begin -->\n"), std::nullopt);
}

}  // namespace
}  // namespace slipway
