// Frames that carry several writes: what shares one, and that each of them still completes for itself.
#include <set>

#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

constexpr size_t kMemory = 8 << 20;

class TcpFrames : public testing::Test {
 protected:
  Bytes memory_ = Bytes(kMemory), local_ = Pattern(kMemory, 1);
  Node initiator_{R"({"peer_timeout_ms": 60000})"};
};

TEST_F(TcpFrames, WritesThatFollowOneAnotherShareAFrameAndItsAnswer) {
  RawTarget target;
  slipway_peer* peer = initiator_.StartConnect(target.Address());
  RawConnection wire = target.Accept();
  ASSERT_TRUE(target.Greet(wire));
  ASSERT_EQ(initiator_.WaitReady(peer), SLIPWAY_OK);
  slipway_remote* remote = initiator_.Import(peer, target.Registration(kMemory));
  // Seven that are adjacent there and not here, one elsewhere, and one that would be adjacent to the first ones.
  std::vector<slipway_slice> slices;
  Bytes expected;
  for (uint64_t i = 0; i < 7; ++i) {
    slices.push_back(Node::Slice(SLIPWAY_OP_WRITE, i, local_.data() + i * 5000, 100, remote, 1000 + i * 100));
    expected.insert(expected.end(), local_.begin() + static_cast<ptrdiff_t>(i * 5000),
                    local_.begin() + static_cast<ptrdiff_t>(i * 5000 + 100));
  }
  slices.push_back(Node::Slice(SLIPWAY_OP_WRITE, 7, local_.data(), 100, remote, 50000));
  slices.push_back(Node::Slice(SLIPWAY_OP_WRITE, 8, local_.data(), 100, remote, 1700));
  uint32_t accepted = 0;
  ASSERT_EQ(Table().submit(initiator_.channel, slices.data(), sizeof(slices[0]), 9, &accepted, nullptr), SLIPWAY_OK);
  ASSERT_EQ(accepted, 9u);
  const uint64_t ids[] = {0, 7, 8}, lengths[] = {700, 100, 100}, offsets[] = {1000, 50000, 1700};
  const size_t completions[] = {7, 1, 1};
  for (size_t i = 0; i < 3; ++i) {
    const auto request = wire.Receive();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->id, ids[i]);
    EXPECT_EQ(request->length, lengths[i]);
    EXPECT_EQ(request->offset, offsets[i]);
    Bytes body(request->length);
    ASSERT_TRUE(wire.ReceiveBytes(body.data(), body.size()));
    EXPECT_TRUE(i != 0 || body == expected);
    Frame ack;
    ack.op = Op::kWriteAck;
    ack.id = request->id;
    ack.status = i == 0 ? SLIPWAY_E_ACCESS : SLIPWAY_OK;
    ASSERT_TRUE(wire.Send(ack));
    for (const auto& c : initiator_.Collect(completions[i])) {
      EXPECT_EQ(c.status, i == 0 ? SLIPWAY_E_ACCESS : SLIPWAY_OK);
      EXPECT_EQ(c.bytes, i == 0 ? 0u : 100u);
    }
  }
}

TEST_F(TcpFrames, WhateverSharesAFrameArrivesAndCompletesOnceAlsoBesideCancels) {
  Node target, initiator(R"({"lanes": 1, "max_inflight": 64, "max_requests_per_connection": 24})");
  slipway_remote* remote =
      initiator.Import(initiator.Connect(target), target.Export(target.Register(memory_.data(), kMemory)));
  std::mt19937_64 random(7);
  for (uint64_t round = 0; round < 60; ++round) {
    std::fill(memory_.begin(), memory_.end(), 0);
    std::vector<slipway_slice> slices;
    uint64_t at = 0;
    for (uint64_t token = 0; token < 64; ++token) {
      if (random() % 6 == 0) at += 1 + random() % 3000;
      const uint64_t length = random() % 12 == 0 ? 1 + random() % 100000 : 1 + random() % 6000;
      slices.push_back(Node::Slice(SLIPWAY_OP_WRITE, token, local_.data() + at, length, remote, at));
      at += length;
    }
    uint32_t accepted = 0;
    ASSERT_EQ(Table().submit(initiator.channel, slices.data(), sizeof(slices[0]), 64, &accepted, nullptr), SLIPWAY_OK);
    ASSERT_EQ(accepted, 64u);
    for (uint64_t i = 0; round % 2 == 1 && i < 8; ++i)
      ASSERT_EQ(Table().cancel(initiator.channel, random() % 64), SLIPWAY_OK);
    std::set<uint64_t> seen;
    for (const slipway_completion& c : initiator.Collect(64)) {
      ASSERT_TRUE(seen.insert(c.token).second) << c.token;
      ASSERT_TRUE(c.status == SLIPWAY_OK || (round % 2 == 1 && c.status == SLIPWAY_E_CANCELED)) << c.status;
      const slipway_slice& s = slices[c.token];
      ASSERT_EQ(c.bytes, c.status == SLIPWAY_OK ? s.length : 0);
      ASSERT_TRUE(c.status != SLIPWAY_OK || std::memcmp(memory_.data() + s.remote_offset, s.local_addr, s.length) == 0);
    }
    // Nothing came between them.
    for (size_t i = 0; i + 1 < slices.size(); ++i) {
      for (uint64_t k = slices[i].remote_offset + slices[i].length; k < slices[i + 1].remote_offset; ++k)
        ASSERT_EQ(memory_[k], 0);
    }
  }
}

