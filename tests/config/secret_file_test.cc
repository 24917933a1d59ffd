#include "core/config/secret_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SecretFileTest : public ::testing::Test {
 protected:
  SecretFileTest() {
    std::string pattern = ::testing::TempDir() + "slipway-secret-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~SecretFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path() const { return folder_ + "/secret"; }
  std::string Write(const std::string& text, mode_t mode = 0600) const {
    std::ofstream(Path(), std::ios::binary | std::ios::trunc) << text;
    EXPECT_EQ(chmod(Path().c_str(), mode), 0);
    return Path();
  }
  std::string Accept(const std::string& text) const {
    const Result<std::string> secret = ReadSecretFile(Write(text));
    EXPECT_TRUE(secret.ok()) << secret.status().message();
    return secret.ok() ? *secret : "";
  }
  std::string Refuse(const std::string& path, slipway_status code) const {
    const Result<std::string> secret = ReadSecretFile(path);
    EXPECT_EQ(secret.status().code(), code) << secret.status().message();
    EXPECT_THAT(secret.status().message(), HasSubstr(path));
    return secret.status().message();
  }

 private:
  std::string folder_;
};

TEST_F(SecretFileTest, IsReadWithoutItsNewline) {
  EXPECT_EQ(Accept("0123456789abcdef"), "0123456789abcdef");
  EXPECT_EQ(Accept("0123456789abcdef\n"), "0123456789abcdef");
  EXPECT_EQ(Accept("0123456789abcdef\r\n"), "0123456789abcdef");
  EXPECT_EQ(Accept("0123456789abcdef\n\n"), "0123456789abcdef\n") << "one newline is the editor's";
  EXPECT_EQ(Accept(std::string(16, '\0')), std::string(16, '\0')) << "any bytes";
}

TEST_F(SecretFileTest, HasBounds) {
  EXPECT_THAT(Refuse(Write(""), SLIPWAY_E_CONFIG_VALUE), HasSubstr("found no secret, expected"));
  EXPECT_THAT(Refuse(Write("\n"), SLIPWAY_E_CONFIG_VALUE), HasSubstr("found no secret"));
  EXPECT_THAT(Refuse(Write("0123456789abcde\n"), SLIPWAY_E_CONFIG_VALUE), HasSubstr("found 15 bytes"));
  EXPECT_EQ(Accept(std::string(4096, 'x') + "\n").size(), 4096u);
  EXPECT_EQ(Accept(std::string(4096, 'x') + "\r\n").size(), 4096u);
  EXPECT_THAT(Refuse(Write(std::string(4097, 'x')), SLIPWAY_E_CONFIG_VALUE), HasSubstr("more than 4096 bytes"));
  EXPECT_THAT(Refuse(Write(std::string(1 << 20, 'x')), SLIPWAY_E_CONFIG_VALUE), HasSubstr("more than 4096 bytes"));
}

TEST_F(SecretFileTest, IsTheOwnersAlone) {
  for (const mode_t mode : {0644, 0640, 0604, 0660, 0602, 0601, 0610}) {
    const std::string message = Refuse(Write("a secret of enough bytes", mode), SLIPWAY_E_CONFIG_FILE);
    EXPECT_THAT(message, HasSubstr("chmod 600 " + Path()));
    EXPECT_THAT(message, Not(HasSubstr("enough")));
  }
  EXPECT_TRUE(ReadSecretFile(Write("a secret of enough bytes", 0400)).ok());
}

TEST_F(SecretFileTest, IsARegularFile) {
  Refuse(Path() + "-missing", SLIPWAY_E_CONFIG_FILE);
  Refuse(std::filesystem::path(Path()).parent_path(), SLIPWAY_E_CONFIG_FILE);
  Refuse("/dev/zero", SLIPWAY_E_CONFIG_FILE);
  ASSERT_EQ(mkfifo((Path() + "-pipe").c_str(), 0600), 0);
  EXPECT_THAT(Refuse(Path() + "-pipe", SLIPWAY_E_CONFIG_FILE), HasSubstr("not a regular file")) << "and does not wait";
}

}  // namespace
}  // namespace slipway
