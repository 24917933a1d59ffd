// What is registered, who may reach it, and what happens to those who hold on to what was revoked.
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/plugins/local-memcpy/pair.h"

namespace slipway::test {
namespace {

using testing::HasSubstr;

class RegistrationTest : public LocalMemcpyTest {};

TEST_F(RegistrationTest, LocalAccessNeedsNoRegistrationAndRemoteAccessDoes) {
  Start();
  char* const at = there_.data();
  const slipway_reg_info local = a_->Query(at, 100, SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE);
  EXPECT_EQ(local.state, uint32_t{SLIPWAY_REG_NOT_REQUIRED});
  EXPECT_EQ(local.prefix_bytes, 100u);
  EXPECT_EQ(local.mr, nullptr);
  EXPECT_EQ(a_->Query(at, 100, SLIPWAY_ACCESS_REMOTE_READ).state, uint32_t{SLIPWAY_REG_NONE});  // it is b's
  const slipway_reg_info full = b_->Query(at + 5, 100, SLIPWAY_ACCESS_REMOTE_READ);
  EXPECT_EQ(full.state, uint32_t{SLIPWAY_REG_FULL});
  EXPECT_EQ(full.mr, exported_);
}

TEST_F(RegistrationTest, TheAnswerIsThePrefixThatOneRegistrationCovers) {
  Start();
  std::vector<char> x(300);
  slipway_mr* const first = b_->Register(x.data(), 100, kRemoteAccess);
  slipway_mr* const second = b_->Register(x.data() + 100, 100, SLIPWAY_ACCESS_REMOTE_READ);
  const slipway_reg_info across = b_->Query(x.data() + 40, 100, SLIPWAY_ACCESS_REMOTE_READ);
  EXPECT_EQ(across.state, uint32_t{SLIPWAY_REG_PARTIAL});
  EXPECT_EQ(across.prefix_bytes, 60u);
  EXPECT_EQ(across.mr, first);
  EXPECT_EQ(b_->Query(x.data() + 100, 50, SLIPWAY_ACCESS_REMOTE_WRITE).state, uint32_t{SLIPWAY_REG_NONE});
  EXPECT_EQ(b_->Query(x.data() + 150, 100, SLIPWAY_ACCESS_REMOTE_READ).prefix_bytes, 50u);
  ASSERT_EQ(b_->Deregister(second), SLIPWAY_OK);
  const slipway_reg_info gone = b_->Query(x.data() + 150, 10, SLIPWAY_ACCESS_REMOTE_READ);
  EXPECT_EQ(gone.state, uint32_t{SLIPWAY_REG_NONE});
  EXPECT_NE(gone.generation, across.generation);
}

TEST_F(RegistrationTest, TheSameRangeTwiceIsTwoRegistrations) {
  Start();
  slipway_mr* const again = b_->Register(there_.data(), there_.size(), kRemoteAccess);
  ASSERT_NE(again, exported_);
  ASSERT_EQ(b_->Deregister(exported_), SLIPWAY_OK);
  EXPECT_EQ(b_->Query(there_.data(), 10, kRemoteAccess).mr, again);
  slipway_remote* const remote = a_->Import(peer_, b_->Export(again));
  char byte = 'x';
  EXPECT_EQ(a_->Write(&byte, 1, remote, 3).status, SLIPWAY_OK);
  EXPECT_EQ(a_->Write(&byte, 1, remote_, 3).status, SLIPWAY_E_STALE_REMOTE);
}

TEST_F(RegistrationTest, WhatWasGrantedIsKeptTo) {
  Start();
  std::vector<char> x(100), y(100);
  slipway_mr* const read_only = b_->Register(x.data(), x.size(), SLIPWAY_ACCESS_REMOTE_READ);
  slipway_remote* const remote = a_->Import(peer_, b_->Export(read_only));
  EXPECT_EQ(a_->Write(y.data(), 10, remote, 0).status, SLIPWAY_E_ACCESS);
  EXPECT_EQ(a_->Read(y.data(), 10, remote, 91).status, SLIPWAY_E_RANGE);
  EXPECT_EQ(a_->Read(y.data(), 10, remote, UINT64_MAX - 4).status, SLIPWAY_E_RANGE);
  EXPECT_EQ(a_->Read(y.data(), 10, remote, 90).status, SLIPWAY_OK);
}

TEST_F(RegistrationTest, MemoryForLocalUseAloneIsNotExported) {
  Start();
  std::vector<char> x(100);
  slipway_mr* const local = b_->Register(x.data(), x.size(), SLIPWAY_ACCESS_LOCAL_READ);
  size_t length = 0;
  slipway_error error = EmptyError();
  EXPECT_EQ(transport_.export_mr(b_->instance(), local, nullptr, &length, &error), SLIPWAY_E_INVALID);
  EXPECT_THAT(error.message, HasSubstr("REMOTE_READ"));
}

TEST_F(RegistrationTest, ARevokedRegistrationIsStaleForSlicesAndImports) {
  Start();
  const std::string blob = b_->Export(exported_);
  const std::vector<char> before = there_;
  ASSERT_EQ(b_->Deregister(exported_), SLIPWAY_OK);
  std::vector<char> x = RandomBytes(600'000, 9);
  EXPECT_EQ(a_->Write(x.data(), 10, remote_, 0).status, SLIPWAY_E_STALE_REMOTE);
  const slipway_completion large = a_->Write(x.data(), x.size(), remote_, 0);
  EXPECT_EQ(large.status, SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(large.bytes, 0u);
  EXPECT_EQ(there_, before);
  slipway_remote* remote = nullptr;
  EXPECT_EQ(a_->TryImport(peer_, blob, &remote), SLIPWAY_E_STALE_REMOTE);
}

TEST_F(RegistrationTest, APeerThatIsGoneFailsItsSlicesAndSaysSo) {
  Start();
  const std::string address = b_->Address();
  b_.reset();
  char x[100];
  EXPECT_EQ(a_->Write(x, 100, remote_, 0).status, SLIPWAY_E_PEER);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
  EXPECT_THAT(a_->error().message, HasSubstr("shut down"));
  slipway_peer* peer = nullptr;
  EXPECT_EQ(a_->TryConnect(address, &peer), SLIPWAY_E_PEER);
}

TEST_F(RegistrationTest, ARegistrationOfAnotherInstanceThanThePeerIsStale) {
  Start();
  const auto c = Node::Make(transport_, host_);
  std::vector<char> x(10);
  slipway_remote* remote = nullptr;
  EXPECT_EQ(a_->TryImport(peer_, c->Export(c->Register(x.data(), x.size())), &remote), SLIPWAY_E_STALE_REMOTE);
}

TEST_F(RegistrationTest, ADamagedNameIsRefusedWhicheverBitIsWrong) {
  Start();
  const std::string address = b_->Address(), blob = b_->Export(exported_);
  for (size_t bit = 0; bit < address.size() * 8; ++bit) {
    std::string bad = address;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    slipway_peer* peer = nullptr;
    ASSERT_EQ(a_->TryConnect(bad, &peer), SLIPWAY_E_PROTOCOL) << bit;
  }
  for (size_t bit = 0; bit < blob.size() * 8; ++bit) {
    std::string bad = blob;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    slipway_remote* remote = nullptr;
    ASSERT_EQ(a_->TryImport(peer_, bad, &remote), SLIPWAY_E_PROTOCOL) << bit;
  }
  for (size_t size = 0; size < blob.size(); ++size) {
    slipway_remote* remote = nullptr;
    ASSERT_EQ(a_->TryImport(peer_, blob.substr(0, size), &remote), SLIPWAY_E_PROTOCOL) << size;
  }
  slipway_remote* remote = nullptr;
  EXPECT_EQ(a_->TryImport(peer_, blob + "x", &remote), SLIPWAY_E_PROTOCOL);
  EXPECT_EQ(a_->TryImport(peer_, address, &remote), SLIPWAY_E_PROTOCOL);
}

// Deregistering is what makes it safe to free memory: a copy in progress is waited for, and nothing comes after.
TEST_F(RegistrationTest, NothingTouchesMemoryAfterItWasDeregistered) {
  Start(4 << 20);
  std::vector<char> x(4 << 20, 'w');
  for (int round = 0; round < 20; ++round) {
    slipway_mr* const mr = b_->Register(there_.data(), there_.size(), kRemoteAccess);
    slipway_remote* const remote = a_->Import(peer_, b_->Export(mr));
    uint32_t accepted = 0;
    ASSERT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_WRITE, x.data(), x.size(), remote, 0)}, &accepted), SLIPWAY_OK);
    while (b_->Deregister(mr) == SLIPWAY_E_BUSY) {
    }
    std::memset(there_.data(), round, there_.size());  // a sanitizer sees the race, and the check sees the bytes
    const slipway_completion done = a_->Drain(1).at(0);
    EXPECT_TRUE(done.status == SLIPWAY_OK || done.status == SLIPWAY_E_STALE_REMOTE) << done.status;
    EXPECT_LE(done.bytes, x.size());
    for (const char c : there_) ASSERT_EQ(c, round);
    ASSERT_EQ(a_->Release(remote), SLIPWAY_OK);
  }
}

TEST_F(RegistrationTest, RegisteringAndAskingFromManyThreadsDuringTraffic) {
  Start(256 << 10);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::vector<char> x(4096);
      while (!stop) {
        const slipway_range range = {sizeof(range), kRemoteAccess, x.data(), x.size(), SLIPWAY_MEM_HOST, -1, -1, 0};
        slipway_mr* mr = nullptr;
        ASSERT_EQ(transport_.register_memory(b_->instance(), &range, &mr, nullptr), SLIPWAY_OK);
        slipway_reg_info info{};
        info.struct_size = sizeof(info);
        ASSERT_EQ(transport_.query_registered(b_->instance(), &range, &info), SLIPWAY_OK);
        ASSERT_EQ(info.state, uint32_t{SLIPWAY_REG_FULL}) << t;
        ASSERT_EQ(transport_.deregister_memory(b_->instance(), mr), SLIPWAY_OK);
      }
    });
  }
  std::vector<char> x(200'000);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(a_->Read(x.data(), x.size(), remote_, 0).status, SLIPWAY_OK);
  stop = true;
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace slipway::test
