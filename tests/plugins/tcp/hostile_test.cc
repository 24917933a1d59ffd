// A stranger, or a broken peer, at either end of the wire.
#include <algorithm>

#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

constexpr size_t kMemory = 64 << 10;
// What a request in these tests names.
constexpr uint64_t kBegin = 16 << 10, kLength = 4096;

class HostileInitiator : public testing::Test {
 protected:
  explicit HostileInitiator(const std::string& config = "{\"max_slice_bytes\": 65536}") : target_(config) {
    memory_.assign(kMemory, 0xee);
    read_only_.assign(kMemory, 0xdd);
    registration_ = *DecodeRegistration(target_.Export(target_.Register(memory_.data(), kMemory)));
    read_only_registration_ =
        *DecodeRegistration(target_.Export(target_.Register(read_only_.data(), kMemory, SLIPWAY_ACCESS_REMOTE_READ)));
    address_ = target_.Address();
  }
  RawConnection Connect() { return RawConnection::To(address_); }
  RawConnection Greeted() {
    RawConnection c = Connect();
    EXPECT_TRUE(c.Greet(registration_.instance));
    return c;
  }
  bool Untouched() const {
    return std::all_of(memory_.begin(), memory_.end(), [](uint8_t b) { return b == 0xee; }) &&
           std::all_of(read_only_.begin(), read_only_.end(), [](uint8_t b) { return b == 0xdd; });
  }
  bool UntouchedOutsideRange() const {
    for (size_t i = 0; i < memory_.size(); ++i) {
      if ((i < kBegin || i >= kBegin + kLength) && memory_[i] != 0xee) return false;
    }
    return std::all_of(read_only_.begin(), read_only_.end(), [](uint8_t b) { return b == 0xdd; });
  }
  slipway_status Ask(RawConnection& c, const Frame& request) {
    EXPECT_TRUE(c.Send(request));
    if (request.op == Op::kWrite) {
      const Bytes body(request.length, 0x11);
      EXPECT_TRUE(c.SendBytes(body.data(), body.size()));
    }
    const auto answer = c.Receive();
    if (!answer) return SLIPWAY_E_PEER;
    if (answer->op == Op::kReadData && answer->status == SLIPWAY_OK) {
      Bytes body(answer->length);
      EXPECT_TRUE(c.ReceiveBytes(body.data(), body.size()));
    }
    EXPECT_EQ(answer->id, request.id);
    return answer->status;
  }
  // The target is still of use to an honest peer.
  void ExpectServes() {
    Bytes other(100), source = Pattern(100, 3);
    Node honest;
    slipway_peer* peer = honest.Connect(target_);
    slipway_mr* mr = target_.Register(other.data(), other.size());
    slipway_remote* remote = honest.Import(peer, target_.Export(mr));
    EXPECT_EQ(honest.Write(remote, 0, source.data(), source.size()), SLIPWAY_OK);
    EXPECT_EQ(other, source);
    EXPECT_EQ(Table().deregister_memory(target_.instance, mr), SLIPWAY_OK);
  }

  Bytes memory_, read_only_;
  Node target_;
  RemoteRegistration registration_, read_only_registration_;
  std::string address_;
};

TEST_F(HostileInitiator, RequestsBeyondWhatWasGrantedAreRefusedAndTheConnectionGoesOn) {
  RawConnection c = Greeted();
  RemoteRegistration wrong_key = registration_, wrong_id = registration_, other_key = registration_;
  wrong_key.key[15] ^= 1;
  wrong_id.id += uint64_t{1} << 32;
  other_key.key = read_only_registration_.key;
  for (const Op op : {Op::kWrite, Op::kRead}) {
    EXPECT_EQ(Ask(c, Request(op, wrong_key, 0, 0, 10)), SLIPWAY_E_STALE_REMOTE);
    EXPECT_EQ(Ask(c, Request(op, other_key, 1, 0, 10)), SLIPWAY_E_STALE_REMOTE);
    EXPECT_EQ(Ask(c, Request(op, wrong_id, 2, 0, 10)), SLIPWAY_E_STALE_REMOTE);
    EXPECT_EQ(Ask(c, Request(op, registration_, 3, kMemory - 9, 10)), SLIPWAY_E_ACCESS);
    EXPECT_EQ(Ask(c, Request(op, registration_, 4, kMemory, 1)), SLIPWAY_E_ACCESS);
    EXPECT_EQ(Ask(c, Request(op, registration_, 5, ~uint64_t{0} - 4, 10)), SLIPWAY_E_ACCESS);
  }
  EXPECT_EQ(Ask(c, Request(Op::kWrite, read_only_registration_, 6, 0, 10)), SLIPWAY_E_ACCESS);
  EXPECT_TRUE(Untouched());
  EXPECT_EQ(Ask(c, Request(Op::kRead, read_only_registration_, 7, 0, 10)), SLIPWAY_OK);
  EXPECT_EQ(Ask(c, Request(Op::kWrite, registration_, 8, kBegin, kLength)), SLIPWAY_OK);
  EXPECT_TRUE(UntouchedOutsideRange());
  EXPECT_EQ(target_.Count("refused_wrong_key"), 4u);
  EXPECT_EQ(target_.Count("refused_unknown_registration"), 2u);
  EXPECT_EQ(target_.Count("refused_range"), 6u);
  EXPECT_EQ(target_.Count("refused_access"), 1u);
  EXPECT_EQ(target_.host.LogCount("was refused"), 4u) << "once a kind";
}

