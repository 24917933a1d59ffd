// Against a real verbs stack: what moves, who is refused, what breaks and what is left behind. Runs in the lab, as
// root.
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "tests/plugins/rdma-verbs/harness.h"

namespace slipway::rdma {
namespace {

constexpr uint32_t kWrite = SLIPWAY_OP_WRITE, kRead = SLIPWAY_OP_READ;

std::string Shell(const std::string& command) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 4096> block;
  while (size_t n = fread(block.data(), 1, block.size(), pipe)) out.append(block.data(), n);
  pclose(pipe);
  return out;
}

size_t Lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

// What the kernel keeps for this process.
struct Resources {
  size_t queue_pairs = Lines(Shell("rdma resource show qp | grep RC"));
  size_t connections = Lines(Shell("rdma resource show cm_id"));
  size_t regions = Lines(Shell("rdma resource show mr"));
  size_t completion_queues = Lines(Shell("rdma resource show cq"));
  size_t descriptors = static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
  size_t mappings = Lines(Shell("cat /proc/" + std::to_string(getpid()) + "/maps"));
};

TEST(Data, EverySizeArrivesAndComesBack) {
  Wire w;
  for (const uint64_t length : {1, 7, 64, 219, 220, 221, 4095, 4096, 4097, 65536, 1000003}) {
    w.local.Fill(static_cast<uint32_t>(length));
    const Memory expected(w.local.size(), static_cast<uint32_t>(length));
    ASSERT_EQ(w.initiator.Move(w.Piece(kWrite, 3, length)), SLIPWAY_OK) << length;
    EXPECT_EQ(std::memcmp(w.segment.data() + 3, expected.data() + 3, length), 0) << length;
    std::memset(w.local.data(), 0, w.local.size());
    ASSERT_EQ(w.initiator.Move(w.Piece(kRead, 3, length)), SLIPWAY_OK) << length;
    EXPECT_EQ(std::memcmp(w.local.data() + 3, expected.data() + 3, length), 0) << length;
    EXPECT_EQ(w.local.data()[2], 0);
    EXPECT_EQ(w.local.data()[3 + length], 0);
  }
  EXPECT_GT(w.initiator.Stat("work_requests_inline"), 0u);
}

TEST(Data, GoesThroughTheDevice) {
  Wire w;
  const std::string device = std::string(w.initiator.Attrs().device).substr(0, 4);
  const uint64_t before = DeviceCounter(device, "sent_pkts");
  for (int i = 0; i < 4; ++i) ASSERT_EQ(w.initiator.Move(w.All(kWrite)), SLIPWAY_OK);
  const uint64_t packets = DeviceCounter(device, "sent_pkts") - before;
  EXPECT_GE(packets * 4096, 4 * w.local.size()) << "no packet is longer than 4096 bytes";
  std::cout << "through " << device << ": " << packets << " packets for " << 4 * w.local.size() << " bytes\n";
}

TEST(Data, PacketsAreNoLongerThanEitherSideAllows) {
  const std::pair<const char*, const char*> cases[] = {{R"({"mtu_bytes": 1024})", "{}"},
                                                       {"{}", R"({"mtu_bytes": 1024})"}};
  for (const auto& [initiator, target] : cases) {
    Wire w(initiator, target, 1 << 20);
    const uint64_t before = DeviceCounter("rxe0", "sent_pkts");
    w.ExpectAlive();
    EXPECT_GE(DeviceCounter("rxe0", "sent_pkts") - before, 2 * w.local.size() / 1024) << initiator;
  }
}

TEST(Data, ReadsBeyondWhatTheDeviceTakesAtOnceWait) {
  for (const char* config : {R"({"max_reads": 1, "lanes": 1})", R"({"max_reads": 255, "lanes": 1})"}) {
    Wire w(config);
    for (uint64_t i = 0; i < 64; ++i) ASSERT_EQ(w.initiator.Submit(i, w.Piece(kRead, i * 16384, 16384)), SLIPWAY_OK);
    ASSERT_TRUE(w.initiator.WaitDone(64));
    for (const auto& [token, status] : w.initiator.done) EXPECT_EQ(status, SLIPWAY_OK) << token;
    EXPECT_TRUE(w.local.Is(2));
    EXPECT_EQ(w.initiator.Stat("lanes_rebuilt"), 0u);
  }
}

TEST(Data, SmallSlicesShareCompletions) {
  Wire w;
  constexpr uint32_t kSlices = 256;
  std::vector<slipway_slice> slices(kSlices);
  for (uint32_t i = 0; i < kSlices; ++i) {
    slices[i].token = i;
    slices[i].op = kWrite;
    slices[i].local_addr = w.local.data() + i * 512;
    slices[i].length = 512;
    slices[i].local_mr = w.local_mr;
    slices[i].remote = w.remote;
    slices[i].remote_offset = i * 512;
  }
  for (uint32_t at = 0; at < kSlices;) {
    uint32_t accepted = 0;
    ASSERT_EQ(Table().submit(w.initiator.channel, &slices[at], sizeof(slices[0]), kSlices - at, &accepted, nullptr),
              SLIPWAY_OK);
    at += accepted;
  }
  ASSERT_TRUE(w.initiator.WaitDone(kSlices));
  EXPECT_EQ(std::memcmp(w.segment.data(), w.local.data(), kSlices * 512), 0);
  EXPECT_LT(w.initiator.Stat("work_requests_signaled"), kSlices / 4);
  EXPECT_LT(w.initiator.Stat("posts"), kSlices / 8);
}

// One comes whenever one completes, as where a number is kept in flight: while the device is busy they wait for others,
// and when it soon is not, for none.
TEST(Data, FewSlicesWaitForMoreWhileTheDeviceIsBusy) {
  constexpr uint64_t kBytes = 64 << 10, kSlices = 256, kDepth = 16, kPieces = 8;
  for (const auto op : {kWrite, kRead}) {
    Wire w(R"({"lanes": 1})");
    uint64_t submitted = 0;
    const auto submit = [&] {
      ASSERT_EQ(w.initiator.Submit(submitted, w.Piece(op, submitted % kPieces * kBytes, kBytes)), SLIPWAY_OK);
      ++submitted;
    };
    while (submitted < kDepth) submit();
    while (submitted < kSlices) {
      ASSERT_TRUE(w.initiator.WaitDone(submitted - kDepth + 1));
      while (submitted < kSlices && submitted < w.initiator.done.size() + kDepth) submit();
    }
    ASSERT_TRUE(w.initiator.WaitDone(kSlices));
    for (const auto& [token, status] : w.initiator.done) EXPECT_EQ(status, SLIPWAY_OK) << token;
    EXPECT_EQ(w.initiator.Stat("work_requests"), kSlices);
    // The first eight of each sixteen may be alone, where the device is done before anybody polls.
    EXPECT_LT(w.initiator.Stat("posts"), kSlices / 4 * 3);
    EXPECT_LT(w.initiator.Stat("work_requests_signaled"), kSlices / 4 * 3);
    w.ExpectAlive();  // alone it is posted at once
  }
}

TEST(Data, PollingWithoutEvents) {
  Wire w(R"({"completion": "polling"})");
  w.ExpectAlive();
  EXPECT_EQ(w.initiator.Stat("completion_events"), 0u);
}

TEST(Data, AChannelThatOpensLaterGetsLanesOfItsOwn) {
  Wire w;
  w.initiator.CloseChannel();
  w.initiator.OpenChannel();
  w.ExpectAlive();
  EXPECT_GE(w.initiator.Stat("lanes_ready"), 3u);
}

TEST(Data, MoreThanTheQueuesHold) {
  Wire w(R"({"queue_depth": 2, "lanes": 1, "max_inflight": 64})");
  for (uint64_t i = 0; i < 64; ++i) ASSERT_EQ(w.initiator.Submit(i, w.Piece(kWrite, i * 4096, 4096)), SLIPWAY_OK);
  EXPECT_EQ(w.initiator.Submit(64, w.Piece(kWrite, 0, 64)), SLIPWAY_E_AGAIN);
  ASSERT_TRUE(w.initiator.WaitDone(64));
  for (const auto& [token, status] : w.initiator.done) EXPECT_EQ(status, SLIPWAY_OK) << token;
}

TEST(Data, WhatNobodyPolledForLongIsNoSilence) {
  Wire w(R"({"peer_timeout_ms": 400})");
  for (uint64_t i = 0; i < 4; ++i) ASSERT_EQ(w.initiator.Submit(i, w.Piece(kWrite, i * 65536, 65536)), SLIPWAY_OK);
  std::this_thread::sleep_for(milliseconds(1500));  // as where the process was stopped
  ASSERT_TRUE(w.initiator.WaitDone(4));
  for (const auto& [token, status] : w.initiator.done) EXPECT_EQ(status, SLIPWAY_OK) << token;
  w.ExpectAlive();
  EXPECT_EQ(w.initiator.Stat("peers_failed"), 0u);
}

// ---- keys ----------------------------------------------------------------------------------------------------------

TEST(Keys, ARevokedOneIsStaleAndMovesNothing) {
  Wire w;
  Memory doomed(65536, 3);
  slipway_mr* doomed_mr = w.target.Register(doomed);
  slipway_remote* stale = w.initiator.Import(w.peer, w.target.Export(doomed_mr));
  w.target.Deregister(doomed_mr);
  Node::Piece p{kWrite, &w.local, w.local_mr, stale, 0, 65536};
  EXPECT_EQ(w.initiator.Move(p), SLIPWAY_E_STALE_REMOTE);
  EXPECT_TRUE(doomed.Is(3));
  p.op = kRead;
  EXPECT_EQ(w.initiator.Move(p), SLIPWAY_E_STALE_REMOTE);
  EXPECT_TRUE(w.local.Is(1));
  w.ExpectAlive();
  EXPECT_EQ(Table().peer_ready(w.peer, nullptr), SLIPWAY_OK);
}

TEST(Keys, OthersGoOnWhileOneIsRefused) {
  Wire w(R"({"lanes": 2})");
  Memory doomed(65536, 3);
  slipway_mr* doomed_mr = w.target.Register(doomed);
  slipway_remote* stale = w.initiator.Import(w.peer, w.target.Export(doomed_mr));
  w.target.Deregister(doomed_mr);
  w.initiator.done.clear();
  uint64_t refused = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    if (i == 20) {
      ASSERT_EQ(w.initiator.Submit(1000, {kWrite, &w.local, w.local_mr, stale, 0, 65536}), SLIPWAY_OK);
      ++refused;
    }
    ASSERT_EQ(w.initiator.Submit(i, w.Piece(i % 2 == 0 ? kWrite : kRead, i * 16384, 16384)), SLIPWAY_OK);
  }
  ASSERT_TRUE(w.initiator.WaitDone(60 + refused));
  for (const auto& [token, status] : w.initiator.done) {
    EXPECT_EQ(status, token == 1000 ? SLIPWAY_E_STALE_REMOTE : SLIPWAY_OK) << token;
  }
  EXPECT_TRUE(w.initiator.WaitStat("lanes_rebuilt", 1));
  w.ExpectAlive();
}

