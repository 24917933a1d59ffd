// Names that travel: what comes back is what was packed, or nothing.
#include "slipway/sdk/blob.hpp"

#include <gtest/gtest.h>

#include <array>

namespace slipway::sdk {
namespace {

struct Name {
  char magic[8] = "tstnam1";
  uint64_t number = 0;
  uint32_t one = 0, two = 0;
};
struct OtherName {
  char magic[8] = "tstoth1";
  uint64_t number = 0;
  uint32_t one = 0, two = 0;
};
struct ArrayMagic {
  std::array<char, 4> magic{'a', 'b', 'c', 'd'};
  uint32_t number = 0;
};

struct Padded {
  char magic[4] = "pad";
  uint64_t number = 0;
};
struct Nameless {
  uint64_t number = 0;
};
static_assert(Blob<Name> && Blob<ArrayMagic>);
static_assert(!Blob<Padded>, "bytes of the stack would travel in the gap");
static_assert(!Blob<Nameless>, "nothing would tell it from another struct of its size");
static_assert(!Blob<std::string>);

TEST(BlobTest, ComesBackAsItWas) {
  const std::string bytes = Pack(Name{.number = ~uint64_t{5}, .one = 1, .two = 2});
  EXPECT_EQ(bytes.size(), kPackedBytes<Name>);
  Name name;
  ASSERT_TRUE(Unpack(bytes, name));
  EXPECT_EQ(name.number, ~uint64_t{5});
  EXPECT_EQ(name.one, 1u);
  EXPECT_EQ(name.two, 2u);
  ArrayMagic other;
  EXPECT_TRUE(Unpack(Pack(ArrayMagic{.number = 3}), other));
  EXPECT_EQ(other.number, 3u);
}

TEST(BlobTest, EveryFlippedBitIsNoticed) {
  const std::string bytes = Pack(Name{.number = 7, .one = 8, .two = 9});
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    Name name{.number = 1};
    EXPECT_FALSE(Unpack(damaged, name)) << "bit " << bit;
    EXPECT_EQ(name.number, 1u) << "bit " << bit << " was refused and written";
  }
}

TEST(BlobTest, EveryOtherLengthIsRefused) {
  const std::string bytes = Pack(Name{});
  Name name;
  for (size_t length = 0; length < bytes.size(); ++length) EXPECT_FALSE(Unpack(bytes.substr(0, length), name));
  EXPECT_FALSE(Unpack(bytes + '\0', name));
  EXPECT_FALSE(Unpack(bytes + bytes, name));
}

TEST(BlobTest, AnotherStructOfTheSameSizeIsRefused) {
  Name name;
  EXPECT_FALSE(Unpack(Pack(OtherName{.number = 1}), name));
  OtherName other;
  EXPECT_TRUE(Unpack(Pack(OtherName{.number = 1}), other));
}

}  // namespace
}  // namespace slipway::sdk
