// Peers that die, stop, restart or are not there.
#include "tests/plugins/tcp/peer_process.h"
#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

constexpr size_t kMemory = 32 << 20;
// Longer than any test takes, so that time passes only where a test moves it on. Ticks follow the shortest limit.
constexpr milliseconds kPeerTimeout(60000);
const char* const kConfig = R"({"lanes": 2, "peer_timeout_ms": 60000, "connect_timeout_ms": 100})";

class TcpFailure : public testing::Test {
 protected:
  TcpFailure() : local_(kMemory, 0x77), initiator_(kConfig) {}

  // `n` slices of `length` to the peer, from different parts of the local memory.
  uint32_t SubmitMany(slipway_remote* remote, uint32_t op, uint32_t n, uint64_t length, uint64_t first_token = 0) {
    std::vector<slipway_slice> slices;
    for (uint32_t i = 0; i < n; ++i) {
      const uint64_t at = i * length % (kMemory - length + 1);
      slices.push_back(Node::Slice(op, first_token + i, local_.data() + at, length, remote, at));
    }
    uint32_t accepted = 0;
    Table().submit(initiator_.channel, slices.data(), sizeof(slices[0]), n, &accepted, nullptr);
    return accepted;
  }

  Bytes local_;
  Node initiator_;
};

TEST_F(TcpFailure, AKilledPeerFailsItsSlicesAndNoOthers) {
  auto victim = std::make_unique<PeerProcess>("{}", kMemory);
  PeerProcess other("{}", kMemory);
  slipway_peer* dying = initiator_.Connect(victim->address);
  slipway_peer* living = initiator_.Connect(other.address);
  slipway_remote* remote = initiator_.Import(dying, victim->registration);
  slipway_remote* fine = initiator_.Import(living, other.registration);
  victim->Stop();
  const uint32_t n = SubmitMany(remote, SLIPWAY_OP_WRITE, 32, 1 << 20);
  ASSERT_EQ(n, 32u);
  victim->Kill();
  for (const auto& c : initiator_.Collect(n)) EXPECT_EQ(c.status, SLIPWAY_E_PEER);
  Failure err;
  EXPECT_EQ(Table().peer_ready(dying, &err), SLIPWAY_E_PEER);
  EXPECT_STRNE(err.message, "");
  EXPECT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_WRITE, 1, local_.data(), 1, remote, 0), &err), SLIPWAY_E_PEER);
  EXPECT_EQ(initiator_.Write(fine, 0, local_.data(), 1000), SLIPWAY_OK);
  EXPECT_EQ(Table().release_remote(remote), SLIPWAY_OK);
  EXPECT_EQ(Table().disconnect(dying), SLIPWAY_OK);
}

TEST_F(TcpFailure, AStoppedPeerIsGivenUpInTimeAndHoldsNobodyUp) {
  PeerProcess stopped("{}", kMemory), other("{}", kMemory);
  slipway_remote* remote = initiator_.Import(initiator_.Connect(stopped.address), stopped.registration);
  slipway_remote* fine = initiator_.Import(initiator_.Connect(other.address), other.registration);
  stopped.Stop();
  const uint32_t writes = SubmitMany(remote, SLIPWAY_OP_WRITE, 20, 1 << 20, 1000);
  const uint32_t reads = SubmitMany(remote, SLIPWAY_OP_READ, 20, 1 << 20, 2000);
  ASSERT_EQ(writes + reads, 40u);
  const auto others_go_on = [&] {  // on the same channel, and nothing else completes
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(SubmitMany(fine, SLIPWAY_OP_WRITE, 1, 1000, 1), 1u);
      const auto all = initiator_.Collect(1);
      ASSERT_EQ(all.size(), 1u);
      ASSERT_EQ(all[0].token, 1u);
      ASSERT_EQ(all[0].status, SLIPWAY_OK);
    }
  };
  others_go_on();
  ASSERT_TRUE(initiator_.PassUntilCount("pings_sent", 1, kPeerTimeout / 4 + milliseconds(1000)));
  others_go_on();
  // A ping that was sent is the last sign of life.
  ASSERT_TRUE(initiator_.PassUntilCount("peers_timed_out", 1, kPeerTimeout / 4 * 3 + milliseconds(1000)));
  for (const auto& c : initiator_.Collect(40)) EXPECT_EQ(c.status, SLIPWAY_E_PEER);
  others_go_on();
}

TEST_F(TcpFailure, APeerThatWasStoppedShortlyGoesOn) {
  PeerProcess peer("{}", kMemory);
  slipway_remote* remote = initiator_.Import(initiator_.Connect(peer.address), peer.registration);
  peer.Stop();
  ASSERT_EQ(SubmitMany(remote, SLIPWAY_OP_WRITE, 8, 1 << 20), 8u);
  ASSERT_TRUE(initiator_.PassUntilCount("pings_sent", 1, kPeerTimeout / 4 + milliseconds(1000)));
  peer.Continue();
  for (const auto& c : initiator_.Collect(8)) EXPECT_EQ(c.status, SLIPWAY_OK);
}