TEST_F(HostileInitiator, WhatIsNoRequestClosesTheConnection) {
  const auto refused = [&](auto&& send, const char* what) {
    SCOPED_TRACE(what);
    RawConnection c = Greeted();
    send(c);
    EXPECT_TRUE(c.WaitClosed());
    EXPECT_TRUE(Untouched());
  };
  refused([&](RawConnection& c) { c.Send(Request(Op::kRead, registration_, 0, 0, 65537)); }, "longer than a slice");
  refused([&](RawConnection& c) { c.Send(Request(Op::kWrite, registration_, 0, 0, ~uint64_t{0})); }, "longest");
  refused([&](RawConnection& c) { c.Send(Request(Op::kWrite, registration_, 0, 0, 0)); }, "empty");
  refused([&](RawConnection& c) { c.Send(Request(static_cast<Op>(77), registration_, 0, 0, 1)); }, "operation");
  refused([&](RawConnection& c) { c.Send(Request(Op::kWriteAck, registration_, 0, 0, 1)); }, "an answer");
  refused([&](RawConnection& c) { c.Send(Request(Op::kHello, registration_, 0, 0, 1)); }, "HELLO again");
  refused([&](RawConnection& c) { c.SendBytes(Bytes(64, 0).data(), 64); }, "zeros");
  EXPECT_EQ(target_.Count("protocol_errors"), 7u);
  ExpectServes();
}

TEST_F(HostileInitiator, MoreRequestsThanTheWindowCloseTheConnection) {
  RawConnection c = Greeted();
  // Answers are not read, so they pile up: 300 bodies of 64 KiB fit no socket.
  for (uint64_t i = 0; i < 300; ++i) c.Send(Request(Op::kRead, registration_, i, 0, kMemory));
  EXPECT_TRUE(target_.WaitCount("protocol_errors", 1));
  ExpectServes();
}

TEST_F(HostileInitiator, AnotherInstancesIdIsStale) {
  RawConnection c = Connect();
  Frame hello;
  hello.op = Op::kHello;
  hello.id = uint64_t{1} | uint64_t{1} << 32;
  hello.offset = 1;
  ASSERT_TRUE(c.Send(hello));
  const auto answer = c.Receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->op, Op::kGoodbye);
  EXPECT_EQ(answer->status, SLIPWAY_E_STALE_REMOTE);
  EXPECT_TRUE(c.WaitClosed());
  EXPECT_EQ(target_.Count("refused_stale_instance"), 1u);
}

TEST_F(HostileInitiator, ARequestBeforeHelloIsRefused) {
  RawConnection c = Connect();
  c.Send(Request(Op::kRead, registration_, 0, 0, 10));
  EXPECT_TRUE(c.WaitClosed());
  EXPECT_EQ(target_.Count("target_reads"), 0u);
}