TEST(Keys, ForgedOnesMoveNothing) {
  Wire w;
  const auto genuine = DecodeRegistration(w.target.Export(w.segment_mr));
  ASSERT_TRUE(genuine);
  RemoteRegistration wrong_key = *genuine, wrong_address = *genuine, too_long = *genuine;
  wrong_key.rkeys[0] ^= 0x55;
  wrong_address.base ^= uint64_t{1} << 40;
  too_long.length += 4096;
  for (const RemoteRegistration& forged : {wrong_key, wrong_address}) {
    slipway_remote* remote = w.initiator.Import(w.peer, EncodeRegistration(forged));
    EXPECT_EQ(w.initiator.Move({kWrite, &w.local, w.local_mr, remote, 0, 4096}), SLIPWAY_E_STALE_REMOTE);
  }
  Memory longer(w.local.size() + 4096, 5);
  slipway_mr* longer_mr = w.initiator.Register(longer);
  slipway_remote* remote = w.initiator.Import(w.peer, EncodeRegistration(too_long));
  EXPECT_EQ(w.initiator.Move({kWrite, &longer, longer_mr, remote, w.local.size() - 64, 128}), SLIPWAY_E_STALE_REMOTE);
  EXPECT_TRUE(w.segment.Is(2));
  w.ExpectAlive();
}

