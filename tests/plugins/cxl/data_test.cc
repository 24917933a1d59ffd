// Every byte arrives where it was sent, and nowhere else.
#include <algorithm>
#include <cstring>

#include "tests/plugins/cxl/window_file.h"

namespace slipway::test {
namespace {

class DataTest : public CxlTest {
 protected:
  uint64_t Stat(const std::string& name) const {
    const std::string stats = a_->stats();
    return std::stoull(stats.substr(stats.find("\"" + name + "\":") + name.size() + 3));
  }
};

TEST_F(DataTest, BytesAreThereThroughAMappingOfAnybodys) {
  Start(1 << 20);
  const std::vector<char> mine = RandomBytes(300'001, 1);
  ASSERT_EQ(a_->Write(mine.data() ? const_cast<char*>(mine.data()) : nullptr, mine.size(), remote_, 1001).status,
            SLIPWAY_OK);
  // One that has nothing to do with the transport's.
  const Mapping whole(file_, 0, WindowFile::kBoards + (32 << 20));
  const char* const found =
      std::search(whole.data() + WindowFile::kBoards, whole.data() + whole.size(), mine.begin(), mine.end());
  ASSERT_NE(found, whole.data() + whole.size());
  EXPECT_EQ((found - whole.data()) % 4096, 1001);
  EXPECT_EQ(std::memcmp(there_ + 1001, mine.data(), mine.size()), 0);
}

TEST_F(DataTest, SizesFromOneByteToManyPieces) {
  constexpr size_t kBig = 3 << 20;
  Start(kBig);
  for (const size_t size : {1, 63, 64, 65, 4096, 16383, 16384, 65535, 65537, 131072, 999983, 3145728}) {
    std::vector<char> mine = RandomBytes(size, size);
    const size_t offset = (kBig - size) / 3;
    const std::vector<char> before(there_, there_ + kBig);
    slipway_completion done = a_->Write(mine.data(), size, remote_, offset);
    ASSERT_EQ(done.status, SLIPWAY_OK);
    ASSERT_EQ(done.bytes, size);
    ASSERT_EQ(std::memcmp(mine.data(), there_ + offset, size), 0) << size;
    ASSERT_EQ(std::memcmp(before.data(), there_, offset), 0);
    ASSERT_EQ(std::memcmp(before.data() + offset + size, there_ + offset + size, kBig - offset - size), 0);

    std::vector<char> back(size + 128, 0x55);
    done = a_->Read(back.data() + 64, size, remote_, offset);
    ASSERT_EQ(done.status, SLIPWAY_OK);
    ASSERT_EQ(std::memcmp(back.data() + 64, mine.data(), size), 0) << size;
    ASSERT_TRUE(std::all_of(back.begin(), back.begin() + 64, [](char c) { return c == 0x55; }));
    ASSERT_TRUE(std::all_of(back.end() - 64, back.end(), [](char c) { return c == 0x55; }));
  }
}

TEST_F(DataTest, OffsetsBeyondTheEndAreRefusedAndNothingMoves) {
  constexpr uint64_t kBytes = 1 << 20;
  Start(kBytes);
  std::vector<char> mine = RandomBytes(2 * kBytes, 9);
  const std::vector<char> before(there_, there_ + kBytes), mine_before = mine;
  const std::pair<uint64_t, uint64_t> cases[] = {{kBytes - 100, 101},    {kBytes, 1},           {kBytes + 1, 1},
                                                 {0, kBytes + 1},        {UINT64_MAX - 10, 20}, {UINT64_MAX, 1},
                                                 {uint64_t{1} << 63, 64}};
  for (const auto& [offset, length] : cases) {
    for (const uint32_t op : {SLIPWAY_OP_WRITE, SLIPWAY_OP_READ}) {
      uint32_t accepted = 99;
      EXPECT_EQ(a_->Submit({a_->Slice(op, mine.data(), length, remote_, offset)}, &accepted), SLIPWAY_E_RANGE)
          << length << " bytes at " << offset;
      EXPECT_EQ(accepted, 0u);
    }
  }
  EXPECT_EQ(std::memcmp(before.data(), there_, kBytes), 0);
  EXPECT_EQ(mine, mine_before);
}

TEST_F(DataTest, TheSameBytesUnderTwoAddressesAreMovedAsByMemmove) {
  constexpr size_t kBytes = 1 << 20;
  Start(kBytes);
  // The memory as the target's program sees it, and as this side's mapping does.
  for (const size_t size : {500u, 5000u, 700'000u}) {
    for (const std::ptrdiff_t shift : {-100, -1, 0, 1, 63, 4096}) {
      std::vector<char> expected(there_, there_ + kBytes);
      const std::ptrdiff_t at = 5000;
      std::memmove(expected.data() + at + shift, expected.data() + at, size);
      ASSERT_EQ(a_->Write(there_ + at, size, remote_, static_cast<uint64_t>(at + shift)).status, SLIPWAY_OK);
      ASSERT_EQ(std::memcmp(there_, expected.data(), kBytes), 0) << size << " by " << shift;
    }
  }
}

TEST_F(DataTest, AShortSliceDoesNotWaitForALongOneBeforeIt) {
  constexpr size_t kLong = 24 << 20;
  Start(kLong, R"("piece_bytes": "64KiB")");
  std::vector<char> mine = RandomBytes(kLong, 5);
  uint32_t accepted = 0;
  const std::vector<slipway_slice> slices = {a_->Slice(SLIPWAY_OP_WRITE, mine.data(), kLong, remote_, 0),
                                             a_->Slice(SLIPWAY_OP_READ, mine.data(), 100, remote_, 0)};
  ASSERT_EQ(a_->Submit(slices, &accepted), SLIPWAY_OK);
  ASSERT_EQ(accepted, 2u);
  const std::vector<slipway_completion> done = a_->Drain(2);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].token, slices[1].token);
  EXPECT_EQ(std::memcmp(there_, mine.data(), kLong), 0);
}

TEST_F(DataTest, WithoutCoherenceEveryLineIsWrittenBackAndReadAnew) {
  a_ = Make(R"({"windows": [{"device": ")" + file_.path() +
            R"(", "identity": "x"}], "sharing": "non-coherent", "host_index": 1})");
  b_ = Make(R"({"windows": [{"device": ")" + file_.path() + R"(", "identity": "x", "offset": "16MiB", "bytes": "8MiB"}],
                "sharing": "non-coherent", "host_index": 2})");
  EXPECT_NE(a_->attrs().caps & SLIPWAY_CAP_CROSS_HOST, 0u);
  there_ = Allocate(*b_, 1 << 20);
  exported_ = b_->Register(there_, 1 << 20, kRemoteAccess);
  peer_ = a_->Connect(b_->Address());
  remote_ = a_->Import(peer_, b_->Export(exported_));
  std::vector<char> mine = RandomBytes(1 << 20, 3), back(1 << 20);
  ASSERT_EQ(a_->Write(mine.data(), mine.size(), remote_, 0).status, SLIPWAY_OK);
  ASSERT_EQ(a_->Write(mine.data(), 1000, remote_, 0).status, SLIPWAY_OK);
  ASSERT_EQ(a_->Read(back.data(), back.size(), remote_, 0).status, SLIPWAY_OK);
  EXPECT_EQ(back, mine);
  EXPECT_EQ(extension().synchronize(b_->instance(), there_, 1 << 20), SLIPWAY_OK);
  EXPECT_EQ(std::memcmp(there_, mine.data(), mine.size()), 0);
  EXPECT_GE(Stat("streamed_bytes"), (1u << 20)) << "the long write";
  EXPECT_GE(Stat("written_back_lines"), 16u) << "the short one";
  EXPECT_EQ(Stat("invalidated_lines"), (1u << 20) / cxl::kLine);
}

TEST_F(DataTest, CanceledSlicesMoveNoMore) {
  Start(8 << 20, R"("piece_bytes": "64KiB")");
  std::vector<char> mine(8 << 20, 'm');
  const std::vector<char> before(there_, there_ + (8 << 20));
  uint32_t accepted = 0;
  const slipway_slice slice = a_->Slice(SLIPWAY_OP_WRITE, mine.data(), mine.size(), remote_, 0);
  ASSERT_EQ(a_->Submit({slice}, &accepted), SLIPWAY_OK);
  ASSERT_EQ(transport_.cancel(a_->channel(), slice.token), SLIPWAY_OK);
  ASSERT_EQ(transport_.cancel(a_->channel(), slice.token), SLIPWAY_OK);
  const std::vector<slipway_completion> done = a_->Drain(1);
  EXPECT_EQ(done[0].status, SLIPWAY_E_CANCELED);
  EXPECT_EQ(done[0].bytes, 0u);
  EXPECT_EQ(std::memcmp(before.data(), there_, before.size()), 0);
}

}  // namespace
}  // namespace slipway::test
