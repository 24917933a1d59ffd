#include "core/config/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace slipway {
namespace {

using ::testing::HasSubstr;

constexpr std::array<std::string_view, 5> kKeys = {"bytes", "chunk_bytes", "share_per_batch_percent", "copy_threads",
                                                   "ca_file"};

TEST(Nearest, FindsMisspellings) {
  EXPECT_EQ(Nearest("byte", kKeys), "bytes");
  EXPECT_EQ(Nearest("bytse", kKeys), "bytes");
  EXPECT_EQ(Nearest("chunkbytes", kKeys), "chunk_bytes");
  EXPECT_EQ(Nearest("chunk-bytes", kKeys), "chunk_bytes");
  EXPECT_EQ(Nearest("CHUNK_BYTES", kKeys), "chunk_bytes");
  EXPECT_EQ(Nearest("copy_threads_count", kKeys), "copy_threads");
  EXPECT_EQ(Nearest("share_per_batch", kKeys), "share_per_batch_percent");
}

TEST(Nearest, SaysNothingWhereNothingIsNear) {
  EXPECT_EQ(Nearest("color", kKeys), "");
  EXPECT_EQ(Nearest("", kKeys), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'b'), kKeys), "");
  EXPECT_EQ(Nearest("bytes", {}), "");
}

TEST(Quoted, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(Quoted("plain"), "\"plain\"");
  EXPECT_EQ(Quoted("\x1b[2J\n\x7f"), "\"\\x1b[2J\\x0a\\x7f\"");
  EXPECT_EQ(Quoted("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
  EXPECT_EQ(Quoted("\xc2\x9b"), "\"\\xc2\\x9b\"") << "a control character of two bytes";
  EXPECT_EQ(Quoted("\xff\xc3"), "\"\\xff\\xc3\"");
  EXPECT_EQ(Quoted("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"") << "half of a surrogate pair";
}

TEST(Quoted, IsCut) {
  EXPECT_EQ(Quoted("abcdef", 3), "\"abc...\"");
  EXPECT_EQ(Quoted("abc", 3), "\"abc\"");
  EXPECT_EQ(Quoted("\xe2\x82\xac\xe2\x82\xac", 2), "\"\xe2\x82\xac...\"") << "never inside of a character";
}

TEST(ConfigErrors, AreToldInTheOrderOfTheDocument) {
  ConfigErrors errors;
  errors.Add(SLIPWAY_E_CONFIG_VALUE, "/b/1", "second", {1, 1});
  errors.Add(SLIPWAY_E_CONFIG_TYPE, "/a", "first", {0});
  errors.Add(SLIPWAY_E_CONFIG_KEY, "/b/2", "third", {1, 2});
  const Status status = errors.ToStatus("f");
  EXPECT_EQ(status.code(), SLIPWAY_E_CONFIG_TYPE);
  EXPECT_EQ(status.message(), "f: 3 errors:\n  /a: first\n  /b/1: second\n  /b/2: third");
}

TEST(ConfigErrors, AreBoundedAndStillCounted) {
  ConfigErrors errors;
  for (int i = 0; i < 100'000; ++i) errors.Add(SLIPWAY_E_CONFIG_VALUE, "/x", "wrong");
  EXPECT_THAT(errors.ToStatus("f").message(), HasSubstr("100000 errors"));
  EXPECT_THAT(errors.ToStatus("f").message(), HasSubstr("and 99990 more"));
}

TEST(ConfigErrors, NoneIsSuccess) { EXPECT_TRUE(ConfigErrors().ToStatus("f").ok()); }

}  // namespace
}  // namespace slipway
