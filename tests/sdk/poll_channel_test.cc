// Slices that wait until poll() moves them, driven through the C table.
#include "slipway/sdk/poll_channel.hpp"

#include <gtest/gtest.h>

#include "slipway/sdk/plugin.hpp"
#include "tests/support/plugin_driver.h"

namespace slipway::sdk {
namespace {

using test::EmptyError;
using test::TestHost;

constexpr uint32_t kRoom = 4;

// What the author's part does and has done; one test at a time.
struct Script {
  std::vector<uint64_t> moved;  // tokens
  uint64_t refused_token = 0;   // by Check
  slipway_status status = SLIPWAY_OK;
  uint64_t bytes = 8;
  bool throws = false;
  std::function<void()> while_moving;
};
Script g_script;

struct ScriptedRemote final : PollRemote {
  ScriptedRemote() : PollRemote(uint64_t{1} << 30, SLIPWAY_ACCESS_REMOTE_WRITE) {}
  slipway_status Check(const slipway_slice& s, Error& err) override {
    return s.token == g_script.refused_token ? err.Fail(SLIPWAY_E_INVALID, "not this one") : SLIPWAY_OK;
  }
  slipway_status Move(const slipway_slice& s, uint64_t& moved, int32_t& native) override {
    if (g_script.throws) throw std::bad_alloc();
    g_script.moved.push_back(s.token);
    if (g_script.while_moving) g_script.while_moving();
    moved = g_script.bytes;
    native = g_script.status == SLIPWAY_OK ? 0 : 5;
    return g_script.status;
  }
};
struct ScriptedPeer final : Peer {
  slipway_status Ready(Error&) override { return SLIPWAY_OK; }
  slipway_status ImportMr(std::string_view, std::unique_ptr<Remote>& out, Error&) override {
    out = std::make_unique<ScriptedRemote>();
    return SLIPWAY_OK;
  }
};
struct ScriptedInstance final : Instance {
  using Instance::Instance;
  slipway_status Quiesce(uint64_t timeout_ns, Error&) override {
    return gate.Close(host(), timeout_ns) ? SLIPWAY_OK : SLIPWAY_E_TIMEOUT;
  }
  void Stop() noexcept override { gate.Close(host(), kNoTimeoutNs); }
  slipway_status RegisterMemory(const slipway_range&, std::unique_ptr<Registration>& out, Error&) override {
    out = std::make_unique<Registration>();
    return SLIPWAY_OK;
  }
  slipway_status ExportAddress(std::string&, Error&) override { return SLIPWAY_E_UNSUPPORTED; }
  slipway_status ExportMr(Registration&, std::string&, Error&) override { return SLIPWAY_E_UNSUPPORTED; }
  slipway_status Connect(std::string_view, std::unique_ptr<Peer>& out, Error&) override {
    out = std::make_unique<ScriptedPeer>();
    return SLIPWAY_OK;
  }
  slipway_status OpenChannel(void* cookie, std::unique_ptr<Channel>& out, Error&) override {
    out = std::make_unique<PollChannel>(*this, cookie, gate);
    return SLIPWAY_OK;
  }
  Gate gate;
};
struct Scripted : Transport {
  static constexpr TransportInfo kInfo = {
      "scripted",       "1",    "v", "d",
      "scripted",       1,      1,   SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_LOCAL_REG | SLIPWAY_CAP_NEEDS_REMOTE_REG,
      SLIPWAY_MEM_HOST, nullptr};
  static slipway_status Probe(Host, std::string_view, slipway_attrs&, Error&) { return SLIPWAY_OK; }
  static slipway_status Create(Host host, std::string_view, std::unique_ptr<Instance>& out, Error&) {
    slipway_attrs attrs = DefaultAttrs(kInfo);
    attrs.max_inflight_per_channel = kRoom;
    out = std::make_unique<ScriptedInstance>(host, attrs);
    return SLIPWAY_OK;
  }
};

class PollChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    g_script = {};
    node_ = test::Node::Make(detail::kTransportTable<Scripted>, host_);
    peer_ = node_->Connect("x");
    remote_ = node_->Import(peer_, "x");
    mr_ = node_->Register(memory_.data(), memory_.size());
  }
  void TearDown() override { g_script = {}; }

