// The copying loops and the cache lines they write back.
#include "plugins/cxl/copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace slipway::cxl {
namespace {

constexpr size_t kRoom = 5000;

std::vector<char> Bytes(size_t size, char from) {
  std::vector<char> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(from + static_cast<char>(i * 7));
  return bytes;
}

CopyPolicy Policy(bool by_hand) { return {.write_back = by_hand, .invalidate = by_hand}; }

TEST(Copy, EveryLengthAndAlignmentUnderEveryPolicy) {
  const std::vector<char> source = Bytes(kRoom, 1);
  for (const bool by_hand : {false, true}) {
    for (const CopyStyle style : {CopyStyle::kCached, CopyStyle::kStreaming, CopyStyle::kOverlapping}) {
      for (size_t length = 1; length < 1500; length += length < 300 ? 1 : 61) {
        const size_t to = length % 67, from = length % 31;
        std::vector<char> window(kRoom, 0x55), back(kRoom, 0x55);
        CopyCounts counts;
        CopyIn(window.data() + to, source.data() + from, length, style, Policy(by_hand), counts);
        ASSERT_EQ(std::memcmp(window.data() + to, source.data() + from, length), 0) << length;
        CopyOut(back.data() + from, window.data() + to, length, style, Policy(by_hand), counts);
        ASSERT_EQ(std::memcmp(back.data() + from, source.data() + from, length), 0) << length;
        const auto untouched = [](const std::vector<char>& v, size_t begin, size_t end) {
          return std::all_of(v.begin(), v.begin() + static_cast<long>(begin), [](char c) { return c == 0x55; }) &&
                 std::all_of(v.begin() + static_cast<long>(end), v.end(), [](char c) { return c == 0x55; });
        };
        ASSERT_TRUE(untouched(window, to, to + length) && untouched(back, from, from + length)) << length;
      }
    }
  }
}

TEST(Copy, OverlappingRangesAreMovedAsByMemmove) {
  for (const std::ptrdiff_t shift : {-1000, -64, -1, 0, 1, 63, 1000}) {
    std::vector<char> bytes = Bytes(kRoom, 3), expected = bytes;
    std::memmove(expected.data() + 1500 + shift, expected.data() + 1500, 2000);
    CopyCounts counts;
    CopyIn(bytes.data() + 1500 + shift, bytes.data() + 1500, 2000, CopyStyle::kOverlapping, Policy(true), counts);
    EXPECT_EQ(bytes, expected) << shift;
  }
}

#if defined(__x86_64__)
TEST(Copy, EveryLineThatWasWrittenLeavesTheCaches) {
  alignas(kLine) static char window[8192];
  const std::vector<char> source = Bytes(8192, 1);
  for (const size_t offset : {0, 1, 63}) {
    for (const size_t length : {1, 64, 65, 1000, 4096}) {
      const uint64_t lines = LinesOf(window + offset, length);
      CopyCounts plain, streamed;
      CopyIn(window + offset, source.data(), length, CopyStyle::kCached, Policy(true), plain);
      EXPECT_EQ(plain.written_back_lines, lines);
      EXPECT_EQ(plain.streamed_bytes, 0u);
      CopyIn(window + offset, source.data(), length, CopyStyle::kStreaming, Policy(true), streamed);
      // Lines at the ends may be counted although they were streamed in part.
      EXPECT_GE(streamed.written_back_lines + streamed.streamed_bytes / kLine, lines);
      CopyCounts read;
      std::vector<char> out(length);
      CopyOut(out.data(), window + offset, length, CopyStyle::kCached, Policy(true), read);
      EXPECT_EQ(read.invalidated_lines, lines);
    }
  }
}
#endif

TEST(Copy, WhereCachesAreCoherentNothingIsDoneByHand) {
  std::vector<char> window(100'000), source = Bytes(100'000, 1);
  CopyCounts counts;
  CopyIn(window.data(), source.data(), source.size(), CopyStyle::kCached, Policy(false), counts);
  CopyOut(source.data(), window.data(), source.size(), CopyStyle::kCached, Policy(false), counts);
  EXPECT_EQ(counts.written_back_lines + counts.invalidated_lines + counts.streamed_bytes, 0u);
}

TEST(Copy, LinesAreCountedByWhatTheyTouch) {
  const auto at = [](uintptr_t address) { return reinterpret_cast<const void*>(address); };
  EXPECT_EQ(LinesOf(at(64), 0), 0u);
  EXPECT_EQ(LinesOf(at(64), 64), 1u);
  EXPECT_EQ(LinesOf(at(65), 64), 2u);
  EXPECT_EQ(LinesOf(at(127), 2), 2u);
}

}  // namespace
}  // namespace slipway::cxl
