// Bodies that are sent without a copy: only to whom they may be, the right bytes whatever happens to the pages
// meanwhile, and never after a failure.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/tcp/splice.h"
#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

constexpr uint64_t kBody = 256 << 10;  // beyond the default of splice_bytes

// A connection over loopback, both ends here.
struct Connection {
  explicit Connection(int receive_buffer = 0) {
    Socket listener;
    SocketAddress any, bound;
    any.bytes = {127, 0, 0, 1};
    sdk::Error none(nullptr);
    EXPECT_EQ(Listen(any, "", Config(), &listener, &bound, none), SLIPWAY_OK);
    if (receive_buffer != 0) {
      setsockopt(listener.fd(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_storage to;
    const socklen_t len = ToSockaddr(bound, &to);
    near = Socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(near.fd(), reinterpret_cast<sockaddr*>(&to), len), 0);
    fcntl(near.fd(), F_SETFL, O_NONBLOCK);
    far = Socket(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  Socket near, far;
};

TEST(TcpSplice, APeerOfThisUserIsKnownAsSuchFromBothEnds) {
  Connection c;
  EXPECT_TRUE(PeerIsSameUser(c.near.fd()));
  EXPECT_TRUE(PeerIsSameUser(c.far.fd()));
}

TEST(TcpSplice, APeerOfAnotherUserIsNotLentTo) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  Socket listener;
  SocketAddress any, bound;
  any.bytes = {127, 0, 0, 1};
  sdk::Error none(nullptr);
  ASSERT_EQ(Listen(any, "", Config(), &listener, &bound, none), SLIPWAY_OK);
  int hold[2];
  ASSERT_EQ(pipe(hold), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    sockaddr_storage to;
    const socklen_t len = ToSockaddr(bound, &to);
    char end;
    if (setuid(12345) != 0) _exit(1);
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, reinterpret_cast<sockaddr*>(&to), len) != 0) _exit(2);
    _exit(read(hold[0], &end, 1) == 0 ? 0 : 3);
  }
  close(hold[0]);
  pollfd p{listener.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&p, 1, 10000), 1);
  const Socket accepted(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted.open());
  EXPECT_FALSE(PeerIsSameUser(accepted.fd()));
  close(hold[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(TcpSplice, AFullSocketKeepsTheRestForLater) {
  Connection c(32 << 10);
  SplicePipe pipe;
  ASSERT_TRUE(pipe.Open());
  Bytes body = Pattern(16 << 20, 5);
  Bytes back(body.size());
  uint64_t sent = 0, got = 0;
  bool was_full = false;
  while (got < body.size()) {
    iovec part{body.data() + sent, body.size() - sent};
    if (sent < body.size()) {
      const SplicePipe::Sent now = pipe.Send(c.near.fd(), &part, 1);
      ASSERT_TRUE(now.error == 0 || now.error == EAGAIN) << now.error;
      EXPECT_FALSE(now.refused);
      sent += now.bytes;
      was_full = was_full || now.error == EAGAIN;
    } else {
      int error = 0;
      pipe.Flush(c.near.fd(), &error);
    }
    const ssize_t n = recv(c.far.fd(), back.data() + got, back.size() - got, 0);
    ASSERT_GT(n, 0);
    got += static_cast<uint64_t>(n);
  }
  EXPECT_TRUE(was_full);
  EXPECT_EQ(pipe.held(), 0u);
  EXPECT_EQ(back, body);
}

TEST(TcpSplice, MemoryThatCannotBeLentIsRefusedAndNothingIsSent) {
  Connection c;
  SplicePipe pipe;
  ASSERT_TRUE(pipe.Open());
  void* nothing = mmap(nullptr, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(nothing, MAP_FAILED);
  iovec part{nothing, 65536};
  const SplicePipe::Sent sent = pipe.Send(c.near.fd(), &part, 1);
  EXPECT_EQ(sent.bytes, 0u);
  EXPECT_EQ(sent.error, 0);
  EXPECT_TRUE(sent.refused);
  EXPECT_EQ(pipe.held(), 0u);
  munmap(nothing, 65536);
}

TEST(TcpSplice, AnAbortBreaksTheOtherEndAtOnceAlsoBehindUnreadBytes) {
  Connection c;
  const Bytes unread(1000, 1);
  ASSERT_EQ(send(c.near.fd(), unread.data(), unread.size(), 0), 1000);
  EXPECT_FALSE(ConnectionBroken(c.far.fd()));
  c.near.Abort();
  EXPECT_TRUE(ConnectionBroken(c.far.fd()));
}

class Lending : public testing::Test {
 protected:
  Lending() : memory_(Pattern(64 * kBody, 9)) {
    mr_ = target_.Register(memory_.data(), memory_.size());
    registration_ = *DecodeRegistration(target_.Export(mr_));
  }
  RawConnection Greeted(uint64_t window) {
    RawConnection c = RawConnection::To(target_.Address());
    EXPECT_TRUE(c.Greet(registration_.instance, window));
    return c;
  }
  bool ReadBody(RawConnection& c, uint64_t id, bool* lent) {
    const auto answer = c.Receive();
    if (!answer || answer->op != Op::kReadData || answer->status != SLIPWAY_OK || answer->id != id) return false;
    *lent = answer->offset == kLent;
    Bytes body(answer->length);
    return c.ReceiveBytes(body.data(), body.size()) &&
           std::equal(body.begin(), body.end(), memory_.begin() + static_cast<long>(id * kBody));
  }
  static Frame Done(uint64_t id) {
    Frame f;
    f.op = Op::kReadDone;
    f.id = id;
    return f;
  }

  Bytes memory_;
  Node target_{R"({"peer_timeout_ms": 60000, "connect_timeout_ms": 100})"};  // ticks follow the shortest limit
  slipway_mr* mr_ = nullptr;
  RemoteRegistration registration_;
};

TEST_F(Lending, BothWaysBytesGoWithoutACopyAndArriveWhole) {
  Node initiator;
  slipway_peer* peer = initiator.Connect(target_);
  slipway_remote* remote = initiator.Import(peer, target_.Export(mr_));
  const Bytes source = Pattern(3 * kBody + 5, 11);
  Bytes back(source.size());
  ASSERT_EQ(initiator.Write(remote, 7, source.data() + 1, source.size() - 1), SLIPWAY_OK);
  ASSERT_EQ(initiator.Read(remote, 7, back.data() + 1, back.size() - 1), SLIPWAY_OK);
  EXPECT_TRUE(std::equal(source.begin() + 1, source.end(), back.begin() + 1));
  EXPECT_GE(initiator.Count("bytes_spliced"), source.size() - 1);
  EXPECT_TRUE(target_.WaitCount("bytes_spliced", source.size() - 1))
      << "counted once sent, so maybe after they arrived";
  EXPECT_EQ(Table().deregister_memory(target_.instance, mr_), SLIPWAY_OK);
  EXPECT_EQ(target_.Count("connections_killed_by_deregister"), 0u) << "READ_DONE gives the pages back";
}

// Some of these places are slow to copy to straight from lent pages, and are not.
TEST_F(Lending, WhatIsReadArrivesWholeHoweverItsPlaceLies) {
  Node initiator;
  slipway_remote* remote = initiator.Import(initiator.Connect(target_), target_.Export(mr_));
  constexpr size_t kRoom = 64;
  for (size_t at = 0; at < kRoom; at += 8) {
    Bytes back(kBody + 2 * kRoom, 0xee);
    ASSERT_EQ(initiator.Read(remote, kBody, back.data() + at, kBody), SLIPWAY_OK);
    EXPECT_TRUE(std::equal(memory_.begin() + kBody, memory_.begin() + 2 * kBody, back.begin() + static_cast<long>(at)));
    EXPECT_EQ(std::count(back.begin(), back.begin() + static_cast<long>(at), 0xee), static_cast<long>(at));
    EXPECT_EQ(std::count(back.begin() + static_cast<long>(at + kBody), back.end(), 0xee),
              static_cast<long>(2 * kRoom - at));
  }
  EXPECT_TRUE(target_.WaitCount("bytes_spliced", kRoom / 8 * kBody)) << "all of it lent";
}

TEST_F(Lending, NothingIsLentWhereTheConfigurationSaysSo) {
  Node target(R"({"splice_bytes": 0})"), initiator(R"({"splice_bytes": 0})");
  Bytes memory(kBody);
  slipway_remote* remote =
      initiator.Import(initiator.Connect(target), target.Export(target.Register(memory.data(), memory.size())));
  ASSERT_EQ(initiator.Write(remote, 0, memory_.data(), kBody), SLIPWAY_OK);
  ASSERT_EQ(initiator.Read(remote, 0, memory_.data(), kBody), SLIPWAY_OK);
  EXPECT_EQ(initiator.Count("bytes_spliced") + target.Count("bytes_spliced"), 0u);
}

TEST_F(Lending, AShortBodyIsCopied) {
  RawConnection c = Greeted(4);
  ASSERT_TRUE(c.Send(Request(Op::kRead, registration_, 0, 0, 4096)));
  const auto answer = c.Receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->offset, 0u);
}

TEST_F(Lending, WhoNeverGivesBackGetsCopiesBeyondItsWindowAndIsGivenUp) {
  constexpr uint64_t kWindow = 2;
  RawConnection c = Greeted(kWindow);
  uint64_t copied = 0;
  for (uint64_t id = 0; id < 16; ++id) {
    bool lent = false;
    ASSERT_TRUE(c.Send(Request(Op::kRead, registration_, id, id * kBody, kBody)));
    ASSERT_TRUE(ReadBody(c, id, &lent));
    copied += lent ? 0 : 1;
  }
  EXPECT_GT(copied, 0u);
  EXPECT_LT(copied, 16u);
  EXPECT_TRUE(target_.PassUntilCount("connections_stalled", 1, milliseconds(61000)));
  EXPECT_TRUE(c.WaitClosed());
}

TEST_F(Lending, DeregisteringTakesThePagesBackAndBreaksTheConnectionFirst) {
  Node target;  // patient
  slipway_mr* mr = target.Register(memory_.data(), memory_.size());
  registration_ = *DecodeRegistration(target.Export(mr));
  RawConnection c = RawConnection::To(target.Address());
  ASSERT_TRUE(c.Greet(registration_.instance));
  bool lent = false;
  ASSERT_TRUE(c.Send(Request(Op::kRead, registration_, 0, 0, kBody)));
  ASSERT_TRUE(ReadBody(c, 0, &lent));
  ASSERT_TRUE(lent);
  EXPECT_EQ(Table().deregister_memory(target.instance, mr), SLIPWAY_OK);
  EXPECT_EQ(target.Count("connections_killed_by_deregister"), 1u);
  EXPECT_TRUE(ConnectionBroken(c.fd()));
}

TEST_F(Lending, GivingBackWhatWasNotLentIsAFault) {
  RawConnection c = Greeted(4);
  ASSERT_TRUE(c.Send(Done(0)));
  EXPECT_TRUE(c.WaitClosed());
  EXPECT_TRUE(target_.WaitCount("protocol_errors", 1));
  RawConnection twice = Greeted(4);
  bool lent = false;
  ASSERT_TRUE(twice.Send(Request(Op::kRead, registration_, 0, 0, kBody)));
  ASSERT_TRUE(ReadBody(twice, 0, &lent));
  ASSERT_TRUE(twice.Send(Done(0)));
  ASSERT_TRUE(twice.Send(Done(0)));
  EXPECT_TRUE(twice.WaitClosed());
  EXPECT_TRUE(target_.WaitCount("protocol_errors", 2));
}

TEST_F(Lending, AReadWhoseLenderBreaksTheConnectionFailsThoughAllItsBytesCame) {
  RawTarget target;
  Node initiator(R"({"lanes": 1, "poll_receives": false})");  // so that it is the io thread that receives, and is held
  slipway_peer* peer = initiator.StartConnect(target.Address());
  RawConnection wire = target.Accept();
  ASSERT_TRUE(target.Greet(wire));
  ASSERT_EQ(initiator.WaitReady(peer), SLIPWAY_OK);
  slipway_remote* remote = initiator.Import(peer, target.Registration(kBody));
  Bytes back(kBody), small(10);
  ASSERT_EQ(initiator.Submit(Node::Slice(SLIPWAY_OP_READ, 1, small.data(), small.size(), remote, 0)), SLIPWAY_OK);
  ASSERT_EQ(initiator.Submit(Node::Slice(SLIPWAY_OP_READ, 2, back.data(), back.size(), remote, 0)), SLIPWAY_OK);
  const auto first = wire.Receive(), second = wire.Receive();
  ASSERT_TRUE(first && second);

  // The io thread is kept busy with the first answer while the second comes whole, and then the reset.
  initiator.host.Hold(true);
  const uint64_t seen = initiator.host.wakes();
  Frame answer;
  answer.op = Op::kReadData;
  answer.id = first->id;
  answer.length = small.size();
  ASSERT_TRUE(wire.Send(answer));
  const Bytes tiny(10, 3);
  ASSERT_TRUE(wire.SendBytes(tiny.data(), tiny.size()));
  ASSERT_TRUE(initiator.host.WaitWake(seen, milliseconds(10000)));
  answer.id = second->id;
  answer.length = kBody;
  answer.offset = kLent;
  ASSERT_TRUE(wire.Send(answer));
  ASSERT_TRUE(wire.SendBytes(memory_.data(), kBody));
  wire.Abort();
  initiator.host.Hold(false);
  for (const slipway_completion& c : initiator.Collect(2)) {
    EXPECT_EQ(c.status, c.token == 1 ? SLIPWAY_OK : SLIPWAY_E_PEER) << c.token;
  }
}

// A target that was stopped for longer than its peer waited finds the connection reset, and writes nothing late.
TEST_F(Lending, WhatLiesInTheSocketIsNotAppliedAfterAReset) {
  Bytes memory(2 * kBody, 0xee);
  // So that it is the io thread that completes, and is held.
  Node target(R"({"inline_send_bytes": 0, "poll_receives": false})");
  slipway_mr* mr = target.Register(memory.data(), memory.size());
  const RemoteRegistration to = *DecodeRegistration(target.Export(mr));
  RawConnection c = RawConnection::To(target.Address());
  ASSERT_TRUE(c.Greet(to.instance));
  target.host.Hold(true);
  // The target as an initiator towards itself: its io thread stands in the wake-up call.
  slipway_peer* self = target.Connect(target);
  slipway_remote* own = target.Import(self, target.Export(mr));
  uint8_t byte = 0xee;
  const uint64_t seen = target.host.wakes();
  ASSERT_EQ(target.Submit(Node::Slice(SLIPWAY_OP_WRITE, 1, &byte, 1, own, 2 * kBody - 1)), SLIPWAY_OK);
  ASSERT_TRUE(target.host.WaitWake(seen, milliseconds(10000)));
  const Bytes late(kBody, 0x11);
  ASSERT_TRUE(c.Send(Request(Op::kWrite, to, 0, 0, kBody)));
  ASSERT_TRUE(c.SendBytes(late.data(), late.size()));
  c.Abort();
  target.host.Hold(false);
  ASSERT_TRUE(target.WaitCount("connections_closed", 1));
  EXPECT_TRUE(std::all_of(memory.begin(), memory.end(), [](uint8_t b) { return b == 0xee; }));
}

}  // namespace
}  // namespace slipway::tcp
