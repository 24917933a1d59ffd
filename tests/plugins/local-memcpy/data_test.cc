// Every byte arrives where it was sent, and nowhere else.
#include <algorithm>
#include <cstring>

#include "tests/plugins/local-memcpy/pair.h"

namespace slipway::test {
namespace {

class DataTest : public LocalMemcpyTest {};

TEST_F(DataTest, SizesFromOneByteToManyPieces) {
  constexpr size_t kBig = 3 << 20;
  Start(kBig);
  for (size_t size : {1, 2, 63, 64, 65, 1023, 1024, 1025, 4096, 65535, 65536, 65537, 98304, 131072, 262143, 262144,
                      999983, 3145728}) {
    std::vector<char> mine = RandomBytes(size, size);
    const size_t offset = (kBig - size) / 3;
    const std::vector<char> before = there_;
    slipway_completion done = a_->Write(mine.data(), size, remote_, offset);
    ASSERT_EQ(done.status, SLIPWAY_OK);
    ASSERT_EQ(done.bytes, size);
    ASSERT_TRUE(std::equal(mine.begin(), mine.end(), there_.begin() + static_cast<std::ptrdiff_t>(offset))) << size;
    ASSERT_TRUE(std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(offset), there_.begin()));
    ASSERT_EQ(std::memcmp(before.data() + offset + size, there_.data() + offset + size, kBig - offset - size), 0);

    std::vector<char> back(size + 128, 0x55);
    done = a_->Read(back.data() + 64, size, remote_, offset);
    ASSERT_EQ(done.status, SLIPWAY_OK);
    ASSERT_EQ(std::memcmp(back.data() + 64, mine.data(), size), 0) << size;
    ASSERT_TRUE(std::all_of(back.begin(), back.begin() + 64, [](char c) { return c == 0x55; }));
    ASSERT_TRUE(std::all_of(back.end() - 64, back.end(), [](char c) { return c == 0x55; }));
  }
}

TEST_F(DataTest, EveryAlignmentOfBothSidesAlsoWhereItStreams) {
  constexpr size_t kSize = 300'000;
  Start(kSize + 128);
  std::vector<char> mine = RandomBytes(kSize + 128, 3);
  for (size_t local = 0; local < 64; local += 7) {
    for (size_t offset = 0; offset < 64; offset += 5) {
      std::fill(there_.begin(), there_.end(), 0);
      ASSERT_EQ(a_->Write(mine.data() + local, kSize, remote_, offset).status, SLIPWAY_OK);
      ASSERT_EQ(std::memcmp(there_.data() + offset, mine.data() + local, kSize), 0) << local << " " << offset;
      ASSERT_TRUE(std::all_of(there_.begin(), there_.begin() + static_cast<std::ptrdiff_t>(offset),
                              [](char c) { return c == 0; }));
      ASSERT_TRUE(std::all_of(there_.begin() + static_cast<std::ptrdiff_t>(offset + kSize), there_.end(),
                              [](char c) { return c == 0; }));
    }
  }
}

TEST_F(DataTest, OverlappingRangesAreMovedAsByMemmove) {
  Start(1 << 20);
  for (const size_t size : {500u, 5000u, 700'000u}) {
    for (const std::ptrdiff_t shift : {-100, -1, 0, 1, 63, 4096}) {
      std::vector<char> expected = there_;
      const std::ptrdiff_t at = 5000;
      std::memmove(expected.data() + at + shift, expected.data() + at, size);
      ASSERT_EQ(a_->Write(there_.data() + at, size, remote_, static_cast<uint64_t>(at + shift)).status, SLIPWAY_OK);
      ASSERT_EQ(there_, expected) << size << " by " << shift;
    }
  }
}

TEST_F(DataTest, AThousandRandomSlicesEndAsInAModel) {
  constexpr size_t kSpace = 512 << 10;
  Start(kSpace);
  std::mt19937_64 random(42);
  std::vector<char> model = there_;
  std::vector<char> mine = RandomBytes(kSpace, 5);
  for (int i = 0; i < 1000; ++i) {
    const size_t size = 1 + random() % (random() % 4 == 0 ? kSpace / 2 : 3000);
    const size_t offset = random() % (kSpace - size), local = random() % (kSpace - size);
    if (random() % 2 == 0) {
      ASSERT_EQ(a_->Write(mine.data() + local, size, remote_, offset).status, SLIPWAY_OK);
      std::memcpy(model.data() + offset, mine.data() + local, size);
    } else {
      ASSERT_EQ(a_->Read(mine.data() + local, size, remote_, offset).status, SLIPWAY_OK);
      ASSERT_EQ(std::memcmp(mine.data() + local, model.data() + offset, size), 0);
    }
  }
  EXPECT_EQ(there_, model);
}

TEST_F(DataTest, ManySlicesAtOnceOfEverySize) {
  constexpr size_t kSlices = 200, kEach = 200'000;
  Start(kSlices * kEach);
  std::vector<char> mine = RandomBytes(kSlices * kEach, 11);
  std::vector<bool> seen(kSlices + 1);
  size_t submitted = 0, completed = 0;
  while (completed < kSlices) {
    std::vector<slipway_slice> slices;
    for (size_t i = submitted; i < kSlices && slices.size() < 64; ++i) {
      const size_t size = i % 3 == 0 ? 100 : kEach;
      slices.push_back({i + 1, SLIPWAY_OP_WRITE, 0, mine.data() + i * kEach, size, nullptr, remote_, i * kEach, 0});
    }
    uint32_t accepted = 0;
    if (!slices.empty()) {
      const slipway_status s = a_->Submit(slices, &accepted);
      ASSERT_TRUE(s == SLIPWAY_OK || s == SLIPWAY_E_AGAIN) << a_->error().message;
    }
    submitted += accepted;
    std::vector<slipway_completion> done;
    ASSERT_EQ(a_->Poll(done, 7), SLIPWAY_OK);
    for (const slipway_completion& c : done) {
      ASSERT_EQ(c.status, SLIPWAY_OK);
      ASSERT_FALSE(seen[c.token]) << "completed twice";
      seen[c.token] = true;
      ++completed;
    }
  }
  for (size_t i = 0; i < kSlices; ++i) {
    const size_t size = i % 3 == 0 ? 100 : kEach;
    ASSERT_EQ(std::memcmp(there_.data() + i * kEach, mine.data() + i * kEach, size), 0);
  }
}

TEST_F(DataTest, AnInstanceReachesItself) {
  a_ = Node::Make(transport_, host_);
  std::vector<char> x = RandomBytes(1000, 1), y(1000);
  slipway_peer* const self = a_->Connect(a_->Address());
  slipway_remote* const remote = a_->Import(self, a_->Export(a_->Register(y.data(), y.size())));
  EXPECT_EQ(a_->Write(x.data(), x.size(), remote, 0).status, SLIPWAY_OK);
  EXPECT_EQ(x, y);
}

}  // namespace
}  // namespace slipway::test
