#include "core/control/base64.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

// RFC 4648, section 10.
TEST(Base64Test, KnownAnswers) {
  const std::pair<const char*, const char*> known[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : known) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Base64Decode(text), bytes);
  }
}

TEST(Base64Test, AllBytesTravel) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (size_t from = 0; from < 4; ++from) EXPECT_EQ(Base64Decode(Base64Encode(bytes.substr(from))), bytes.substr(from));
}

TEST(Base64Test, OtherSpellingsAreRefused) {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "=Zg=", "====", "Z===", "Zm 9", "Zm9v\n", "Zm9-", "Zm9_"}) {
    EXPECT_EQ(Base64Decode(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace slipway