  // Tokens count up from 1.
  uint32_t Submit(uint32_t count, uint64_t bytes = 8) {
    std::vector<slipway_slice> slices;
    for (uint32_t i = 0; i < count; ++i) {
      slices.push_back(node_->Slice(SLIPWAY_OP_WRITE, memory_.data(), bytes, remote_, 0, mr_));
    }
    uint32_t accepted = 0;
    submitted_ = node_->Submit(slices, &accepted);
    return accepted;
  }
  std::vector<slipway_completion> Poll(uint32_t max = 64) {
    std::vector<slipway_completion> out;
    polled_ = node_->Poll(out, max);
    return out;
  }
  uint64_t Wakes() const { return host_.wakes(node_.get()); }
  Gate& gate() { return reinterpret_cast<ScriptedInstance*>(detail::Glue::From(node_->instance()))->gate; }

  TestHost host_;
  std::unique_ptr<test::Node> node_;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
  slipway_mr* mr_ = nullptr;
  std::vector<char> memory_ = std::vector<char>(PollChannel::kPollBytes);
  slipway_status submitted_ = SLIPWAY_OK, polled_ = SLIPWAY_OK;
};

TEST_F(PollChannelTest, SlicesMoveInOrderOncePolledAndTheCoreIsWokenToPoll) {
  EXPECT_EQ(Submit(3), 3u);
  EXPECT_EQ(Wakes(), 1u);
  EXPECT_TRUE(g_script.moved.empty());
  const auto done = Poll();
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(g_script.moved, (std::vector<uint64_t>{1, 2, 3}));
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(done[i].token, i + 1);
    EXPECT_EQ(done[i].status, SLIPWAY_OK);
    EXPECT_EQ(done[i].bytes, 8u);
  }
  EXPECT_TRUE(Poll().empty());
  EXPECT_EQ(Wakes(), 1u);
}

TEST_F(PollChannelTest, TakesWhatThereIsRoomForRoundAndRound) {
  EXPECT_EQ(Submit(kRoom + 1), kRoom);
  EXPECT_EQ(submitted_, SLIPWAY_OK);
  EXPECT_EQ(Submit(1), 0u);
  EXPECT_EQ(submitted_, SLIPWAY_E_AGAIN);
  g_script.moved.clear();
  for (int round = 0; round < 10; ++round) {
    EXPECT_EQ(Poll(3).size(), 3u);
    EXPECT_EQ(Submit(3), 3u);
  }
  EXPECT_EQ(Poll().size(), kRoom);
  EXPECT_EQ(g_script.moved.size(), 30 + kRoom);
}

TEST_F(PollChannelTest, APartPolledIsWokenForTheRest) {
  Submit(3);
  EXPECT_EQ(Poll(1).size(), 1u);
  EXPECT_EQ(g_script.moved.size(), 1u) << "what nobody has room for does not move";
  EXPECT_EQ(Wakes(), 2u);
  EXPECT_EQ(Poll(2).size(), 2u);
  EXPECT_EQ(Wakes(), 2u);
}

TEST_F(PollChannelTest, OnePollMovesABoundedNumberOfBytes) {
  Submit(3, PollChannel::kPollBytes / 2 + 1);
  EXPECT_EQ(Poll().size(), 2u);
  EXPECT_EQ(Wakes(), 2u);
  EXPECT_EQ(Poll().size(), 1u);
}

TEST_F(PollChannelTest, ARefusedSliceIsNamedAndThoseBeforeItAreTaken) {
  g_script.refused_token = 3;
  EXPECT_EQ(Submit(4), 2u);
  EXPECT_EQ(submitted_, SLIPWAY_E_INVALID);
  EXPECT_STREQ(node_->error().message, "not this one");
  EXPECT_EQ(Poll().size(), 2u);
  g_script.refused_token = 5;
  EXPECT_EQ(Submit(1), 0u);
  EXPECT_EQ(Wakes(), 1u) << "nothing was accepted, so there is nothing to poll for";
}