TEST(Keys, MoreThanWasGrantedIsRefusedByTheTarget) {
  Wire w;
  Memory readable(65536, 3);
  slipway_mr* mr = w.target.Register(readable, SLIPWAY_ACCESS_REMOTE_READ);
  auto claim = DecodeRegistration(w.target.Export(mr));
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->access, SLIPWAY_ACCESS_REMOTE_READ);
  claim->access = SLIPWAY_ACCESS_ALL;
  slipway_remote* remote = w.initiator.Import(w.peer, EncodeRegistration(*claim));
  EXPECT_EQ(w.initiator.Move({kRead, &w.local, w.local_mr, remote, 0, 65536}), SLIPWAY_OK);
  EXPECT_EQ(w.initiator.Move({kWrite, &w.local, w.local_mr, remote, 0, 65536}), SLIPWAY_E_STALE_REMOTE);
  EXPECT_TRUE(readable.Is(3));
}

TEST(Keys, TheSameMemoryRegisteredAgainHasAnotherAddress) {
  Wire w;
  const auto first = DecodeRegistration(w.target.Export(w.segment_mr));
  slipway_mr* again = w.target.Register(w.segment);
  const auto second = DecodeRegistration(w.target.Export(again));
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->base, second->base);
  EXPECT_EQ(first->base % 4096, second->base % 4096);
}

