// Copies as memmove does, however the two lie to each other.
#include "slipway/sdk/copy_bytes.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace slipway::sdk {
namespace {

constexpr size_t kPage = 4096;

// For so many bytes and some pages around them.
size_t RoomFor(size_t bytes) { return bytes + 10 * kPage; }

std::vector<char> Numbered(size_t bytes) {
  std::vector<char> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 2654435761u >> 11);
  return out;
}

const std::vector<size_t> kLengths = {0, 1, 1023, 1024, 1025, 2048, 4095, 4096, 10'000, 65'536, 1 << 20, (1 << 20) + 1};
const std::vector<ptrdiff_t> kApart = {-4096, -64, -33, -32, -31, -16, -1, 0, 1, 15, 16, 31, 32, 33, 64, 2048};

TEST(CopyBytes, GivesWhatMemmoveGivesAndTouchesNothingElse) {
  for (const size_t bytes : kLengths) {
    const std::vector<char> source = Numbered(RoomFor(bytes));
    for (const ptrdiff_t apart : kApart) {
      std::vector<char> target(RoomFor(bytes), 'x'), expected = target;
      // As far behind the source as said, in terms of offsets within a page.
      const size_t from = kPage, gap = kPage - reinterpret_cast<uintptr_t>(target.data()) % kPage +
                                       reinterpret_cast<uintptr_t>(source.data()) % kPage;
      const size_t to = 2 * kPage + gap + static_cast<size_t>(apart + static_cast<ptrdiff_t>(kPage));
      ASSERT_EQ((reinterpret_cast<uintptr_t>(&target[to]) - reinterpret_cast<uintptr_t>(&source[from])) % kPage,
                static_cast<size_t>(apart) % kPage);
      std::memmove(&expected[to], &source[from], bytes);
      CopyBytes(&target[to], &source[from], bytes);
      ASSERT_EQ(target, expected) << bytes << " bytes, " << apart << " apart";
    }
  }
}

TEST(CopyBytes, MovesWithinOneBuffer) {
  for (const size_t bytes : kLengths) {
    for (const ptrdiff_t apart : kApart) {
      for (const ptrdiff_t pages : {-2, 0, 2}) {
        std::vector<char> seen = Numbered(RoomFor(bytes)), expected = seen;
        const size_t from = 4 * kPage, to = from + static_cast<size_t>(apart + pages * static_cast<ptrdiff_t>(kPage));
        std::memmove(&expected[to], &expected[from], bytes);
        CopyBytes(&seen[to], &seen[from], bytes);
        ASSERT_EQ(seen, expected) << bytes << " bytes, " << apart << " and " << pages << " pages apart";
      }
    }
  }
}

}  // namespace
}  // namespace slipway::sdk
