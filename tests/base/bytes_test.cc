#include "core/base/bytes.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace slipway {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kMaxSize = kMax >> 1;

TEST(Bytes, WithinDoesNotOverflow) {
  EXPECT_TRUE(Within(0, 0, 0));
  EXPECT_TRUE(Within(10, 0, 10));
  EXPECT_TRUE(Within(0, 10, 10));
  EXPECT_FALSE(Within(1, 10, 10));
  EXPECT_FALSE(Within(11, 0, 10));
  EXPECT_FALSE(Within(5, kMax, 10));
  EXPECT_FALSE(Within(kMax, 1, 10));
  EXPECT_TRUE(Within(kMax, 0, kMax));
}

TEST(Bytes, WrapsTellsTheEndOfTheAddressSpace) {
  EXPECT_FALSE(Wraps(0, kMax));
  EXPECT_FALSE(Wraps(kMax, 0));
  EXPECT_TRUE(Wraps(kMax, 1));
  EXPECT_TRUE(Wraps(1, kMax));
}

TEST(Bytes, RoundsToPowersOfTwo) {
  EXPECT_FALSE(IsPowerOfTwo(0));
  EXPECT_TRUE(IsPowerOfTwo(1));
  EXPECT_FALSE(IsPowerOfTwo(3));
  EXPECT_TRUE(IsPowerOfTwo(uint64_t{1} << 63));
  EXPECT_EQ(RoundDown(4097, 4096), 4096u);
  EXPECT_EQ(RoundUp(4097, 4096), 8192u);
  EXPECT_EQ(RoundUp(4096, 4096), 4096u);
  EXPECT_EQ(RoundUp(0, 4096), 0u);
}

TEST(ParseSize, ReadsUnits) {
  EXPECT_EQ(ParseSize("0"), 0u);
  EXPECT_EQ(ParseSize("4096"), 4096u);
  EXPECT_EQ(ParseSize("4096B"), 4096u);
  EXPECT_EQ(ParseSize("64KiB"), 65536u);
  EXPECT_EQ(ParseSize("64MiB"), 64u << 20);
  EXPECT_EQ(ParseSize("3GiB"), uint64_t{3} << 30);
  EXPECT_EQ(ParseSize("2TiB"), uint64_t{2} << 40);
  EXPECT_EQ(ParseSize("2kB"), 2000u);
  EXPECT_EQ(ParseSize("2KB"), 2000u);
  EXPECT_EQ(ParseSize("2MB"), 2'000'000u);
  EXPECT_EQ(ParseSize("2GB"), 2'000'000'000u);
  EXPECT_EQ(ParseSize("2TB"), 2'000'000'000'000u);
  EXPECT_EQ(ParseSize("2 kB"), 2000u);
}

TEST(ParseSize, ReadsFractionsThatAreWholeBytes) {
  EXPECT_EQ(ParseSize("1.5KiB"), 1536u);
  EXPECT_EQ(ParseSize("0.25GiB"), 256u << 20);
  EXPECT_EQ(ParseSize("1.0"), 1u);
  EXPECT_EQ(ParseSize("1.234567TB"), 1'234'567'000'000u);
  EXPECT_EQ(ParseSize("1.5"), std::nullopt);
  EXPECT_EQ(ParseSize("1.1KiB"), std::nullopt);
  EXPECT_EQ(ParseSize("0.0005kB"), std::nullopt);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text :
       {"",      " ",    "-1", "+1", "x",     "KiB",   "1.",     ".5KiB", "1..5KiB", "1e3",          "0x10",  "1 KiB ",
        " 1KiB", "1kib", "1K", "1M", "1KiBB", "1KiB1", "1,5KiB", "NaN",   "inf",     "1.0000000KiB", "1\tKiB"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << '"' << text << '"';
  }
  EXPECT_EQ(ParseSize(std::string_view("1\0KiB", 5)), std::nullopt);
}

TEST(ParseSize, StopsAtTheLargestSize) {
  EXPECT_EQ(ParseSize("9223372036854775807"), kMaxSize);
  EXPECT_EQ(ParseSize("9223372036854775808"), std::nullopt);
  EXPECT_EQ(ParseSize("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseSize("8388607TiB"), uint64_t{8388607} << 40);
  EXPECT_EQ(ParseSize("8388607.999999TB"), 8388607999999000000u);
  EXPECT_EQ(ParseSize("8388608TiB"), std::nullopt);
  EXPECT_EQ(ParseSize("99999999999999999999999999"), std::nullopt);
}

TEST(FormatSize, WritesWhatPeopleWrite) {
  EXPECT_EQ(FormatSize(0), "0B");
  EXPECT_EQ(FormatSize(1), "1B");
  EXPECT_EQ(FormatSize(1023), "1023B");
  EXPECT_EQ(FormatSize(1024), "1KiB");
  EXPECT_EQ(FormatSize(1536), "1.5KiB");
  EXPECT_EQ(FormatSize(4097), "4097B");
  EXPECT_EQ(FormatSize(64u << 20), "64MiB");
  EXPECT_EQ(FormatSize(uint64_t{3} << 29), "1.5GiB");
  EXPECT_EQ(FormatSize(uint64_t{1} << 40), "1TiB");
}

TEST(FormatSize, IsReadBackAsTheSameNumber) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bytes = (random() >> (1 + random() % 63)) << (random() % 2 == 0 ? 0 : random() % 20) & kMaxSize;
    ASSERT_EQ(ParseSize(FormatSize(bytes)), bytes) << FormatSize(bytes);
  }
  EXPECT_EQ(ParseSize(FormatSize(kMaxSize)), kMaxSize);
}

}  // namespace
}  // namespace slipway
