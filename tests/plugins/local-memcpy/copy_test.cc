// Every way of copying past the caches that this CPU has: all bytes, at all alignments, and none beside them.
#include "plugins/local-memcpy/copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace slipway::local_memcpy {
namespace {

class StreamingTest : public testing::TestWithParam<Streaming> {};

TEST_P(StreamingTest, CopiesAllBytesAndNoOthers) {
  if (GetParam() > BestStreaming()) GTEST_SKIP() << "this CPU does not have it";
  constexpr size_t kRoom = 80 << 10, kEdge = 128;
  std::mt19937 random(1);
  std::vector<char> from(kRoom + kEdge);
  for (char& c : from) c = static_cast<char>(1 + random() % 255);
  std::vector<char> to(kRoom + 2 * kEdge);
  for (int round = 0; round < 400; ++round) {
    const size_t size = round < 20 ? static_cast<size_t>(round) : random() % kRoom;
    const size_t source = random() % 64, at = kEdge + random() % 64;
    std::fill(to.begin(), to.end(), 0);
    CopyStreaming(to.data() + at, from.data() + source, size, GetParam());
    ASSERT_EQ(std::memcmp(to.data() + at, from.data() + source, size), 0) << size << " " << source << " " << at;
    ASSERT_EQ(std::count(to.begin(), to.end(), 0), static_cast<std::ptrdiff_t>(to.size() - size));
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, StreamingTest, testing::Values(Streaming::kPlain, Streaming::kAvx2, Streaming::kAvx512),
                         [](const auto& info) { return std::string(StreamingName(info.param)); });

}  // namespace
}  // namespace slipway::local_memcpy
