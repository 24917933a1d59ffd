// Bytes arrive where they should, all of them, and nowhere else.
#include <netinet/in.h>

#include <algorithm>

#include "tests/plugins/tcp/harness.h"

namespace slipway::tcp {
namespace {

constexpr size_t kGuard = 64;
// The thread sanitizer looks at every word of what it was told to leave out (see harness.h), which takes it minutes.
#if defined(__SANITIZE_THREAD__)
constexpr size_t kLargest = 128 << 10, kLarge = 64 << 10;
#else
constexpr size_t kLargest = 16 << 20, kLarge = 1 << 20;
#endif

class Data : public testing::TestWithParam<int> {
 protected:
  static std::string Lanes(int n) { return "{\"lanes\": " + std::to_string(n) + "}"; }

  Data() : target_(Lanes(1)), initiator_(Lanes(GetParam())) { peer_ = initiator_.Connect(target_); }

  // Registers `bytes` of fresh memory at the target.
  slipway_remote* Expose(size_t bytes) {
    memory_.assign(bytes, 0xee);
    return initiator_.Import(peer_, target_.Export(target_.Register(memory_.data(), memory_.size())));
  }

  Bytes memory_;  // outlives those who reach it
  Node target_, initiator_;
  slipway_peer* peer_ = nullptr;
};

TEST_P(Data, WritesAndReadsEverySizeAndLeavesTheRestAlone) {
  slipway_remote* remote = Expose(kLargest + 3 * kGuard);
  uint32_t seed = 1;
  for (const size_t size : {size_t{1}, size_t{2}, size_t{63}, size_t{64}, size_t{65}, size_t{4095}, size_t{4096},
                            size_t{4097}, size_t{16383}, size_t{16384}, size_t{16385}, size_t{65535}, size_t{65536},
                            size_t{65537}, size_t{131071}, size_t{1000003}, size_t{1} << 20, kLargest - 1, kLargest}) {
    if (size > kLargest) continue;
    SCOPED_TRACE(size);
    const size_t offset = kGuard + size % 7;
    std::memset(memory_.data(), 0xee, offset + size + kGuard);
    const Bytes source = Pattern(size + 3, seed++);
    ASSERT_EQ(initiator_.Write(remote, offset, source.data() + 3, size), SLIPWAY_OK);
    ASSERT_EQ(std::memcmp(source.data() + 3, memory_.data() + offset, size), 0);
    ASSERT_TRUE(
        std::all_of(memory_.begin(), memory_.begin() + static_cast<long>(offset), [](uint8_t b) { return b == 0xee; }));
    for (size_t i = 0; i < kGuard; ++i) ASSERT_EQ(memory_[offset + size + i], 0xee);

    Bytes back(size + 2 * kGuard, 0x55);
    ASSERT_EQ(initiator_.Read(remote, offset, back.data() + kGuard, size), SLIPWAY_OK);
    ASSERT_EQ(std::memcmp(source.data() + 3, back.data() + kGuard, size), 0);
    for (size_t i = 0; i < kGuard; ++i) {
      ASSERT_EQ(back[i], 0x55);
      ASSERT_EQ(back[kGuard + size + i], 0x55);
    }
  }
}

TEST_P(Data, EveryAlignmentOfBothSides) {
  slipway_remote* remote = Expose(4096);
  for (size_t local = 0; local < 64; local += 3) {
    for (size_t far = 0; far < 64; far += 5) {
      const Bytes source = Pattern(257 + local, static_cast<uint32_t>(local * 64 + far + 1));
      ASSERT_EQ(initiator_.Write(remote, far, source.data() + local, 257), SLIPWAY_OK);
      Bytes back(257 + local);
      ASSERT_EQ(initiator_.Read(remote, far, back.data() + local, 257), SLIPWAY_OK);
      ASSERT_EQ(std::memcmp(back.data() + local, source.data() + local, 257), 0);
    }
  }
}

// A seeded program of reads and writes, many in flight, against a shadow of what the memory must hold.
TEST_P(Data, RandomProgramMatchesAShadow) {
  const size_t block = 8192, blocks = 64;
  slipway_remote* remote = Expose(block * blocks);
  Bytes shadow = memory_;
  std::mt19937 random(4711);
  for (int round = 0; round < 60; ++round) {
    // Each block is named once a round, so that the order within a round does not matter.
    std::vector<Bytes> buffers(blocks);
    std::vector<slipway_slice> slices;
    for (size_t b = 0; b < blocks; ++b) {
      const size_t begin = random() % 4000, length = 1 + random() % 4000;
      const bool write = random() % 2 == 0;
      buffers[b] = write ? Pattern(length, random()) : Bytes(length);
      if (write) std::copy(buffers[b].begin(), buffers[b].end(), shadow.begin() + static_cast<long>(b * block + begin));
      slices.push_back(Node::Slice(write ? SLIPWAY_OP_WRITE : SLIPWAY_OP_READ, b, buffers[b].data(), length, remote,
                                   b * block + begin));
    }
    uint32_t accepted = 0;
    ASSERT_EQ(Table().submit(initiator_.channel, slices.data(), sizeof(slices[0]), blocks, &accepted, nullptr),
              SLIPWAY_OK);
    ASSERT_EQ(accepted, blocks);
    std::vector<int> seen(blocks);
    for (const auto& c : initiator_.Collect(blocks)) {
      ASSERT_EQ(c.status, SLIPWAY_OK);
      ASSERT_EQ(c.bytes, slices[c.token].length);
      ASSERT_EQ(++seen[c.token], 1);
      ASSERT_EQ(std::memcmp(buffers[c.token].data(), shadow.data() + slices[c.token].remote_offset, c.bytes), 0);
    }
    ASSERT_EQ(memory_, shadow);
  }
}

TEST_P(Data, ManyLargeSlicesInFlightBothWays) {
  const size_t size = kLarge, count = 24;
  slipway_remote* remote = Expose(size * count);
  const Bytes source = Pattern(size * count, 99);
  Bytes back(size * count);
  std::vector<slipway_slice> writes, reads;
  for (size_t i = 0; i < count; ++i) {
    writes.push_back(
        Node::Slice(SLIPWAY_OP_WRITE, i, const_cast<uint8_t*>(source.data()) + i * size, size, remote, i * size));
    reads.push_back(Node::Slice(SLIPWAY_OP_READ, i, back.data() + i * size, size, remote, i * size));
  }
  for (auto* slices : {&writes, &reads}) {
    uint32_t accepted = 0;
    ASSERT_EQ(Table().submit(initiator_.channel, slices->data(), sizeof(slipway_slice), count, &accepted, nullptr),
              SLIPWAY_OK);
    ASSERT_EQ(accepted, count);
    for (const auto& c : initiator_.Collect(count)) ASSERT_EQ(c.status, SLIPWAY_OK);
  }
  EXPECT_EQ(memory_, source);
  EXPECT_EQ(back, source);
}

INSTANTIATE_TEST_SUITE_P(Lanes, Data, testing::Values(1, 4));

TEST(DataIpv6, ReachesAnIpv6Listener) {
  Socket probe(socket(AF_INET6, SOCK_STREAM, 0));
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr.s6_addr[15] = 1;
  if (!probe.open() || bind(probe.fd(), reinterpret_cast<sockaddr*>(&loopback), sizeof(loopback)) != 0) {
    GTEST_SKIP() << "this machine has no IPv6 loopback";
  }
  Bytes memory(100);
  Node target("{\"listen\": [\"[::1]:0\"]}"), initiator;
  slipway_peer* peer = initiator.Connect(target);
  slipway_remote* remote = initiator.Import(peer, target.Export(target.Register(memory.data(), memory.size())));
  const Bytes source = Pattern(100, 5);
  EXPECT_EQ(initiator.Write(remote, 0, source.data(), 100), SLIPWAY_OK);
  EXPECT_EQ(memory, source);
}

TEST(DataSelf, AnInstanceMayReachItself) {
  Bytes memory(1 << 20);
  const Bytes source = Pattern(1 << 20, 6);
  Node node;
  slipway_peer* peer = node.Connect(node);
  slipway_remote* remote = node.Import(peer, node.Export(node.Register(memory.data(), memory.size())));
  EXPECT_EQ(node.Write(remote, 0, source.data(), source.size()), SLIPWAY_OK);
  EXPECT_EQ(memory, source);
}

}  // namespace
}  // namespace slipway::tcp
