// Peers in two processes: shared memory is mapped and copied to, private memory is written where the system lets us,
// and whatever happens to the other process, every slice ends.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <thread>

#include "slipway/abi/segment_memory.h"
#include "tests/plugins/local-memcpy/other_process.h"

namespace slipway::test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr long kNobody = 65534;

class ProcessTest : public LocalMemcpyTest {
 protected:
  void SetUp() override { a_ = Node::Make(transport_, host_, kSmallPieces); }

  void ConnectTo(OtherProcess& other) { peer_ = a_->Connect(other.Address()); }
  // Writes and reads whole and odd parts, and looks with the other's eyes.
  void MoveBothWays(OtherProcess& other, const OtherProcess::Exposed& exposed, uint64_t bytes) {
    slipway_remote* const remote = a_->Import(peer_, exposed.blob);
    std::vector<char> sent = RandomBytes(bytes, bytes);
    slipway_completion done = a_->Write(sent.data(), bytes, remote, 0);
    ASSERT_EQ(done.status, SLIPWAY_OK);
    EXPECT_EQ(done.bytes, bytes);
    EXPECT_EQ(other.Sum(exposed.id), SumOf(sent.data(), bytes));
    const uint64_t part = std::max<uint64_t>(bytes / 3, 1), offset = bytes / 2;
    const std::vector<char> patch = RandomBytes(part, 5);
    std::copy(patch.begin(), patch.end(), sent.begin() + static_cast<ptrdiff_t>(offset));
    ASSERT_EQ(a_->Write(sent.data() + offset, part, remote, offset).status, SLIPWAY_OK);
    EXPECT_EQ(other.Sum(exposed.id), SumOf(sent.data(), bytes));
    std::vector<char> back(bytes);
    ASSERT_EQ(a_->Read(back.data(), bytes, remote, 0).status, SLIPWAY_OK);
    EXPECT_EQ(back, sent);
    EXPECT_EQ(a_->Release(remote), SLIPWAY_OK);
  }
  char* Shared(Node& node, uint64_t bytes) {
    void* out = nullptr;
    const auto& memory =
        *static_cast<const slipway_segment_memory*>(transport_.get_extension(SLIPWAY_SEGMENT_MEMORY_ID));
    EXPECT_EQ(memory.allocate(node.instance(), bytes, -1, &out, &node.error()), SLIPWAY_OK);
    return static_cast<char*>(out);
  }
};