// ---- connecting ----------------------------------------------------------------------------------------------------

TEST(Connecting, WithoutTheSecretThereIsNoQueuePair) {
  Node initiator, target;
  auto address = DecodeAddress(target.Address());
  ASSERT_TRUE(address);
  address->secret[0] ^= 1;
  std::string why;
  EXPECT_EQ(initiator.WaitReady(initiator.StartConnecting(EncodeAddress(*address)), &why), SLIPWAY_E_ACCESS) << why;
  EXPECT_GE(target.Stat("connections_refused_proof"), 1u);
  EXPECT_EQ(target.Stat("connections_accepted"), 0u);
  EXPECT_NE(target.host.log().find("secret"), std::string::npos);
}

TEST(Connecting, AnotherInstanceAtTheSamePlaceIsStale) {
  Node initiator, target;
  auto address = DecodeAddress(target.Address());
  ASSERT_TRUE(address);
  address->instance[3] ^= 1;
  std::string why;
  EXPECT_EQ(initiator.WaitReady(initiator.StartConnecting(EncodeAddress(*address)), &why), SLIPWAY_E_STALE_REMOTE);
  EXPECT_NE(why.find("another instance"), std::string::npos) << why;
  EXPECT_EQ(target.Stat("connections_accepted"), 0u);
}

TEST(Connecting, NobodyThereIsToldInTime) {
  Node initiator(R"({"connect_timeout_ms": 1000})"), target;
  auto address = DecodeAddress(target.Address());
  target.Destroy();
  std::string why;
  const auto start = Clock::now();
  EXPECT_EQ(initiator.WaitReady(initiator.StartConnecting(EncodeAddress(*address)), &why), SLIPWAY_E_PEER);
  EXPECT_LT(Clock::now() - start, milliseconds(4000));
  EXPECT_NE(why.find("nobody listens"), std::string::npos) << why;
}

TEST(Connecting, NoMoreThanMaxConnections) {
  Node target(R"({"max_connections": 1})"), initiator(R"({"lanes": 1})");
  initiator.Connect(target);
  Node second(R"({"lanes": 1})");
  std::string why;
  EXPECT_EQ(second.WaitReady(second.StartConnecting(target.Address()), &why), SLIPWAY_E_PEER);
  EXPECT_NE(why.find("max_connections"), std::string::npos) << why;
}

TEST(Connecting, IdleConnectionsAreAskedNowAndThen) {
  Wire w(R"({"keepalive_s": 1})");
  EXPECT_TRUE(w.target.WaitStat("keepalives_sent", 8));  // two lanes, so at least three each
  EXPECT_EQ(w.target.Stat("connections_lost"), 0u);
  w.ExpectAlive();
}

TEST(Connecting, ATargetThatEndsIsNoticed) {
  Wire w;
  w.target.Destroy();
  const slipway_status s = w.initiator.Move(w.All(kWrite));
  EXPECT_EQ(s, SLIPWAY_E_PEER);
}

// ---- several devices: rxe0, and rxe1 on an interface "dummy0", which whoever runs this makes
// -------------------------

constexpr char kBoth[] = R"({"devices": ["rxe0", "rxe1"], "lanes": 4, "link_down_grace_ms": 50})";

