#include "core/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace slipway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class LogTest : public ::testing::Test {
 protected:
  LogTest() {
    std::string pattern = ::testing::TempDir() + "slipway-log-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~LogTest() override { std::filesystem::remove_all(folder_); }

  std::shared_ptr<Logger> Open(LogLevel level, const std::string& name = "node") {
    return MakeLogger(name, level, File());
  }
  std::string File() const { return folder_ + "/log"; }
  std::string Written() const {
    std::ifstream in(File());
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

 private:
  std::string folder_;
};

TEST_F(LogTest, WritesNameLevelAndMessage) {
  const auto log = Open(LogLevel::kInfo, "node-7");
  ASSERT_NE(log, nullptr);
  log->Error("the disk is full");
  EXPECT_THAT(Written(), HasSubstr(" error [node-7] the disk is full\n"));
}

TEST_F(LogTest, LeavesOutWhatIsLessUrgent) {
  const auto log = Open(LogLevel::kWarning);
  log->Info("quiet");
  log->Debug("quiet");
  log->Warning("loud");
  EXPECT_FALSE(log->Enabled(LogLevel::kInfo));
  EXPECT_TRUE(log->Enabled(LogLevel::kError));
  EXPECT_THAT(Written(), Not(HasSubstr("quiet")));
  EXPECT_THAT(Written(), HasSubstr("loud"));
}

TEST_F(LogTest, APeerCannotForgeALine) {
  const auto log = Open(LogLevel::kInfo);
  log->Warning("peer said: x\n2026-01-01T00:00:00.000 error [node] forged\r\x1b[2J\x7f");
  const std::string written = Written();
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 1);
  EXPECT_THAT(written, EndsWith("forged\\x0d\\x1b[2J\\x7f\n"));
}

TEST_F(LogTest, FormatDirectivesMeanNothing) {
  const auto log = Open(LogLevel::kInfo);
  log->Warning("{} {0} %s %n {:>99999}");
  EXPECT_THAT(Written(), HasSubstr("{} {0} %s %n {:>99999}\n"));
}

TEST_F(LogTest, TwoEnginesOfOneNameLogToOneFile) {
  const auto a = Open(LogLevel::kInfo);
  const auto b = Open(LogLevel::kInfo);
  ASSERT_NE(b, nullptr);
  a->Warning("from a");
  b->Warning("from b");
  EXPECT_THAT(Written(), HasSubstr("from a\n"));
  EXPECT_THAT(Written(), HasSubstr("from b\n"));
}

TEST_F(LogTest, AFileThatCannotBeOpenedGivesNoLogger) {
  std::ofstream(File()) << "a file";
  EXPECT_EQ(MakeLogger("node", LogLevel::kInfo, File() + "/below-a-file"), nullptr);
}

}  // namespace
}  // namespace slipway
