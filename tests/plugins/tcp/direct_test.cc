// Answers that are received by who polls: the descriptor that tells of them, and how the io thread takes over.
#include <sys/ioctl.h>

#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

constexpr uint64_t kLong = 1 << 20;

// An initiator with one connection to a target that the test plays.
class TcpDirect : public testing::Test {
 protected:
  TcpDirect() : peer_(initiator_.StartConnect(target_.Address())), wire_(target_.Accept()) {
    EXPECT_TRUE(target_.Greet(wire_));
    EXPECT_EQ(initiator_.WaitReady(peer_), SLIPWAY_OK);
    remote_ = initiator_.Import(peer_, target_.Registration(kLong));
  }
  void Read(uint64_t token) {
    ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_READ, token, back_.data(), 10, remote_, 0)), SLIPWAY_OK);
  }
  void Answer(uint8_t with) {
    const std::optional<Frame> request = wire_.Receive();
    ASSERT_TRUE(request);
    Frame f;
    f.op = Op::kReadData;
    f.id = request->id;
    f.length = 10;
    const Bytes body(10, with);
    ASSERT_TRUE(wire_.Send(f));
    ASSERT_TRUE(wire_.SendBytes(body.data(), body.size()));
  }
  bool Readable(int timeout_ms) const {
    pollfd ready{initiator_.event_fd, POLLIN, 0};
    return poll(&ready, 1, timeout_ms) == 1;
  }
  // Though nobody polls.
  bool BecomesUnreadable() const {
    const auto deadline = std::chrono::steady_clock::now() + milliseconds(10000);
    while (Readable(0)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }

  RawTarget target_;
  Node initiator_{R"({"lanes": 1, "peer_timeout_ms": 2000})"};
  slipway_peer* peer_;
  RawConnection wire_;
  slipway_remote* remote_ = nullptr;
  Bytes back_ = Bytes(kLong);
};

TEST_F(TcpDirect, TheDescriptorIsReadableWhileThereIsSomethingToPoll) {
  for (uint8_t i = 0; i < 100; ++i) {
    EXPECT_FALSE(Readable(0));
    Read(i);
    Answer(i);
    ASSERT_TRUE(Readable(10000));
    ASSERT_EQ(initiator_.Collect(1).at(0).token, i);
    EXPECT_EQ(Bytes(back_.begin(), back_.begin() + 10), Bytes(10, i));
  }
}

TEST_F(TcpDirect, WhatIsLeftOfCompletionsKeepsItReadable) {
  for (uint64_t i = 0; i < 3; ++i) Read(i);
  for (uint64_t i = 0; i < 3; ++i) Answer(1);
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(Readable(10000)) << i;
    slipway_completion c;
    uint32_t n = 0;
    while (n == 0) ASSERT_EQ(Table().poll(initiator_.channel, &c, sizeof(c), 1, &n), SLIPWAY_OK);
    EXPECT_EQ(c.token, i);
  }
  slipway_completion c;
  uint32_t n = 0;
  ASSERT_EQ(Table().poll(initiator_.channel, &c, sizeof(c), 1, &n), SLIPWAY_OK);
  EXPECT_EQ(n, 0u);
  EXPECT_FALSE(Readable(0));
}

// What the window held back leaves with the poll that finds an answer, not with the io thread's next round.
TEST_F(TcpDirect, WhoPollsSendsWhatAnAnswerMakesRoomFor) {
  constexpr int kWindow = 64;  // as it was greeted
  for (uint64_t i = 0; i < 8; ++i) {
    Read(i);
    Answer(1);
    initiator_.Collect(1);
  }
  for (uint64_t i = 0; i < kWindow + 1; ++i) Read(i);
  Answer(1);
  initiator_.Collect(1);
  // At once, but for a system that is busy; the io thread's round comes a quarter of a second later.
  int waiting = 0;
  const auto until = std::chrono::steady_clock::now() + milliseconds(50);
  do {
    ASSERT_EQ(ioctl(wire_.fd(), FIONREAD, &waiting), 0);
  } while (waiting < kWindow * static_cast<int>(kHeaderBytes) && std::chrono::steady_clock::now() < until);
  EXPECT_EQ(waiting, kWindow * static_cast<int>(kHeaderBytes));
}

