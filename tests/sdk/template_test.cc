// The templates that authors begin with, where peers go away: by quiesce, by destruction, by revoking what they gave,
// and while others copy. slipway-conform, which they pass as well, is for everything else.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "slipway/abi/plugin.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

using test::Node;

const slipway_transport& Template() { return *slipway_plugin_v1.transports[0]; }

bool IsPeerStatus(slipway_status s) { return s == SLIPWAY_E_PEER || s == SLIPWAY_E_STALE_REMOTE; }

// A writer, and a target that shows it all its memory.
class TemplateTest : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = 1 << 16;

  void SetUp() override { Meet(); }
  void Meet() {
    writer_.reset();
    target_ = Node::Make(Template(), host_);
    writer_ = Node::Make(Template(), host_);
    memory_ = std::make_unique<char[]>(kBytes);
    mr_ = target_->Register(memory_.get(), kBytes);
    address_ = target_->Address();
    blob_ = target_->Export(mr_);
    peer_ = writer_->Connect(address_);
    remote_ = writer_->Import(peer_, blob_);
  }
  slipway_status Write() { return writer_->Write(local_, sizeof(local_), remote_, 0).status; }

  // Writes at full speed from a thread until `stop`, and expects nothing but OK and peer statuses.
  std::thread WriteUntil(std::atomic<bool>& stop, std::atomic<uint64_t>& written) {
    return std::thread([&] {
      while (!stop) {
        const slipway_status s = Write();
        if (s == SLIPWAY_OK) ++written;
        if (s != SLIPWAY_OK && !IsPeerStatus(s)) ADD_FAILURE() << "a write completed with " << s;
      }
    });
  }

  test::TestHost host_;
  char local_[4096] = "what is written";
  std::unique_ptr<char[]> memory_;
  std::unique_ptr<Node> target_, writer_;
  slipway_mr* mr_ = nullptr;
  std::string address_, blob_;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
};

TEST_F(TemplateTest, BytesGoBothWays) {
  EXPECT_EQ(Write(), SLIPWAY_OK);
  EXPECT_STREQ(memory_.get(), "what is written");
  std::strcpy(memory_.get() + 100, "what is read");
  EXPECT_EQ(writer_->Read(local_, 64, remote_, 100).status, SLIPWAY_OK);
  EXPECT_STREQ(local_, "what is read");
}

TEST_F(TemplateTest, APeerThatWasDestroyedIsGone) {
  target_.reset();
  memory_.reset();
  EXPECT_TRUE(IsPeerStatus(Write()));
  EXPECT_EQ(writer_->Ready(peer_), SLIPWAY_E_PEER);
  EXPECT_STRNE(writer_->error().message, "");
  slipway_peer* again = nullptr;
  EXPECT_EQ(writer_->TryConnect(address_, &again), SLIPWAY_E_PEER);
  slipway_remote* remote = nullptr;
  EXPECT_TRUE(IsPeerStatus(writer_->TryImport(peer_, blob_, &remote)));
  EXPECT_EQ(writer_->Release(remote_), SLIPWAY_OK);
  EXPECT_EQ(writer_->Disconnect(peer_), SLIPWAY_OK);
}

TEST_F(TemplateTest, WhatWasSubmittedBeforeThePeerWasDestroyedCompletes) {
  uint32_t accepted = 0;
  writer_->Submit({writer_->Slice(SLIPWAY_OP_WRITE, local_, 64, remote_, 0)}, &accepted);
  ASSERT_EQ(accepted, 1u);
  target_.reset();
  memory_.reset();
  EXPECT_TRUE(IsPeerStatus(writer_->Drain(1)[0].status));
}