// The two kinds of memory are reached in different ways and behave the same.
class MemoryKindTest : public ProcessTest, public testing::WithParamInterface<const char*> {
 protected:
  // False where the system does not let this process at the other's private memory.
  bool CanReach(const std::string& blob) {
    slipway_remote* remote = nullptr;
    const slipway_status status = a_->TryImport(peer_, blob, &remote);
    if (status == SLIPWAY_E_UNSUPPORTED) return false;
    EXPECT_EQ(status, SLIPWAY_OK) << a_->error().message;
    EXPECT_EQ(a_->Release(remote), SLIPWAY_OK);
    return true;
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, MemoryKindTest, testing::Values("shared", "private"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(MemoryKindTest, BytesGoBothWays) {
  OtherProcess other(kSmallPieces);
  ConnectTo(other);
  for (const uint64_t bytes : {1u, 63u, 1024u, 1025u, 65537u, 3u << 20}) {
    const OtherProcess::Exposed exposed = other.Expose(GetParam(), bytes);
    if (!CanReach(exposed.blob)) GTEST_SKIP() << "process_vm_readv is forbidden here";
    MoveBothWays(other, exposed, bytes);
  }
}

TEST_P(MemoryKindTest, AfterDeregisteringNobodyWrites) {
  constexpr uint64_t kBytes = 1 << 20;
  OtherProcess other(kSmallPieces);
  std::vector<char> own(kBytes);
  const bool shared = GetParam() == std::string("shared");
  char* const memory = shared ? Shared(*a_, kBytes) : own.data();
  for (int round = 0; round < 3; ++round) {
    slipway_mr* const mr = a_->Register(memory, kBytes, kRemoteAccess);
    other.Tell("hammer " + ToHex(a_->Address()) + " " + ToHex(a_->Export(mr)) + " " + std::to_string(kBytes));
    const std::string started = other.Line();
    if (started != "started") GTEST_SKIP() << "process_vm_writev is forbidden here";
    slipway_status status = SLIPWAY_E_BUSY;
    WaitUntil([&] { return (status = a_->Deregister(mr)) != SLIPWAY_E_BUSY; });
    ASSERT_EQ(status, SLIPWAY_OK);
    const uint64_t before = SumOf(memory, kBytes);
    EXPECT_EQ(std::atol(other.Line().c_str()), SLIPWAY_E_STALE_REMOTE);
    EXPECT_EQ(SumOf(memory, kBytes), before) << "written after deregister_memory returned OK";
  }
}

TEST_P(MemoryKindTest, ADeadPeerIsNoticedAtOnce) {
  OtherProcess other(kSmallPieces);
  ConnectTo(other);
  const OtherProcess::Exposed exposed = other.Expose(GetParam(), 1 << 20);
  if (!CanReach(exposed.blob)) GTEST_SKIP() << "process_vm_readv is forbidden here";
  slipway_remote* const remote = a_->Import(peer_, exposed.blob);
  std::vector<char> data(1 << 20);
  ASSERT_EQ(a_->Write(data.data(), data.size(), remote, 0).status, SLIPWAY_OK);
  other.Stop();
  std::vector<slipway_slice> slices;
  for (uint64_t i = 0; i < 16; ++i)
    slices.push_back(a_->Slice(SLIPWAY_OP_WRITE, data.data(), 64 << 10, remote, i << 16));
  uint32_t accepted = 0;
  ASSERT_EQ(a_->Submit(slices, &accepted), SLIPWAY_OK);
  other.Kill();
  for (const slipway_completion& done : a_->Drain(accepted)) {
    EXPECT_THAT(done.status, AnyOf(SLIPWAY_OK, SLIPWAY_E_PEER));
  }
  EXPECT_EQ(a_->Write(data.data(), 64, remote, 0).status, SLIPWAY_E_PEER);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
  EXPECT_STRNE(a_->error().message, "");
}

TEST_P(MemoryKindTest, AStoppedPeerIsWrittenToAllTheSame) {
  OtherProcess other(kSmallPieces);
  ConnectTo(other);
  const OtherProcess::Exposed exposed = other.Expose(GetParam(), 1 << 20);
  if (!CanReach(exposed.blob)) GTEST_SKIP() << "process_vm_readv is forbidden here";
  slipway_remote* const remote = a_->Import(peer_, exposed.blob);
  std::vector<char> data = RandomBytes(1 << 20, 3);
  ASSERT_EQ(a_->Write(data.data(), 1, remote, 0).status, SLIPWAY_OK);
  other.Stop();
  EXPECT_EQ(a_->Write(data.data(), data.size(), remote, 0).status, SLIPWAY_OK);
  other.Continue();
  EXPECT_EQ(other.Sum(exposed.id), SumOf(data.data(), data.size()));
}

TEST_P(MemoryKindTest, ARegistrationThatWasRevokedIsStale) {
  OtherProcess other;
  ConnectTo(other);
  const OtherProcess::Exposed exposed = other.Expose(GetParam(), 4096);
  if (!CanReach(exposed.blob)) GTEST_SKIP() << "process_vm_readv is forbidden here";
  slipway_remote* const remote = a_->Import(peer_, exposed.blob);
  char byte = 1;
  ASSERT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_OK);
  ASSERT_EQ(other.AskNumber("deregister " + exposed.id), SLIPWAY_OK);
  EXPECT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_E_STALE_REMOTE);
  // One that is imported only now, and one that takes its place.
  slipway_remote* late = nullptr;
  ASSERT_EQ(a_->TryImport(peer_, exposed.blob, &late), SLIPWAY_OK);
  EXPECT_EQ(a_->Write(&byte, 1, late, 0).status, SLIPWAY_E_STALE_REMOTE);
  other.Expose(GetParam(), 4096);
  EXPECT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_E_STALE_REMOTE);
}

