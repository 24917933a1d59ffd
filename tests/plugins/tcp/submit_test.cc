// Submission, completion, cancellation, the end: what the contract says of a channel.
#include <dirent.h>

#include <fstream>
#include <set>
#include <span>

#include "tests/plugins/tcp/peer_process.h"
#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

constexpr size_t kMemory = 8 << 20;

class TcpSubmit : public testing::Test {
 protected:
  TcpSubmit() : initiator_(R"({"max_inflight": 64, "lanes": 2, "peer_timeout_ms": 60000, "connect_timeout_ms": 100})") {
    memory_.resize(kMemory);
    local_ = Pattern(kMemory, 1);
    peer_ = initiator_.Connect(target_);
    remote_ = initiator_.Import(peer_, target_.Export(target_.Register(memory_.data(), kMemory)));
  }
  slipway_slice Write(uint64_t token, uint64_t offset, uint64_t length) {
    return Node::Slice(SLIPWAY_OP_WRITE, token, local_.data() + offset, length, remote_, offset);
  }
  slipway_slice Read(uint64_t token, uint64_t offset, uint64_t length) {
    return Node::Slice(SLIPWAY_OP_READ, token, back_.data() + offset, length, remote_, offset);
  }

  Bytes memory_, local_, back_ = Bytes(kMemory);  // from local_ is written, to back_ is read
  Node target_, initiator_;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
};

TEST_F(TcpSubmit, AcceptsAPrefixAndNamesWhatIsWrongWithTheNext) {
  std::vector<slipway_slice> slices;
  for (uint64_t i = 0; i < 5; ++i) slices.push_back(Write(i, i * 100, 100));
  const auto refused = [&](auto&& spoil, slipway_status expected) {
    std::vector<slipway_slice> s = slices;
    spoil(s[3]);
    uint32_t accepted = 99;
    Failure err;
    EXPECT_EQ(Table().submit(initiator_.channel, s.data(), sizeof(s[0]), 5, &accepted, &err), expected);
    EXPECT_EQ(accepted, 3u);
    EXPECT_STRNE(err.message, "");
    initiator_.Collect(3);
  };
  refused([](slipway_slice& s) { s.op = 9; }, SLIPWAY_E_INVALID);
  refused([](slipway_slice& s) { s.flags = 1; }, SLIPWAY_E_INVALID);
  refused([](slipway_slice& s) { s.reserved = 1; }, SLIPWAY_E_INVALID);
  refused([](slipway_slice& s) { s.length = 0; }, SLIPWAY_E_INVALID);
  refused([](slipway_slice& s) { s.length = (64 << 20) + 1; }, SLIPWAY_E_INVALID);
  refused([](slipway_slice& s) { s.local_addr = nullptr; }, SLIPWAY_E_INVALID);
  refused([](slipway_slice& s) { s.remote_offset = kMemory; }, SLIPWAY_E_RANGE);
}

TEST_F(TcpSubmit, ASliceLongerThanThePeerTakesIsRefusedHere) {
  Bytes memory(1 << 20);
  Node modest("{\"max_slice_bytes\": 65536}");
  slipway_peer* peer = initiator_.Connect(modest);
  slipway_remote* remote = initiator_.Import(peer, modest.Export(modest.Register(memory.data(), memory.size())));
  Failure err;
  EXPECT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_WRITE, 1, local_.data(), 65537, remote, 0), &err),
            SLIPWAY_E_INVALID);
  EXPECT_NE(std::string(err.message).find("max_slice_bytes"), std::string::npos);
  EXPECT_EQ(initiator_.Write(remote, 0, local_.data(), 65536), SLIPWAY_OK);
}