// Every frame that an initiator sends, one bit different each time.
TEST_F(HostileInitiator, BitFlipsChangeNothingOutsideTheRangeThatWasNamed) {
  std::mt19937 random(20240801);
  for (const Op op : {Op::kHello, Op::kWrite, Op::kRead, Op::kReadDone, Op::kPing, Op::kGoodbye}) {
    SCOPED_TRACE(static_cast<int>(op));
    for (int i = 0; i < 1000; ++i) {
      RawConnection c = op == Op::kHello ? Connect() : Greeted();
      Frame f = Request(op, registration_, 0, kBegin, kLength);
      if (op == Op::kHello) {
        f.key = registration_.instance;
        f.id = uint64_t{1} | uint64_t{1} << 32;
      }
      Bytes wire(kHeaderBytes + (op == Op::kWrite ? kLength : 0), 0x11);
      EncodeHeader(f, wire.data());
      const uint32_t bit = random() % (kHeaderBytes * 8);
      wire[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      c.SendBytes(wire.data(), wire.size());
      ASSERT_TRUE(c.WaitClosed()) << "bit " << bit;
    }
    ASSERT_TRUE(Untouched());
  }
  ExpectServes();
}

// The same with a check sum that fits, so that every field is really looked at.
TEST_F(HostileInitiator, FlippedFieldsWithAFittingCheckSumStayWithinTheRegistration) {
  std::mt19937 random(20240802);
  for (const Op op : {Op::kHello, Op::kWrite, Op::kRead, Op::kReadDone, Op::kPing, Op::kGoodbye}) {
    SCOPED_TRACE(static_cast<int>(op));
    for (int i = 0; i < 1000; ++i) {
      RawConnection c = op == Op::kHello ? Connect() : Greeted();
      Frame f = Request(op, registration_, 0, kBegin, kLength);
      if (op == Op::kHello) f.key = registration_.instance;
      const uint32_t bit = random() % 64;
      switch (random() % 6) {
        case 0:
          f.id ^= uint64_t{1} << bit;
          break;
        case 1:
          f.registration ^= uint64_t{1} << bit;
          break;
        case 2:
          f.key[bit % 16] ^= static_cast<uint8_t>(1u << (bit % 8));
          break;
        case 3:
          f.offset ^= uint64_t{1} << (14 + bit % 50);
          break;
        case 4:
          f.length ^= uint64_t{1} << (13 + bit % 51);
          break;
        default:
          f.status ^= static_cast<int32_t>(1u << (bit % 32));
      }
      Bytes wire(kHeaderBytes + (op == Op::kWrite ? kLength : 0), 0xee);
      EncodeHeader(f, wire.data());
      c.SendBytes(wire.data(), wire.size());
      shutdown(c.fd(), SHUT_WR);
      ASSERT_TRUE(c.WaitClosed());
    }
    ASSERT_TRUE(Untouched());
  }
  ExpectServes();
}

TEST_F(HostileInitiator, RandomBytesAreRefused) {
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    RawConnection c = i % 2 == 0 ? Connect() : Greeted();
    const Bytes noise = Pattern(1 + random() % 5000, random());
    c.SendBytes(noise.data(), noise.size());
    shutdown(c.fd(), SHUT_WR);
    ASSERT_TRUE(c.WaitClosed());
  }
  EXPECT_TRUE(Untouched());
  ExpectServes();
}

class SlowInitiator : public HostileInitiator {
 protected:
  // Limits longer than any test takes, so that time passes only where a test moves it on.
  SlowInitiator()
      : HostileInitiator(R"({"handshake_timeout_ms": 60000, "peer_timeout_ms": 60000, "connect_timeout_ms": 100,
                             "max_connections": 8})") {}
  // More than once: the target may look at its clock late.
  bool IsClosedInTime(RawConnection& c) {
    for (int i = 0; i < 1000; ++i) {
      target_.host.Advance(milliseconds(61000));
      if (c.WaitClosed(10)) return true;
    }
    return false;
  }
};

TEST_F(SlowInitiator, HelloMustComeInTime) {
  RawConnection silent = Connect(), dripping = Connect();
  const uint8_t byte = 0x53;
  dripping.SendBytes(&byte, 1);
  EXPECT_TRUE(IsClosedInTime(silent));
  EXPECT_TRUE(IsClosedInTime(dripping));
  EXPECT_EQ(target_.Count("handshakes_timed_out"), 2u);
}

TEST_F(SlowInitiator, ABodyThatStallsEndsTheConnection) {
  RawConnection c = Greeted();
  c.Send(Request(Op::kWrite, registration_, 0, kBegin, kLength));
  c.SendBytes(Bytes(100, 0x11).data(), 100);
  EXPECT_TRUE(target_.WaitCount("target_bytes_in", 100));
  EXPECT_TRUE(IsClosedInTime(c));
  EXPECT_EQ(target_.Count("connections_stalled"), 1u);
  EXPECT_TRUE(UntouchedOutsideRange());
}

