#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "tools/slipway/exit_code.h"
#include "tools/slipway/json_view.h"
#include "tools/slipway/local_file.h"
#include "tools/slipway/output.h"
#include "tools/slipway/segment_spec.h"

namespace slipway::cli {
namespace {

using ::testing::HasSubstr;

TEST(ParseSize, TakesNumbersAndUnits) {
  EXPECT_EQ(ParseSize("0"), 0u);
  EXPECT_EQ(ParseSize("4096"), 4096u);
  EXPECT_EQ(ParseSize("64KiB"), 65536u);
  EXPECT_EQ(ParseSize("64K"), 65536u);
  EXPECT_EQ(ParseSize("1.5 GiB"), 1610612736u);
  EXPECT_EQ(ParseSize("2MB"), 2'000'000u);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MiB", "-1", "+1", " 1", "0x10", "1e", "1.5", "1 2", "nan", "inf", "1QiB", "1KiBs",
                           "9999999P", "18446744073709551615"})
    EXPECT_FALSE(ParseSize(text).has_value()) << text;
}

TEST(SegmentSpec, TellsMemoryFromFiles) {
  const auto memory = ParseSegmentSpec("box=64MiB");
  ASSERT_TRUE(memory.ok());
  EXPECT_EQ(memory->name, "box");
  EXPECT_EQ(memory->bytes, uint64_t{64} << 20);
  EXPECT_TRUE(memory->writable);
  const auto file = ParseSegmentSpec("a/b=./64MiB");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->file, "./64MiB");
  EXPECT_FALSE(file->writable) << "a file is only read unless it is said otherwise";
  EXPECT_TRUE(ParseSegmentSpec("x=f:rw")->writable);
  EXPECT_FALSE(ParseSegmentSpec("x=4096:ro")->writable);
  EXPECT_EQ(ParseSegmentSpec("x=a=b:c")->file, "a=b:c");
}

TEST(SegmentSpec, RefusesHalves) {
  for (const char* text : {"", "box", "box=", "=64", "box=0", "box=:rw"}) {
    const auto spec = ParseSegmentSpec(text);
    EXPECT_FALSE(spec.ok()) << text;
    EXPECT_EQ(ExitFor(spec.status().code()), kExitUsage) << text;
  }
}

TEST(Json, EscapesWhatAPeerMaySend) {
  EXPECT_EQ(JsonQuote("a\"b\\c\n\x01"), R"("a\"b\\c\n\u0001")");
  EXPECT_EQ(JsonQuote("\xc3\xa9"), "\"\xc3\xa9\"");
  EXPECT_EQ(JsonQuote("\xff\xc0\x80"), R"("\ufffd\ufffd\ufffd")");
  EXPECT_EQ(JsonQuote("\xed\xa0\x80").find("\xed"), std::string::npos) << "half of a surrogate pair is no character";
  JsonObject object;
  object.Add("text", "x").Add("yes", true).Add("n", uint64_t{18446744073709551615u}).Add("d", 0.5);
  EXPECT_EQ(object.str(), R"({"text": "x", "yes": true, "n": 18446744073709551615, "d": 0.500000})");
  EXPECT_EQ(Printable("a\033[31mb\n"), "a?[31mb\n");
}

TEST(Json, ShowsStructureAsText) {
  EXPECT_EQ(*JsonAsText(R"({"a": {"b": 1}, "c": [], "d": ["x", {"e": null}]})"),
            "a:\n  b: 1\nc: none\nd:\n  - x\n  -\n    e: null");
  EXPECT_FALSE(JsonAsText("{").ok());
  EXPECT_FALSE(JsonAsText(std::string(1'000'000, '[')).ok());
  EXPECT_FALSE(JsonOnOneLine(std::string(100, '[') + std::string(100, ']')).ok()) << "deeper than anything we write";
}

TEST(ExitStatus, GroupsTheReasons) {
  EXPECT_EQ(ExitFor(SLIPWAY_E_CONFIG_KEY), kExitConfig);
  EXPECT_EQ(ExitFor(SLIPWAY_E_PLUGIN_CONFIG), kExitConfig);
  EXPECT_EQ(ExitFor(SLIPWAY_E_PLUGIN_ARCH), kExitPlugin);
  EXPECT_EQ(ExitFor(SLIPWAY_E_UNREACHABLE), kExitUnreachable);
  EXPECT_EQ(ExitFor(SLIPWAY_E_PEER), kExitTransfer);
  EXPECT_EQ(ExitFor(-123456), kExitTransfer) << "a status that this program does not know yet";
}

class TargetFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "slipway-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) { return (folder_ / name).string(); }
  std::string Read(const std::string& name) {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t FilesThere() {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) count += entry.exists() ? 1 : 0;
    return count;
  }

  std::filesystem::path folder_;
};

TEST_F(TargetFileTest, AppearsWhenItIsWholeAndNotBefore) {
  {
    auto abandoned = TargetFile::Create(Path("new"), 5);
    ASSERT_TRUE(abandoned.ok()) << abandoned.status().message();
    std::memcpy(abandoned->mapping().data(), "never", 5);
  }
  EXPECT_EQ(FilesThere(), 0u);
  auto file = TargetFile::Create(Path("new"), 5);
  ASSERT_TRUE(file.ok());
  std::memcpy(file->mapping().data(), "bytes", 5);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new"));
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read("new"), "bytes");
  EXPECT_EQ(FilesThere(), 1u);
}

TEST_F(TargetFileTest, ReplacesAnOldFileAndKeepsItsPermissions) {
  std::ofstream(folder_ / "old") << "old bytes";
  chmod(Path("old").c_str(), 0640);
  auto file = TargetFile::Create(Path("old"), 3);
  ASSERT_TRUE(file.ok());
  std::memcpy(file->mapping().data(), "new", 3);
  EXPECT_EQ(Read("old"), "old bytes");
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read("old"), "new");
  struct stat info {};
  ASSERT_EQ(stat(Path("old").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(TargetFileTest, SaysWhyItCannotBe) {
  EXPECT_THAT(TargetFile::Create(Path("none/x"), 1).status().message(), HasSubstr("none"));
  EXPECT_THAT(TargetFile::Create(folder_.string(), 1).status().message(), HasSubstr("not a regular file"));
  EXPECT_FALSE(TargetFile::Create(Path("huge"), uint64_t{1} << 62).ok());
  EXPECT_FALSE(TargetFile::Create(Path("huge"), UINT64_MAX).ok());
  EXPECT_EQ(FilesThere(), 0u);
}

TEST_F(TargetFileTest, AMappingTakesRegularFilesOnly) {
  EXPECT_FALSE(Mapping::OfFile(Path("none"), false).ok());
  EXPECT_FALSE(Mapping::OfFile("/dev/zero", false).ok());
  std::ofstream(folder_ / "empty").flush();
  const auto empty = Mapping::OfFile(Path("empty"), true);
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->size(), 0u);
}

}  // namespace
}  // namespace slipway::cli