TEST_F(TcpFailure, ARestartedPeerIsStaleAndAFreshImportWorks) {
  auto first = std::make_unique<PeerProcess>("{}", kMemory);
  const std::string old_address = first->address, old_registration = first->registration;
  const std::string where = DecodeAddress(old_address)->addresses[0].ToString();
  slipway_remote* remote = initiator_.Import(initiator_.Connect(old_address), old_registration);
  ASSERT_EQ(initiator_.Write(remote, 0, local_.data(), 10), SLIPWAY_OK);
  first.reset();
  PeerProcess second("{\"listen\": [\"" + where + "\"]}", kMemory);
  slipway_peer* stale = initiator_.StartConnect(old_address);
  Failure err;
  EXPECT_EQ(initiator_.WaitReady(stale, &err), SLIPWAY_E_STALE_REMOTE) << err.message;
  slipway_peer* fresh = initiator_.Connect(second.address);
  slipway_remote* out = nullptr;
  EXPECT_EQ(Table().import_mr(fresh, old_registration.data(), old_registration.size(), &out, nullptr),
            SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(initiator_.Write(initiator_.Import(fresh, second.registration), 0, local_.data(), 10), SLIPWAY_OK);
}

TEST_F(TcpFailure, NobodyListensThere) {
  std::string address;
  {
    RawTarget gone;
    address = gone.Address();
  }
  slipway_peer* peer = initiator_.StartConnect(address);
  Failure err;
  EXPECT_EQ(initiator_.WaitReady(peer, &err), SLIPWAY_E_PEER);
  EXPECT_NE(std::string(err.message).find("127.0.0.1"), std::string::npos) << err.message;
}

TEST_F(TcpFailure, EveryAddressIsTriedUntilOneAnswers) {
  Node target;
  InstanceAddress a = *DecodeAddress(target.Address());
  RawTarget other;
  const SocketAddress good = a.addresses[0];
  // Nobody there; somebody else; the right one.
  SocketAddress nobody = good;
  nobody.bytes = {127, 0, 0, 2};
  a.addresses = {nobody, good};
  EXPECT_EQ(initiator_.WaitReady(initiator_.StartConnect(EncodeAddress(a))), SLIPWAY_OK);
}

TEST_F(TcpFailure, SlicesOfAPeerThatCannotBeReachedComplete) {
  std::string address;
  slipway_remote* remote = nullptr;
  RawTarget mute;
  slipway_peer* peer = initiator_.StartConnect(mute.Address());
  remote = initiator_.Import(peer, mute.Registration(kMemory));
  const uint32_t n = SubmitMany(remote, SLIPWAY_OP_WRITE, 5, 100);
  ASSERT_EQ(n, 5u);
  RawConnection wire = mute.Accept();
  wire.Close();
  for (const auto& c : initiator_.Collect(n)) EXPECT_EQ(c.status, SLIPWAY_E_PEER);
}

TEST_F(TcpFailure, AForkedChildIsToldSo) {
  Bytes memory(1000);
  Node target;
  slipway_peer* peer = initiator_.Connect(target);
  slipway_remote* remote = initiator_.Import(peer, target.Export(target.Register(memory.data(), memory.size())));
  const pid_t child = fork();
  if (child == 0) {
    slipway_completion c{};
    uint32_t n = 0;
    const slipway_slice slice = Node::Slice(SLIPWAY_OP_WRITE, 1, local_.data(), 10, remote, 0);
    bool good = Table().submit(initiator_.channel, &slice, sizeof(slice), 1, &n, nullptr) == SLIPWAY_E_FORKED;
    good = good && Table().poll(initiator_.channel, &c, sizeof(c), 1, &n) == SLIPWAY_E_FORKED;
    good = good && Table().peer_ready(peer, nullptr) == SLIPWAY_E_FORKED;
    good = good && Table().disconnect(peer) == SLIPWAY_E_FORKED;
    Table().destroy(initiator_.instance);
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(initiator_.Write(remote, 0, local_.data(), 1000), SLIPWAY_OK);
  EXPECT_EQ(memory, Bytes(1000, 0x77));
}

TEST_F(TcpFailure, AChildThatLivesOnDoesNotKeepConnectionsOpen) {
  RawTarget target;
  slipway_peer* peer = initiator_.StartConnect(target.Address());
  RawConnection wire = target.Accept();
  ASSERT_TRUE(target.Greet(wire));
  int hold[2];
  ASSERT_EQ(pipe(hold), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    char c;
    _exit(static_cast<int>(read(hold[0], &c, 1)));
  }
  EXPECT_EQ(Table().disconnect(peer), SLIPWAY_OK);
  EXPECT_TRUE(wire.WaitClosed());
  close(hold[0]);
  close(hold[1]);
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace slipway::tcp