TEST_F(SlowInitiator, AnAnswerThatIsNotTakenEndsTheConnection) {
  RawConnection c = Connect();
  ASSERT_TRUE(c.Greet(registration_.instance, 256));
  for (uint64_t i = 0; i < 200; ++i) c.Send(Request(Op::kRead, registration_, i, 0, kMemory));
  EXPECT_TRUE(target_.WaitCount("target_reads", 200));
  EXPECT_TRUE(target_.PassUntilCount("connections_stalled", 1, milliseconds(61000)));
}

TEST_F(SlowInitiator, AFloodOfConnectionsIsBounded) {
  std::vector<RawConnection> flood;
  for (int i = 0; i < 64; ++i) flood.push_back(Connect());
  EXPECT_TRUE(target_.WaitCount("connections_refused_full", 64 - 6));
  EXPECT_LE(target_.Count("connections_open"), 8u);
  // Those that never greet make room again.
  for (auto& c : flood) EXPECT_TRUE(IsClosedInTime(c));
  EXPECT_TRUE(target_.WaitNone("connections_open"));
  ExpectServes();
}

// ---- a broken target -----------------------------------------------------------------------------------------------

class HostileTarget : public testing::Test {
 protected:
  HostileTarget() : initiator_(R"({"lanes": 1, "peer_timeout_ms": 60000, "connect_timeout_ms": 100})") { Connect(); }

  void Connect() {
    peer_ = initiator_.StartConnect(target_.Address());
    wire_.emplace(target_.Accept());
  }
  void Greet() {
    ASSERT_TRUE(target_.Greet(*wire_));
    ASSERT_EQ(initiator_.WaitReady(peer_), SLIPWAY_OK);
    remote_ = initiator_.Import(peer_, target_.Registration(kMemory));
  }
  // What a slice comes to when the target answers its request with these bytes.
  slipway_status AnswerWith(uint32_t op, const Bytes& wire) {
    EXPECT_EQ(initiator_.Submit(Node::Slice(op, 9, local_.data() + kBegin, kLength, remote_, 0)), SLIPWAY_OK);
    const auto request = wire_->Receive();
    EXPECT_TRUE(request);
    if (op == SLIPWAY_OP_WRITE) {
      Bytes body(kLength);
      EXPECT_TRUE(wire_->ReceiveBytes(body.data(), body.size()));
    }
    wire_->SendBytes(wire.data(), wire.size());
    shutdown(wire_->fd(), SHUT_WR);
    const auto all = initiator_.Collect(1);
    return all.empty() ? SLIPWAY_OK : all[0].status;
  }
  void Again() {
    if (remote_ != nullptr) {
      EXPECT_EQ(Table().release_remote(remote_), SLIPWAY_OK);
    }
    EXPECT_EQ(Table().disconnect(peer_), SLIPWAY_OK);
    remote_ = nullptr;
    Connect();
  }
  bool UntouchedOutsideRange() const {
    for (size_t i = 0; i < local_.size(); ++i) {
      if ((i < kBegin || i >= kBegin + kLength) && local_[i] != 0xcc) return false;
    }
    return true;
  }

  RawTarget target_;
  Bytes local_ = Bytes(kMemory, 0xcc);
  Node initiator_;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
  std::optional<RawConnection> wire_;
};