TEST_F(ProcessTest, AnInstanceThatIsShutDownIsGoneAtOnce) {
  OtherProcess other;
  ConnectTo(other);
  slipway_remote* const remote = a_->Import(peer_, other.Expose("shared", 4096).blob);
  char byte = 1;
  ASSERT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_OK);
  ASSERT_EQ(other.Ask("destroy"), "ok");
  EXPECT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_E_PEER);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
}

TEST_F(ProcessTest, WhatIsPublishedForReadingCannotBeWritten) {
  OtherProcess other;
  ConnectTo(other);
  const OtherProcess::Exposed exposed = other.Expose("shared", 8192, SLIPWAY_ACCESS_REMOTE_READ);
  other.Ask("fill " + exposed.id + " 7");
  slipway_remote* const remote = a_->Import(peer_, exposed.blob);
  std::vector<char> data(8192);
  ASSERT_EQ(a_->Read(data.data(), data.size(), remote, 0).status, SLIPWAY_OK);
  EXPECT_EQ(data, std::vector<char>(8192, 7));
  uint32_t accepted = 0;
  EXPECT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_WRITE, data.data(), 1, remote, 0)}, &accepted), SLIPWAY_E_ACCESS);
}

TEST_F(ProcessTest, APeerThatDoesNotAnswerEndsWhatWaitsForIt) {
  OtherProcess other;
  ConnectTo(other);
  const OtherProcess::Exposed exposed = other.Expose("shared", 4096);
  other.Stop();
  host_.StopClock();
  slipway_remote* const remote = a_->Import(peer_, exposed.blob);  // asks, and does not wait
  char byte = 1;
  uint32_t accepted = 0;
  ASSERT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_WRITE, &byte, 1, remote, 0)}, &accepted), SLIPWAY_OK);
  host_.Advance(uint64_t{6} * 1'000'000'000);  // peer_timeout_ms is 5000
  const auto done = a_->Drain(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].status, SLIPWAY_E_PEER);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
  EXPECT_THAT(a_->error().message, HasSubstr("peer_timeout_ms"));
  other.Continue();
}

TEST_F(ProcessTest, WhatWaitsForAnAnswerCanBeCanceled) {
  OtherProcess other;
  ConnectTo(other);
  const OtherProcess::Exposed exposed = other.Expose("shared", 4096);
  other.Stop();
  slipway_remote* const remote = a_->Import(peer_, exposed.blob);
  char byte = 1;
  uint32_t accepted = 0;
  const slipway_slice slice = a_->Slice(SLIPWAY_OP_WRITE, &byte, 1, remote, 0);
  ASSERT_EQ(a_->Submit({slice}, &accepted), SLIPWAY_OK);
  ASSERT_EQ(transport_.cancel(a_->channel(), slice.token), SLIPWAY_OK);
  const auto done = a_->Drain(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].status, SLIPWAY_E_CANCELED);
  other.Continue();
}

TEST_F(ProcessTest, APeerThatCameBackIsAnother) {
  auto other = std::make_unique<OtherProcess>();
  ConnectTo(*other);
  const std::string old = other->Expose("shared", 4096).blob, old_address = other->Address();
  slipway_remote* const remote = a_->Import(peer_, old);
  other = std::make_unique<OtherProcess>();
  slipway_peer* const again = a_->Connect(other->Address());
  slipway_remote* stale = nullptr;
  EXPECT_EQ(a_->TryImport(again, old, &stale), SLIPWAY_E_STALE_REMOTE);
  char byte = 1;
  EXPECT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_E_PEER);
  slipway_peer* gone = nullptr;
  EXPECT_EQ(a_->TryConnect(old_address, &gone), SLIPWAY_E_PEER);
}

TEST_F(ProcessTest, AChildThatHoldsThePeersSocketsIsNotThePeer) {
  OtherProcess other;
  ConnectTo(other);
  const std::string address = other.Address();
  slipway_remote* const remote = a_->Import(peer_, other.Expose("shared", 4096).blob);
  char byte = 1;
  ASSERT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_OK);
  const auto child = static_cast<pid_t>(other.AskNumber("fork"));
  ASSERT_GT(child, 0);
  other.Kill();
  EXPECT_EQ(a_->Write(&byte, 1, remote, 0).status, SLIPWAY_E_PEER);
  slipway_peer* gone = nullptr;
  slipway_status status = a_->TryConnect(address, &gone);
  if (status == SLIPWAY_OK) WaitUntil([&] { return (status = a_->Ready(gone)) != SLIPWAY_IN_PROGRESS; });
  EXPECT_EQ(status, SLIPWAY_E_PEER);
  kill(child, SIGKILL);
}