TEST_F(TcpSubmit, EveryTokenCompletesOnceWhateverThePollLooksLike) {
  // Completions lie apart, with something behind each that must stay.
  struct Wide {
    slipway_completion c;
    uint64_t guard;
  };
  std::set<uint64_t> seen;
  uint64_t next = 0;
  while (seen.size() < 2000) {
    while (next < 2000 &&
           initiator_.Submit(next % 2 == 0 ? Write(next, next * 64, 50) : Read(next, next * 64, 50)) == SLIPWAY_OK) {
      ++next;
    }
    Wide wide[3];
    for (Wide& w : wide) w.guard = 0x1234;
    uint32_t n = 0;
    ASSERT_EQ(Table().poll(initiator_.channel, &wide[0].c, sizeof(Wide), 1 + seen.size() % 3, &n), SLIPWAY_OK);
    for (uint32_t i = 0; i < 3; ++i) {
      EXPECT_EQ(wide[i].guard, 0x1234u);
      if (i >= n) continue;
      EXPECT_EQ(wide[i].c.status, SLIPWAY_OK);
      EXPECT_EQ(wide[i].c.bytes, 50u);
      EXPECT_TRUE(seen.insert(wide[i].c.token).second);
    }
  }
}

TEST_F(TcpSubmit, AFullChannelSaysAgainAndGoesOnOnceItIsPolled) {
  RawTarget mute;
  slipway_peer* peer = initiator_.StartConnect(mute.Address());
  RawConnection wire = mute.Accept();
  ASSERT_TRUE(mute.Greet(wire, 4));
  ASSERT_EQ(initiator_.WaitReady(peer), SLIPWAY_OK);
  slipway_remote* remote = initiator_.Import(peer, mute.Registration(kMemory));
  uint32_t in = 0;
  slipway_slice s = Node::Slice(SLIPWAY_OP_READ, 0, local_.data(), 10, remote, 0);
  for (; in < 1000; ++in) {
    uint32_t accepted = 9;
    const slipway_status status = Table().submit(initiator_.channel, &s, sizeof(s), 1, &accepted, nullptr);
    if (status != SLIPWAY_OK) {
      EXPECT_EQ(status, SLIPWAY_E_AGAIN);
      EXPECT_EQ(accepted, 0u);
      break;
    }
  }
  EXPECT_EQ(in, 64u);
  for (uint64_t i = 0; i < 4; ++i) {
    const auto request = wire.Receive();
    ASSERT_TRUE(request);
    Frame f;
    f.op = Op::kReadData;
    f.id = request->id;
    f.status = SLIPWAY_E_ACCESS;
    ASSERT_TRUE(wire.Send(f));
  }
  initiator_.Collect(4);
  EXPECT_EQ(initiator_.Submit(s), SLIPWAY_OK);
}

TEST_F(TcpSubmit, NoWakeUpIsLost) {
  for (int i = 0; i < 10000; ++i) {
    const uint64_t seen = initiator_.host.wakes();
    ASSERT_EQ(initiator_.Submit(Write(1, 0, 10)), SLIPWAY_OK);
    // A sign may come late, for what was polled already; then another follows.
    for (uint32_t n = 0; n == 0;) {
      ASSERT_TRUE(initiator_.WaitSign(seen, milliseconds(10000))) << i;
      slipway_completion c;
      ASSERT_EQ(Table().poll(initiator_.channel, &c, sizeof(c), 1, &n), SLIPWAY_OK);
    }
  }
}

TEST_F(TcpSubmit, NoWakeUpIsLostWhereTheIoThreadReceives) {
  Node woken(R"({"poll_receives": false})");
  ASSERT_EQ(woken.event_fd, -1);
  slipway_remote* remote = woken.Import(woken.Connect(target_), target_.Export(target_.Register(memory_.data(), 10)));
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint64_t seen = woken.host.wakes();
    ASSERT_EQ(woken.Submit(Node::Slice(SLIPWAY_OP_WRITE, i, local_.data(), 10, remote, 0)), SLIPWAY_OK);
    ASSERT_TRUE(woken.WaitSign(seen, milliseconds(10000))) << i;
    ASSERT_EQ(woken.Collect(1).at(0).token, i);
  }
}