TEST_F(PollChannelTest, WhatASliceNamesIsInUseUntilItIsPolled) {
  Submit(2);
  EXPECT_EQ(node_->Release(remote_), SLIPWAY_E_BUSY);
  EXPECT_EQ(node_->Deregister(mr_), SLIPWAY_E_BUSY);
  Poll(1);
  EXPECT_EQ(node_->Release(remote_), SLIPWAY_E_BUSY);
  EXPECT_EQ(node_->Deregister(mr_), SLIPWAY_E_BUSY);
  Poll(1);
  EXPECT_EQ(node_->Release(remote_), SLIPWAY_OK);
  EXPECT_EQ(node_->Deregister(mr_), SLIPWAY_OK);
}

TEST_F(PollChannelTest, AFailureIsToldWithWhatWasMoved) {
  g_script.status = SLIPWAY_E_IO;
  g_script.bytes = 3;
  Submit(1);
  const auto done = Poll();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].status, SLIPWAY_E_IO);
  EXPECT_EQ(done[0].native, 5);
  EXPECT_EQ(done[0].bytes, 3u);
}

TEST_F(PollChannelTest, AfterQuiesceWhatWaitsCompletesAsCanceledAndDoesNotMove) {
  Submit(3);
  ASSERT_EQ(node_->transport().quiesce(node_->instance(), 0, nullptr), SLIPWAY_OK);
  const auto done = Poll();
  ASSERT_EQ(done.size(), 3u);
  for (const auto& d : done) {
    EXPECT_EQ(d.status, SLIPWAY_E_CANCELED);
    EXPECT_EQ(d.bytes, 0u);
  }
  EXPECT_TRUE(g_script.moved.empty());
}

TEST_F(PollChannelTest, QuiesceInTheMiddleOfASliceTimesOut) {
  g_script.while_moving = [&] {
    EXPECT_EQ(node_->transport().quiesce(node_->instance(), 0, nullptr), SLIPWAY_E_TIMEOUT);
  };
  Submit(1);
  EXPECT_EQ(Poll().size(), 1u);
  EXPECT_EQ(node_->transport().quiesce(node_->instance(), 0, nullptr), SLIPWAY_OK);
}

TEST_F(PollChannelTest, WhatFailsSinceTheInstanceQuiescesIsCanceled) {
  g_script.status = SLIPWAY_E_PEER;
  g_script.bytes = 0;
  Submit(1);
  EXPECT_EQ(Poll()[0].status, SLIPWAY_E_PEER);
  g_script.while_moving = [&] { gate().Close(Host(host_.table()), 0); };
  Submit(1);
  EXPECT_EQ(Poll()[0].status, SLIPWAY_E_CANCELED);
}

TEST_F(PollChannelTest, AnAuthorsExceptionLosesNoSlice) {
  Submit(2);
  g_script.throws = true;
  EXPECT_TRUE(Poll().empty());
  EXPECT_EQ(polled_, SLIPWAY_E_NOMEM);
  g_script.throws = false;
  EXPECT_EQ(Poll().size(), 2u);
  EXPECT_EQ(g_script.moved, (std::vector<uint64_t>{1, 2}));
}

TEST(OverlapsTest, OneCommonByteIsEnough) {
  char memory[64] = {};
  slipway_slice s{};
  s.local_addr = memory + 16;
  s.length = 16;
  EXPECT_TRUE(Overlaps(s, memory + 16));
  EXPECT_TRUE(Overlaps(s, memory + 1));
  EXPECT_TRUE(Overlaps(s, memory + 31));
  EXPECT_FALSE(Overlaps(s, memory));
  EXPECT_FALSE(Overlaps(s, memory + 32));
}

}  // namespace
}  // namespace slipway::sdk