TEST_F(TemplateTest, APeerThatWasQuiescedTakesNothing) {
  ASSERT_EQ(Template().quiesce(target_->instance(), 1'000'000'000, nullptr), SLIPWAY_OK);
  EXPECT_EQ(Write(), SLIPWAY_E_PEER);
  EXPECT_EQ(writer_->Ready(peer_), SLIPWAY_E_PEER);
  EXPECT_EQ(memory_[0], '\0');
}

TEST_F(TemplateTest, WhatWasDeregisteredIsStaleAndTheOtherIsNot) {
  slipway_mr* const second = target_->Register(memory_.get() + 4096, 4096);
  slipway_remote* const other = writer_->Import(peer_, target_->Export(second));
  ASSERT_EQ(target_->Deregister(mr_), SLIPWAY_OK);
  EXPECT_EQ(Write(), SLIPWAY_E_STALE_REMOTE);
  slipway_remote* again = nullptr;
  EXPECT_EQ(writer_->TryImport(peer_, blob_, &again), SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(writer_->Write(local_, 64, other, 0).status, SLIPWAY_OK);
  EXPECT_EQ(memory_[0], '\0');
}

TEST_F(TemplateTest, ARegistrationOfAnotherInstanceIsStale) {
  const std::unique_ptr<Node> third = Node::Make(Template(), host_);
  slipway_remote* remote = nullptr;
  EXPECT_EQ(writer_->TryImport(peer_, third->Export(third->Register(local_, 64)), &remote), SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(writer_->TryImport(peer_, address_, &remote), SLIPWAY_E_PROTOCOL);
  slipway_peer* peer = nullptr;
  EXPECT_EQ(writer_->TryConnect(blob_, &peer), SLIPWAY_E_PROTOCOL);
}

TEST_F(TemplateTest, AnInstanceIsItsOwnPeerAndRefusesWhatOverlaps) {
  slipway_remote* const own = target_->Import(target_->Connect(address_), blob_);
  std::strcpy(memory_.get(), "to itself");
  EXPECT_EQ(target_->Write(memory_.get(), 100, own, 100).status, SLIPWAY_OK);
  EXPECT_STREQ(memory_.get() + 100, "to itself");
  uint32_t accepted = 0;
  EXPECT_EQ(target_->Submit({target_->Slice(SLIPWAY_OP_READ, memory_.get(), 100, own, 100),
                             target_->Slice(SLIPWAY_OP_READ, memory_.get(), 100, own, 99)},
                            &accepted),
            SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 1u);
  EXPECT_EQ(target_->Drain(1)[0].status, SLIPWAY_OK);
}

// Its own peer, too, completes as CANCELED what quiesce comes before.
TEST_F(TemplateTest, AnInstanceThatIsItsOwnPeerQuiescesInTheMiddle) {
  for (int round = 0; round < 100; ++round) {
    Meet();
    slipway_remote* const own = target_->Import(target_->Connect(address_), blob_);
    std::vector<slipway_slice> slices;
    for (int i = 0; i < 16; ++i) slices.push_back(target_->Slice(SLIPWAY_OP_WRITE, local_, 4096, own, 0));
    uint32_t accepted = 0;
    target_->Submit(slices, &accepted);
    ASSERT_EQ(accepted, 16u);
    std::thread control(
        [&] { EXPECT_EQ(Template().quiesce(target_->instance(), 20'000'000'000, nullptr), SLIPWAY_OK); });
    for (const slipway_completion& d : target_->Drain(16)) {
      EXPECT_TRUE(d.status == SLIPWAY_OK || d.status == SLIPWAY_E_CANCELED) << d.status;
    }
    control.join();
  }
}

// The sanitizers see a copy that goes on after deregister_memory said OK.
TEST_F(TemplateTest, AfterDeregistrationNobodyTouchesTheMemory) {
  for (int round = 0; round < 50; ++round) {
    Meet();
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> written{0};
    std::thread writing = WriteUntil(stop, written);
    EXPECT_TRUE(test::WaitUntil([&] { return written > 3; }));
    EXPECT_TRUE(test::WaitUntil([&] { return target_->Deregister(mr_) == SLIPWAY_OK; }));
    std::memset(memory_.get(), 0x55, kBytes);
    const uint64_t before = written;
    stop = true;
    writing.join();
    // One that had completed may be counted late.
    EXPECT_LE(written, before + 1);
    for (uint64_t i = 0; i < kBytes; ++i) ASSERT_EQ(memory_[i], 0x55) << "byte " << i;
  }
}

// With everything that it made: not even the registration is let go of first.
TEST_F(TemplateTest, APeerIsDestroyedUnderTraffic) {
  for (int round = 0; round < 50; ++round) {
    Meet();
    auto memory = std::make_unique<char[]>(kBytes);
    const slipway_range range = {sizeof(range), SLIPWAY_ACCESS_ALL, memory.get(), kBytes, SLIPWAY_MEM_HOST, -1, -1, 0};
    slipway_instance* short_lived = nullptr;
    slipway_mr* mr = nullptr;
    ASSERT_EQ(Template().create(host_.table(), "{}", 2, &short_lived, nullptr), SLIPWAY_OK);
    ASSERT_EQ(Template().register_memory(short_lived, &range, &mr, nullptr), SLIPWAY_OK);
    std::string address(target_->attrs().address_bytes_max, '\0'), blob(target_->attrs().mr_blob_bytes_max, '\0');
    size_t address_bytes = address.size(), blob_bytes = blob.size();
    ASSERT_EQ(Template().export_address(short_lived, address.data(), &address_bytes, nullptr), SLIPWAY_OK);
    ASSERT_EQ(Template().export_mr(short_lived, mr, blob.data(), &blob_bytes, nullptr), SLIPWAY_OK);
    remote_ = writer_->Import(writer_->Connect(address.substr(0, address_bytes)), blob.substr(0, blob_bytes));
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> written{0};
    std::thread writing = WriteUntil(stop, written);
    EXPECT_TRUE(test::WaitUntil([&] { return written > 3; }));
    Template().destroy(short_lived);
    memory.reset();
    stop = true;
    writing.join();
    EXPECT_TRUE(IsPeerStatus(Write()));
  }
}

TEST_F(TemplateTest, AForkedChildBeginsWithInstancesOfItsOwn) {
  if ((Template().caps & SLIPWAY_CAP_CROSS_PROCESS) != 0) GTEST_SKIP() << "reaches its parent";
  const pid_t child = fork();
  if (child == 0) {
    EXPECT_EQ(writer_->Ready(peer_), SLIPWAY_E_FORKED);
    {
      const std::unique_ptr<Node> one = Node::Make(Template(), host_), two = Node::Make(Template(), host_);
      slipway_peer* parent = nullptr;
      EXPECT_EQ(one->TryConnect(address_, &parent), SLIPWAY_E_PEER);
      slipway_remote* const remote = one->Import(one->Connect(two->Address()), two->Export(two->Register(local_, 64)));
      char text[64] = "the child's";
      EXPECT_EQ(one->Write(text, sizeof(text), remote, 0).status, SLIPWAY_OK);
      EXPECT_STREQ(local_, "the child's");
    }
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Write(), SLIPWAY_OK);
  EXPECT_STREQ(memory_.get(), "what is written");
}

}  // namespace
}  // namespace slipway