TEST_F(TcpSubmit, WhatIsInUseIsBusy) {
  RawTarget mute;
  slipway_peer* peer = initiator_.StartConnect(mute.Address());
  RawConnection wire = mute.Accept();
  ASSERT_TRUE(mute.Greet(wire));
  slipway_remote* remote = initiator_.Import(peer, mute.Registration(kMemory));
  slipway_mr* mr = initiator_.Register(local_.data(), kMemory);
  slipway_slice s = Node::Slice(SLIPWAY_OP_READ, 5, local_.data(), 10, remote, 0);
  s.local_mr = mr;
  ASSERT_EQ(initiator_.Submit(s), SLIPWAY_OK);
  EXPECT_EQ(Table().release_remote(remote), SLIPWAY_E_BUSY);
  EXPECT_EQ(Table().disconnect(peer), SLIPWAY_E_BUSY);
  EXPECT_EQ(Table().deregister_memory(initiator_.instance, mr), SLIPWAY_E_BUSY);
  EXPECT_EQ(Table().channel_close(initiator_.channel), SLIPWAY_E_BUSY);
  EXPECT_EQ(Table().cancel(initiator_.channel, 5), SLIPWAY_OK);
  EXPECT_EQ(initiator_.Collect(1)[0].status, SLIPWAY_E_CANCELED);
  EXPECT_EQ(Table().deregister_memory(initiator_.instance, mr), SLIPWAY_OK);
  EXPECT_EQ(Table().release_remote(remote), SLIPWAY_OK);
  EXPECT_EQ(Table().disconnect(peer), SLIPWAY_OK);
}

// ---- cancel --------------------------------------------------------------------------------------------------------

// A peer whose answers the test times.
class TcpCancel : public TcpSubmit {
 protected:
  TcpCancel() {
    slow_ = initiator_.StartConnect(mute_.Address());
    wires_.push_back(mute_.Accept());
    EXPECT_TRUE(mute_.Greet(wires_[0], 2));
    slow_remote_ = initiator_.Import(slow_, mute_.Registration(kMemory));
  }
  slipway_status CancelOne(uint64_t token) {
    EXPECT_EQ(Table().cancel(initiator_.channel, token), SLIPWAY_OK);
    const auto all = initiator_.Collect(1);
    if (all.empty()) return SLIPWAY_OK;
    EXPECT_EQ(all[0].token, token);
    return all[0].status;
  }
  RawTarget mute_;
  std::vector<RawConnection> wires_;
  slipway_peer* slow_ = nullptr;
  slipway_remote* slow_remote_ = nullptr;
};

TEST_F(TcpCancel, BeyondTheWindowNothingWasSentAndTheRestGoesOn) {
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_WRITE, i, local_.data(), 10, slow_remote_, 0)), SLIPWAY_OK);
  }
  EXPECT_EQ(CancelOne(2), SLIPWAY_E_CANCELED) << "the window is two";
  uint64_t done = 0;
  for (const uint64_t expected : {0u, 1u, 3u}) {
    const auto request = wires_[0].Receive();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->id, expected);
    Bytes body(10);
    ASSERT_TRUE(wires_[0].ReceiveBytes(body.data(), body.size()));
    Frame ack;
    ack.op = Op::kWriteAck;
    ack.id = request->id;
    ASSERT_TRUE(wires_[0].Send(ack));
    ++done;
  }
  for (const auto& c : initiator_.Collect(done)) EXPECT_EQ(c.status, SLIPWAY_OK);
}

TEST_F(TcpCancel, AReadUnderWayLeavesTheMemoryAloneFromThenOn) {
  Bytes mine(100000, 0x55);
  ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_READ, 1, mine.data(), mine.size(), slow_remote_, 0)), SLIPWAY_OK);
  ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_READ, 2, local_.data(), 10, slow_remote_, 0)), SLIPWAY_OK);
  const auto first = wires_[0].Receive(), second = wires_[0].Receive();
  ASSERT_TRUE(first && second);
  Frame data;
  data.op = Op::kReadData;
  data.id = first->id;
  data.length = mine.size();
  ASSERT_TRUE(wires_[0].Send(data));
  const Bytes body(mine.size(), 0x99);
  const uint64_t calls = initiator_.Count("receive_calls");
  ASSERT_TRUE(wires_[0].SendBytes(body.data(), 50000));
  ASSERT_TRUE(initiator_.WaitCount("receive_calls", calls + 1)) << "some of it is in place";
  EXPECT_EQ(CancelOne(1), SLIPWAY_E_CANCELED);
  mine.assign(mine.size(), 0x11);
  ASSERT_TRUE(wires_[0].SendBytes(body.data(), 50000));
  data.id = second->id;
  data.length = 10;
  ASSERT_TRUE(wires_[0].Send(data));
  ASSERT_TRUE(wires_[0].SendBytes(body.data(), 10));
  const auto all = initiator_.Collect(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].token, 2u);
  EXPECT_EQ(all[0].status, SLIPWAY_OK);
  EXPECT_EQ(mine, Bytes(mine.size(), 0x11));
}