TEST(TwoDevices, BothCarryWhatIsRegisteredWithBoth) {
  Wire w(kBoth, 8 << 20);
  EXPECT_EQ(w.initiator.Attrs().pins_per_reg, 2u);
  EXPECT_STREQ(w.initiator.Attrs().device, "rxe0:1 rxe1:1");
  w.ExpectAlive();
  const uint64_t before[] = {DeviceCounter("rxe0", "sent_pkts"), DeviceCounter("rxe1", "sent_pkts")};
  w.local.Fill(5);
  w.initiator.done.clear();
  for (uint64_t i = 0; i < 32; ++i) ASSERT_EQ(w.initiator.Submit(i, w.Piece(kWrite, i << 18, 1 << 18)), SLIPWAY_OK);
  ASSERT_TRUE(w.initiator.WaitDone(32));
  EXPECT_TRUE(w.segment.Is(5));
  const uint64_t packets[] = {DeviceCounter("rxe0", "sent_pkts") - before[0],
                              DeviceCounter("rxe1", "sent_pkts") - before[1]};
  std::cout << "rxe0 " << packets[0] << " packets, rxe1 " << packets[1] << "\n";
  EXPECT_GE((packets[0] + packets[1]) * 4096, w.local.size());
  for (const uint64_t n : packets) EXPECT_GE(n * 4096, w.local.size() / 4);
}

TEST(TwoDevices, ALinkThatIsDownIsDoneWithout) {
  Wire w(kBoth);
  w.ExpectAlive();
  Shell("ip link set dummy0 down");
  const auto deadline = Clock::now() + Node::kPatience;
  while (Table().peer_ready(w.peer, nullptr) == SLIPWAY_OK && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(w.initiator.Move(w.All(kWrite)), SLIPWAY_E_PEER) << "so that it is connected to again";
  slipway_peer* again = w.initiator.Connect(w.target);
  w.remote = w.initiator.Import(again, w.target.Export(w.segment_mr));
  const uint64_t before = DeviceCounter("rxe1", "sent_pkts");
  w.ExpectAlive();
  EXPECT_EQ(DeviceCounter("rxe1", "sent_pkts"), before);
  Shell("ip link set dummy0 up");
}

// ---- nothing is left behind ----------------------------------------------------------------------------------------

TEST(Churn, LeavesNothingBehind) {
  const char* asked = std::getenv("SLIPWAY_TEST_RDMA_ROUNDS");
  const int rounds = asked != nullptr ? std::atoi(asked) : 150;
  Node initiator(R"({"lanes": 1})"), target;
  Memory local(1 << 16), segment(1 << 16, 2);
  Resources before;
  for (int i = 0; i < rounds + 10; ++i) {
    if (i == 10) before = Resources();  // the libraries have made what they keep
    slipway_peer* peer = initiator.Connect(target);
    slipway_mr* local_mr = initiator.Register(local);
    slipway_mr* segment_mr = target.Register(segment);
    slipway_remote* remote = initiator.Import(peer, target.Export(segment_mr));
    ASSERT_EQ(initiator.Move({i % 2 == 0 ? kWrite : kRead, &local, local_mr, remote, 0, 4096}), SLIPWAY_OK) << i;
    ASSERT_EQ(Table().release_remote(remote), SLIPWAY_OK);
    ASSERT_EQ(Table().disconnect(peer), SLIPWAY_OK);
    initiator.Deregister(local_mr);
    target.Deregister(segment_mr);
  }
  // The target closes when it is told so.
  const auto deadline = Clock::now() + milliseconds(10000);
  while (target.Stat("connections_open") > 0 && Clock::now() < deadline) std::this_thread::sleep_for(milliseconds(10));
  const Resources after;
  std::cout << rounds << " rounds of connecting and registering, before -> after: queue pairs " << before.queue_pairs
            << " -> " << after.queue_pairs << ", registrations " << before.regions << " -> " << after.regions
            << ", mappings " << before.mappings << " -> " << after.mappings << "\n";
  EXPECT_EQ(after.queue_pairs, before.queue_pairs);
  EXPECT_EQ(after.connections, before.connections);
  EXPECT_EQ(after.regions, before.regions);
  EXPECT_EQ(after.completion_queues, before.completion_queues);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_LE(after.mappings, before.mappings + 4);
  EXPECT_EQ(target.Stat("connections_accepted"), static_cast<uint64_t>(rounds) + 10);
}

TEST(Churn, InstancesOfOneProcessComeAndGo) {
  Resources before;
  for (int i = 0; i < 12; ++i) {
    if (i == 2) before = Resources();
    Wire w("{}", 65536);
    EXPECT_EQ(w.initiator.Move(w.All(kWrite)), SLIPWAY_OK);
  }
  const Resources after;
  EXPECT_EQ(after.queue_pairs, before.queue_pairs);
  EXPECT_EQ(after.regions, before.regions);
  EXPECT_EQ(after.descriptors, before.descriptors);
}

}  // namespace
}  // namespace slipway::rdma