TEST_F(TcpFrames, WhatWaitsForAFullSocketIsCanceledAtOnceUnlessItsFrameHasBegun) {
  RawTarget target;
  Node initiator(R"({"lanes": 1, "max_inflight": 1024, "peer_timeout_ms": 60000})");
  slipway_peer* peer = initiator.StartConnect(target.Address());
  RawConnection wire = target.Accept();
  ASSERT_TRUE(target.Greet(wire, 1024));
  ASSERT_EQ(initiator.WaitReady(peer), SLIPWAY_OK);
  slipway_remote* remote = initiator.Import(peer, target.Registration(kMemory));
  // Beyond what both sockets hold, in frames of 1 MiB.
  constexpr uint64_t kEach = 20000, kAll = 1000;
  for (uint64_t i = 0; i < kAll; ++i) {
    ASSERT_EQ(initiator.Submit(Node::Slice(SLIPWAY_OP_WRITE, i, local_.data(), kEach, remote, i % 400 * kEach)),
              SLIPWAY_OK);
  }
  ASSERT_EQ(Table().cancel(initiator.channel, kAll - 1), SLIPWAY_OK);
  const auto canceled = initiator.Collect(1);
  ASSERT_EQ(canceled.size(), 1u);
  EXPECT_EQ(canceled[0].token, kAll - 1);
  EXPECT_EQ(canceled[0].status, SLIPWAY_E_CANCELED);
  // All others arrive, frame by frame.
  uint64_t next = 0;
  while (next < kAll - 1) {
    const auto request = wire.Receive();
    ASSERT_TRUE(request);
    ASSERT_EQ(request->id, next);
    ASSERT_EQ(request->length % kEach, 0u);
    Bytes body(request->length);
    ASSERT_TRUE(wire.ReceiveBytes(body.data(), body.size()));
    for (uint64_t k = 0; k < request->length; k += kEach)
      ASSERT_EQ(std::memcmp(body.data() + k, local_.data(), kEach), 0);
    Frame ack;
    ack.op = Op::kWriteAck;
    ack.id = next;
    ASSERT_TRUE(wire.Send(ack));
    next += request->length / kEach;
    for (const auto& c : initiator.Collect(request->length / kEach)) ASSERT_EQ(c.status, SLIPWAY_OK);
  }
}

TEST_F(TcpFrames, ThePeersWindowBoundsFramesHoweverManyWritesShareThem) {
  RawTarget target;
  // The io thread receives, since nobody polls before all of it has arrived.
  Node initiator(R"({"lanes": 1, "max_inflight": 1024, "peer_timeout_ms": 60000, "poll_receives": false})");
  slipway_peer* peer = initiator.StartConnect(target.Address());
  RawConnection wire = target.Accept();
  constexpr uint64_t kWindow = 2;
  ASSERT_TRUE(target.Greet(wire, kWindow));
  ASSERT_EQ(initiator.WaitReady(peer), SLIPWAY_OK);
  slipway_remote* remote = initiator.Import(peer, target.Registration(kMemory));
  // Four frames' worth, in many more writes than the window has places.
  constexpr uint64_t kEach = 4096, kAll = 512, kSubmit = 64;
  for (uint64_t first = 0; first < kAll; first += kSubmit) {
    std::vector<slipway_slice> slices;
    for (uint64_t i = first; i < first + kSubmit; ++i)
      slices.push_back(Node::Slice(SLIPWAY_OP_WRITE, i, local_.data() + i * kEach, kEach, remote, i * kEach));
    uint32_t accepted = 0;
    ASSERT_EQ(Table().submit(initiator.channel, slices.data(), sizeof(slices[0]), kSubmit, &accepted, nullptr),
              SLIPWAY_OK);
    ASSERT_EQ(accepted, kSubmit);
  }
  uint64_t arrived = 0, frames = 0;
  Bytes all(kAll * kEach);
  while (arrived < kAll) {
    std::vector<Frame> unanswered;
    for (uint64_t i = 0; i < kWindow && arrived < kAll; ++i) {
      const auto request = wire.Receive();
      ASSERT_TRUE(request);
      ASSERT_EQ(request->offset, arrived * kEach);
      ASSERT_TRUE(wire.ReceiveBytes(all.data() + request->offset, request->length));
      arrived += request->length / kEach;
      unanswered.push_back(*request);
    }
    frames += unanswered.size();
    if (arrived < kAll) {
      std::this_thread::sleep_for(milliseconds(20));
      uint8_t byte;
      EXPECT_EQ(recv(wire.fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1) << "a frame beyond the window";
    }
    for (const Frame& request : unanswered) {
      Frame ack;
      ack.op = Op::kWriteAck;
      ack.id = request.id;
      ASSERT_TRUE(wire.Send(ack));
    }
  }
  for (const auto& c : initiator.Collect(kAll)) EXPECT_EQ(c.status, SLIPWAY_OK);
  EXPECT_LT(frames, kAll / 8) << "writes that follow one another were sent one by one";
  EXPECT_TRUE(std::equal(all.begin(), all.end(), local_.begin()));
}

}  // namespace
}  // namespace slipway::tcp