TEST_F(TcpCancel, AWriteOnItsWayEndsWithItsAnswerOrInTime) {
  ASSERT_EQ(initiator_.Submit(Node::Slice(SLIPWAY_OP_WRITE, 1, local_.data(), 10, slow_remote_, 0)), SLIPWAY_OK);
  ASSERT_TRUE(wires_[0].Receive());
  EXPECT_EQ(Table().cancel(initiator_.channel, 1), SLIPWAY_OK);
  initiator_.host.Advance(milliseconds(61000));
  const auto all = initiator_.Collect(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].status, SLIPWAY_E_CANCELED) << "the peer never answers, so the lane ends";
  EXPECT_LT(Table().peer_ready(slow_, nullptr), 0);
}

TEST_F(TcpCancel, UnknownTokensAreHarmless) {
  EXPECT_EQ(Table().cancel(initiator_.channel, 4711), SLIPWAY_OK);
  ASSERT_EQ(initiator_.Submit(Write(7, 0, 10)), SLIPWAY_OK);
  initiator_.Collect(1);
  EXPECT_EQ(Table().cancel(initiator_.channel, 7), SLIPWAY_OK);
}

TEST_F(TcpSubmit, CancelsRaceCompletionsAndEachTokenCompletesOnce) {
  for (uint64_t round = 0; round < 100; ++round) {
    std::set<uint64_t> open;
    for (uint64_t i = 0; i < 32; ++i) {
      const slipway_slice s = i % 2 == 0 ? Write(i, i * 65536, 65536) : Read(i, i * 65536, 65536);
      ASSERT_EQ(initiator_.Submit(s), SLIPWAY_OK);
      open.insert(i);
    }
    for (uint64_t i = 0; i < 32; i += 3) ASSERT_EQ(Table().cancel(initiator_.channel, i), SLIPWAY_OK);
    for (const auto& c : initiator_.Collect(32)) {
      ASSERT_EQ(open.erase(c.token), 1u);
      ASSERT_TRUE(c.status == SLIPWAY_OK || c.status == SLIPWAY_E_CANCELED) << c.status;
    }
  }
}

// ---- several threads, the end --------------------------------------------------------------------------------------

TEST_F(TcpSubmit, AChannelAThread) {
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      slipway_channel* channel = nullptr;
      {
        static std::mutex control;
        std::lock_guard lock(control);
        ASSERT_EQ(Table().channel_open(initiator_.instance, nullptr, &channel, nullptr), SLIPWAY_OK);
      }
      const uint64_t base = t * (kMemory / 4);
      for (uint64_t i = 0; i < 400; ++i) {
        slipway_slice s = i % 2 == 0 ? Write(i, base + i * 7, 1 + i * 11) : Read(i, base + i * 7, 1 + i * 11);
        uint32_t n = 0;
        ASSERT_EQ(Table().submit(channel, &s, sizeof(s), 1, &n, nullptr), SLIPWAY_OK);
        slipway_completion c;
        for (n = 0; n == 0; std::this_thread::yield()) {
          ASSERT_EQ(Table().poll(channel, &c, sizeof(c), 1, &n), SLIPWAY_OK);
        }
        ASSERT_EQ(c.status, SLIPWAY_OK);
        ASSERT_EQ(c.token, i);
      }
    });
  }
  for (auto& t : threads) t.join();
}