TEST_F(TcpDirect, AnAnswerThatNobodyWaitsForIsTheIoThreads) {
  Read(1);
  ASSERT_EQ(Table().cancel(initiator_.channel, 1), SLIPWAY_OK);
  EXPECT_EQ(initiator_.Collect(1).at(0).status, SLIPWAY_E_CANCELED);
  Answer(7);
  EXPECT_TRUE(BecomesUnreadable());
  // And its bytes are dropped, in their turn.
  Read(2);
  Answer(9);
  EXPECT_EQ(initiator_.Collect(1).at(0).token, 2u);
  EXPECT_EQ(back_[0], 9);
}

TEST_F(TcpDirect, APeerThatSpeaksUnaskedFailsThoughNobodyPolls) {
  Read(1);
  Answer(1);
  initiator_.Collect(1);
  Frame unasked;
  unasked.op = Op::kWriteAck;
  unasked.id = 77;
  ASSERT_TRUE(wire_.Send(unasked));
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(10000);
  while (Table().peer_ready(peer_, nullptr) == SLIPWAY_OK && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(Table().peer_ready(peer_, nullptr), SLIPWAY_E_PROTOCOL);
  EXPECT_TRUE(BecomesUnreadable());
}

TEST_F(TcpDirect, APeerThatAnsweredIsNotGivenUpBecauseNobodyPolled) {
  Read(1);
  Answer(1);
  ASSERT_TRUE(Readable(10000));
  initiator_.host.Advance(milliseconds(1900));     // of 2000
  std::this_thread::sleep_for(milliseconds(600));  // two ticks
  EXPECT_EQ(initiator_.Collect(1).at(0).status, SLIPWAY_OK);
  EXPECT_EQ(Table().peer_ready(peer_, nullptr), SLIPWAY_OK);
}

TEST_F(TcpDirect, APeerThatEndsWhileSomebodyPollsFailsWhatIsOutstanding) {
  Read(1);
  ASSERT_TRUE(wire_.Receive());
  wire_.Close();
  EXPECT_EQ(initiator_.Collect(1).at(0).status, SLIPWAY_E_PEER);
}

TEST_F(TcpDirect, AnAnswerThatMakesNoSenseIsTheEndWhoeverReceivesIt) {
  Read(1);
  ASSERT_TRUE(wire_.Receive());
  Frame wrong;
  wrong.op = Op::kWriteAck;  // a READ was asked
  wrong.id = 0;
  ASSERT_TRUE(wire_.Send(wrong));
  EXPECT_EQ(initiator_.Collect(1).at(0).status, SLIPWAY_E_PROTOCOL);
  EXPECT_EQ(initiator_.Count("protocol_errors"), 1u);
}

TEST(TcpDirectTurns, ShortAndLongRequestsArriveWhoeverReceivesThem) {
  Node target, initiator;
  Bytes memory = Pattern(2 * kLong, 5), back(2 * kLong);
  slipway_remote* remote =
      initiator.Import(initiator.Connect(target), target.Export(target.Register(memory.data(), memory.size())));
  for (uint64_t round = 0; round < 300; ++round) {
    // Several short ones in a row have the io thread leave the connection to pollers; a long one takes it back.
    const uint64_t at = round * 97;
    const uint64_t lengths[] = {10, 4096, 64, round % 3 == 0 ? kLong : 3000, 20000, 1};
    std::fill(back.begin(), back.end(), 0);
    uint64_t token = 0, place = at;
    for (const uint64_t length : lengths) {
      ASSERT_EQ(initiator.Submit(Node::Slice(SLIPWAY_OP_READ, token++, back.data() + place, length, remote, place)),
                SLIPWAY_OK);
      if (round % 2 == 0) initiator.Collect(1);
      place += length;
    }
    if (round % 2 != 0) initiator.Collect(std::size(lengths));
    ASSERT_TRUE(std::equal(memory.begin() + static_cast<ptrdiff_t>(at), memory.begin() + static_cast<ptrdiff_t>(place),
                           back.begin() + static_cast<ptrdiff_t>(at)))
        << round;
    ASSERT_EQ(initiator.Read(remote, 0, back.data(), 2 * kLong), SLIPWAY_OK);
    ASSERT_EQ(back, memory) << round;
  }
}

}  // namespace
}  // namespace slipway::tcp