TEST_F(HostileTarget, BitFlipsFailTheRequestAndTouchNothingElse) {
  std::mt19937 random(20240803);
  for (const Op op : {Op::kHelloAck, Op::kWriteAck, Op::kReadData, Op::kPong, Op::kGoodbye}) {
    SCOPED_TRACE(static_cast<int>(op));
    for (int i = 0; i < 1000; ++i) {
      Frame f = op == Op::kHelloAck ? target_.HelloAck() : Frame{};
      f.op = op;
      if (op == Op::kReadData) f.length = kLength;
      Bytes wire(kHeaderBytes + f.body_bytes(), 0x11);
      EncodeHeader(f, wire.data());
      const uint32_t bit = random() % (kHeaderBytes * 8);
      wire[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      if (op == Op::kHelloAck) {
        ASSERT_TRUE(wire_->Receive());
        wire_->SendBytes(wire.data(), wire.size());
        ASSERT_LT(initiator_.WaitReady(peer_), 0);
      } else {
        Greet();
        ASSERT_LT(AnswerWith(op == Op::kReadData ? SLIPWAY_OP_READ : SLIPWAY_OP_WRITE, wire), 0) << "bit " << bit;
      }
      Again();
    }
    ASSERT_TRUE(UntouchedOutsideRange());
  }
}

TEST_F(HostileTarget, AnswersThatDoNotFitAreProtocolErrors) {
  const auto answer = [&](uint32_t op, Frame f, const char* what) {
    SCOPED_TRACE(what);
    Greet();
    Bytes wire(kHeaderBytes + std::min<uint64_t>(f.body_bytes(), kMemory), 0x11);
    EncodeHeader(f, wire.data());
    EXPECT_EQ(AnswerWith(op, wire), SLIPWAY_E_PROTOCOL);
    EXPECT_TRUE(UntouchedOutsideRange());
    Failure err;
    EXPECT_EQ(Table().peer_ready(peer_, &err), SLIPWAY_E_PROTOCOL);
    EXPECT_STRNE(err.message, "");
    Again();
  };
  Frame f;
  f.op = Op::kReadData;
  f.length = kLength + 1;
  answer(SLIPWAY_OP_READ, f, "longer than asked");
  f.length = kLength - 1;
  answer(SLIPWAY_OP_READ, f, "shorter than asked");
  f.length = kLength;
  f.id = 1;
  answer(SLIPWAY_OP_READ, f, "another request");
  f.id = 0;
  answer(SLIPWAY_OP_WRITE, f, "data for a write");
  f.op = Op::kWriteAck;
  answer(SLIPWAY_OP_READ, f, "an acknowledgement for a read");
  f.op = Op::kPong;
  answer(SLIPWAY_OP_READ, f, "a pong that nobody asked for");
  f.op = Op::kWrite;
  answer(SLIPWAY_OP_READ, f, "a request");
}

TEST_F(HostileTarget, StatusesThatWouldCondemnTheInstanceBecomeAPeersFailure) {
  for (const int32_t status : {SLIPWAY_E_FORKED, SLIPWAY_E_DEVICE, SLIPWAY_E_AGAIN, SLIPWAY_E_CONFIG}) {
    Greet();
    Frame f;
    f.op = Op::kWriteAck;
    f.status = status;
    Bytes wire(kHeaderBytes);
    EncodeHeader(f, wire.data());
    EXPECT_EQ(AnswerWith(SLIPWAY_OP_WRITE, wire), SLIPWAY_E_PEER);
    Again();
  }
}

TEST_F(HostileTarget, AnAnswerBeforeTheWholeRequestWasTakenIsNotBelieved) {
  Greet();
  // More than the sockets hold, so that it is partly sent when the answer comes.
  Bytes large(32 << 20, 0x22);
  slipway_remote* remote = initiator_.Import(peer_, target_.Registration(large.size()));
  ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_WRITE, 1, large.data(), large.size(), remote, 0)), SLIPWAY_OK);
  const auto request = wire_->Receive();
  ASSERT_TRUE(request);
  Frame ack;
  ack.op = Op::kWriteAck;
  ack.id = request->id;
  ASSERT_TRUE(wire_->Send(ack));
  const auto all = initiator_.Collect(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_LT(all[0].status, 0);
  EXPECT_EQ(Table().release_remote(remote), SLIPWAY_OK);
}

TEST_F(HostileTarget, ASilentGreeterIsGivenUp) {
  // It accepted, and never says anything.
  Node hasty("{\"handshake_timeout_ms\": 100}");
  slipway_peer* peer = hasty.StartConnect(target_.Address());
  Failure err;
  EXPECT_EQ(hasty.WaitReady(peer, &err), SLIPWAY_E_PEER);
  EXPECT_NE(std::string(err.message).find("HELLO"), std::string::npos) << err.message;
}

TEST_F(HostileTarget, OneThatPongsButNeverAnswersIsGivenUp) {
  Greet();
  ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_READ, 1, local_.data(), 100, remote_, 0)), SLIPWAY_OK);
  ASSERT_TRUE(wire_->Receive());
  ASSERT_TRUE(initiator_.PassUntilCount("pings_sent", 1, milliseconds(16000)));
  const auto ping = wire_->Receive();
  ASSERT_TRUE(ping);
  EXPECT_EQ(ping->op, Op::kPing);
  Frame pong;
  pong.op = Op::kPong;
  ASSERT_TRUE(wire_->Send(pong));
  const auto all = initiator_.Collect(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].status, SLIPWAY_E_PROTOCOL);
}

}  // namespace
}  // namespace slipway::tcp