TEST_F(TcpSubmit, QuiesceCompletesEverythingAndRefusesTheRest) {
  RawTarget mute;
  slipway_peer* peer = initiator_.StartConnect(mute.Address());
  RawConnection wire = mute.Accept();
  ASSERT_TRUE(mute.Greet(wire));
  slipway_remote* remote = initiator_.Import(peer, mute.Registration(kMemory));
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_EQ(initiator_.Submit(Node::Slice(i % 2 == 0 ? SLIPWAY_OP_READ : SLIPWAY_OP_WRITE, i,
                                            local_.data() + i * 100000, 100000, remote, i * 100000)),
              SLIPWAY_OK);
  }
  EXPECT_EQ(Table().quiesce(initiator_.instance, 10'000'000'000, nullptr), SLIPWAY_OK);
  slipway_completion all[32];
  uint32_t n = 0;
  ASSERT_EQ(Table().poll(initiator_.channel, all, sizeof(all[0]), 32, &n), SLIPWAY_OK);
  ASSERT_EQ(n, 20u) << "they are there once quiesce returns";
  for (const auto& c : std::span(all, n)) EXPECT_EQ(c.status, SLIPWAY_E_CANCELED);
  EXPECT_EQ(initiator_.Submit(Write(1, 0, 10)), SLIPWAY_E_CANCELED);
  EXPECT_TRUE(wire.WaitClosed());
}

TEST_F(TcpSubmit, AQuiescedTargetRefusesItsPeers) {
  EXPECT_EQ(Table().quiesce(target_.instance, 10'000'000'000, nullptr), SLIPWAY_OK);
  const Bytes before = memory_;
  uint32_t accepted = 0;
  const slipway_slice s = Write(1, 0, 10);
  if (Table().submit(initiator_.channel, &s, sizeof(s), 1, &accepted, nullptr) == SLIPWAY_OK) {
    EXPECT_EQ(initiator_.Collect(1)[0].status, SLIPWAY_E_PEER);
  }
  EXPECT_EQ(memory_, before);
}

TEST_F(TcpSubmit, DestroySurvivesWhatIsLeft) {
  for (uint64_t i = 0; i < 8; ++i) ASSERT_EQ(initiator_.Submit(Write(i, i << 20, 1 << 20)), SLIPWAY_OK);
  initiator_.Register(local_.data(), 100);
  initiator_.Destroy();
  const uint64_t wakes = initiator_.host.wakes();
  target_.Destroy();
  EXPECT_EQ(initiator_.host.wakes(), wakes) << "no call of the host after destroy";
}

size_t Descriptors() {
  size_t n = 0;
  DIR* d = opendir("/proc/self/fd");
  while (readdir(d) != nullptr) ++n;
  closedir(d);
  return n;
}
size_t Threads() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Threads:", 0) == 0) return std::strtoul(line.c_str() + 8, nullptr, 10);
  }
  return 0;
}

// The system goes on listing a thread for a moment after it was joined.
bool ComesDownTo(size_t (*count)(), size_t most) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (count() > most) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(TcpLife, TwoHundredCyclesLeaveNothingBehind) {
  Bytes memory(1000);
  Node target;
  const std::string registration = target.Export(target.Register(memory.data(), memory.size()));
  size_t descriptors = 0, threads = 0;
  for (int i = 0; i < 200; ++i) {
    {
      Node initiator("{\"lanes\": 3, \"io_threads\": 2}");
      slipway_remote* remote = initiator.Import(initiator.Connect(target), registration);
      ASSERT_EQ(initiator.Write(remote, 0, Pattern(100, 1).data(), 100), SLIPWAY_OK);
    }
    ASSERT_TRUE(target.WaitCount("connections_closed", static_cast<uint64_t>(3 * (i + 1))));
    ASSERT_TRUE(target.WaitNone("connections_open"));
    if (i == 20) {
      descriptors = Descriptors();
      threads = Threads();
    }
  }
  EXPECT_TRUE(ComesDownTo(Descriptors, descriptors));
  EXPECT_TRUE(ComesDownTo(Threads, threads));
}

TEST(TcpLife, AFailedCreateLeavesNothingBehind) {
  FakeHost host;
  const size_t descriptors = Descriptors(), threads = Threads();
  const std::string json = "{\"listen\": [\"127.0.0.1:0\", \"192.0.2.1:0\"]}";
  for (int i = 0; i < 20; ++i) {
    slipway_instance* out = nullptr;
    EXPECT_EQ(Table().create(host.table(), json.data(), json.size(), &out, nullptr), SLIPWAY_E_CONFIG);
    EXPECT_EQ(out, nullptr);
  }
  EXPECT_TRUE(ComesDownTo(Descriptors, descriptors));
  EXPECT_TRUE(ComesDownTo(Threads, threads));
}

}  // namespace
}  // namespace slipway::tcp