// ---- what the system forbids -----------------------------------------------------------------------------------

// From now on this thread, and those that it starts, may not touch other processes' memory.
bool ForbidProcessCopies() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(ProcessTest, WherePrivateMemoryIsForbiddenThatIsSaidOnceAndSharedMemoryWorks) {
  OtherProcess other(kSmallPieces);
  bool forbidden = false;
  std::thread([&] {
    forbidden = ForbidProcessCopies();
    if (!forbidden) return;
    TestHost host;
    a_ = Node::Make(transport_, host, kSmallPieces);
    ConnectTo(other);
    for (int i = 0; i < 3; ++i) {
      slipway_remote* remote = nullptr;
      EXPECT_EQ(a_->TryImport(peer_, other.Expose("private", 4096).blob, &remote), SLIPWAY_E_UNSUPPORTED);
      EXPECT_THAT(a_->error().message, HasSubstr("slipway_memory_allocate"));
    }
    EXPECT_EQ(host.log().size(), 1u) << "said once";
    MoveBothWays(other, other.Expose("shared", 100'000), 100'000);
    a_.reset();
  }).join();
  if (!forbidden) GTEST_SKIP() << "no seccomp here";
}

TEST_F(ProcessTest, AnotherUsersProcessIsNotTrusted) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  OtherProcess other("{}", std::to_string(kNobody));
  slipway_peer* peer = nullptr;
  EXPECT_EQ(a_->TryConnect(other.Address(), &peer), SLIPWAY_E_ACCESS);
  EXPECT_THAT(a_->error().message, HasSubstr("users"));
}

TEST_F(ProcessTest, AnotherUserIsLetInWhereTheConfigurationSaysSo) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  OtherProcess trusting(R"({"users": [0]})", std::to_string(kNobody));
  EXPECT_EQ(trusting.AskNumber("connect " + ToHex(a_->Address())), SLIPWAY_E_ACCESS)
      << "and is refused by the other side";
  a_ = Node::Make(transport_, host_, R"({"users": [65534]})");
  EXPECT_EQ(trusting.AskNumber("connect " + ToHex(a_->Address())), SLIPWAY_OK);
  ConnectTo(trusting);
  MoveBothWays(trusting, trusting.Expose("shared", 5000), 5000);
}

TEST_F(ProcessTest, AnInstanceThatKeepsToItselfSaysSo) {
  const auto alone = Node::Make(transport_, host_, R"({"cross_process": false})");
  EXPECT_EQ(alone->attrs().caps & (SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_PEER_FAILURE), 0u);
  OtherProcess other;
  slipway_peer* peer = nullptr;
  EXPECT_EQ(alone->TryConnect(other.Address(), &peer), SLIPWAY_E_PEER);
  EXPECT_THAT(alone->error().message, HasSubstr("cross_process"));
  EXPECT_EQ(other.AskNumber("connect " + ToHex(alone->Address())), SLIPWAY_E_PEER);
}

TEST_F(ProcessTest, NoFlippedBitIsBelieved) {
  OtherProcess other;
  ConnectTo(other);
  const std::string address = other.Address(), blob = other.Expose("shared", 4096).blob;
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    std::string bad_address = address, bad_blob = blob;
    bad_address[random() % address.size()] ^= static_cast<char>(1 << random() % 8);
    bad_blob[random() % blob.size()] ^= static_cast<char>(1 << random() % 8);
    slipway_peer* peer = nullptr;
    slipway_remote* remote = nullptr;
    ASSERT_EQ(a_->TryConnect(bad_address, &peer), SLIPWAY_E_PROTOCOL);
    ASSERT_EQ(a_->TryImport(peer_, bad_blob, &remote), SLIPWAY_E_PROTOCOL);
  }
}

}  // namespace
}  // namespace slipway::test
