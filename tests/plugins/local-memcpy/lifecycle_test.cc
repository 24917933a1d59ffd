// From probe to destroy, also where the core forgets something, forks, or passes nonsense.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/plugins/local-memcpy/pair.h"

#if defined(__SANITIZE_THREAD__)
#define SLIPWAY_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLIPWAY_TEST_TSAN 1
#endif
#endif

namespace slipway::test {
namespace {

using testing::HasSubstr;

class LifecycleTest : public LocalMemcpyTest {
 protected:
  static size_t Threads() {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}));
  }
  slipway_error ConfigError(const std::string& json) {
    slipway_error error = EmptyError();
    EXPECT_EQ(Node::Create(transport_, host_, json, &error), nullptr) << json;
    EXPECT_EQ(error.code, SLIPWAY_E_CONFIG) << json;
    return error;
  }
};

TEST_F(LifecycleTest, ProbeTellsWhatAnInstanceWouldOfferAndLeavesNothing) {
  const size_t before = Threads();
  slipway_attrs attrs{};
  attrs.struct_size = sizeof(attrs);
  ASSERT_EQ(transport_.probe(host_.table(), "{}", 2, &attrs, nullptr), SLIPWAY_OK);
  EXPECT_EQ(attrs.caps, transport_.caps & ~SLIPWAY_CAP_SLICE_KIND) << "this host copies no memory of devices";
  EXPECT_EQ(attrs.caps & (SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_NEEDS_LOCAL_REG), SLIPWAY_CAP_CROSS_PROCESS);
  EXPECT_EQ(attrs.mem_kinds, SLIPWAY_MEM_HOST);
  EXPECT_EQ(attrs.pins_per_reg, 0u);
  EXPECT_EQ(Threads(), before);
  const auto node = Node::Make(transport_, host_);
  const slipway_attrs real = node->attrs();
  EXPECT_EQ(std::memcmp(&attrs, &real, sizeof(attrs)), 0);
}

TEST_F(LifecycleTest, CyclesLeaveNoThreadBehind) {
  Node::Make(transport_, host_);
  const size_t before = Threads();
  for (int i = 0; i < 50; ++i) Start(1000);
  a_.reset();
  b_.reset();
  EXPECT_EQ(Threads(), before);
}

TEST_F(LifecycleTest, DestroyReleasesWhatTheCoreForgot) {
  slipway_instance* instance = nullptr;
  ASSERT_EQ(transport_.create(host_.table(), "{}", 2, &instance, nullptr), SLIPWAY_OK);
  Start(8 << 20);
  slipway_channel* channel = nullptr;
  ASSERT_EQ(transport_.channel_open(instance, this, &channel, nullptr), SLIPWAY_OK);
  slipway_peer* peer = nullptr;
  const std::string address = b_->Address(), blob = b_->Export(exported_);
  ASSERT_EQ(transport_.connect(instance, address.data(), address.size(), &peer, nullptr), SLIPWAY_OK);
  slipway_remote* remote = nullptr;
  ASSERT_EQ(transport_.import_mr(peer, blob.data(), blob.size(), &remote, nullptr), SLIPWAY_OK);
  std::vector<char> x(there_.size());
  const slipway_slice s = {1, SLIPWAY_OP_READ, 0, x.data(), x.size(), nullptr, remote, 0, 0};
  uint32_t accepted = 0;
  ASSERT_EQ(transport_.submit(channel, &s, sizeof(s), 1, &accepted, nullptr), SLIPWAY_OK);
  transport_.destroy(instance);
  std::fill(x.begin(), x.end(), 1);  // ours again: a sanitizer sees any thread still copying
  transport_.destroy(nullptr);
}

TEST_F(LifecycleTest, DestroyingTheTargetDuringATransferIsSafe) {
  for (int round = 0; round < 10; ++round) {
    Start(8 << 20);
    std::vector<char> x(there_.size());
    uint32_t accepted = 0;
    ASSERT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_READ, x.data(), x.size(), remote_, 0)}, &accepted), SLIPWAY_OK);
    transport_.destroy(nullptr);
    b_.reset();
    std::fill(there_.begin(), there_.end(), 1);
    const slipway_completion done = a_->Drain(1).at(0);
    EXPECT_TRUE(done.status == SLIPWAY_OK || done.status == SLIPWAY_E_PEER || done.status == SLIPWAY_E_STALE_REMOTE);
  }
}

TEST_F(LifecycleTest, QuiesceCompletesEverythingAndRefusesMore) {
  Start(8 << 20, R"({"threads": 1})");
  std::vector<char> x(there_.size());
  std::vector<slipway_slice> slices;
  for (int i = 0; i < 16; ++i) slices.push_back(a_->Slice(SLIPWAY_OP_READ, x.data(), x.size(), remote_, 0));
  uint32_t accepted = 0;
  ASSERT_EQ(a_->Submit(slices, &accepted), SLIPWAY_OK);
  ASSERT_EQ(transport_.quiesce(a_->instance(), 5'000'000'000, nullptr), SLIPWAY_OK);
  std::vector<slipway_completion> done;
  ASSERT_EQ(a_->Poll(done), SLIPWAY_OK);
  EXPECT_EQ(done.size(), accepted);
  EXPECT_EQ(a_->Submit(slices, &accepted), SLIPWAY_E_CANCELED);
  EXPECT_EQ(accepted, 0u);
  EXPECT_EQ(transport_.quiesce(b_->instance(), 0, nullptr), SLIPWAY_OK) << "idle";
}

TEST_F(LifecycleTest, AQuiescedTargetRefusesItsPeers) {
  Start();
  ASSERT_EQ(transport_.quiesce(b_->instance(), 0, nullptr), SLIPWAY_OK);
  char x[8];
  EXPECT_EQ(a_->Read(x, 8, remote_, 0).status, SLIPWAY_E_PEER);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
}

TEST_F(LifecycleTest, ObjectsInUseAreBusy) {
  Start();
  EXPECT_EQ(a_->Disconnect(peer_), SLIPWAY_E_BUSY) << "a remote of it is there";
  EXPECT_EQ(a_->Release(remote_), SLIPWAY_OK);
  EXPECT_EQ(a_->Disconnect(peer_), SLIPWAY_OK);
}

TEST_F(LifecycleTest, AForkedChildIsToldAndTheParentGoesOn) {
  Start();
  const std::string address = b_->Address();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    uint32_t accepted = 0;
    char x[8];
    slipway_mr* mr = nullptr;
    int failures = 0;
    failures += a_->Submit({a_->Slice(SLIPWAY_OP_READ, x, 8, remote_, 0)}, &accepted) != SLIPWAY_E_FORKED;
    failures += a_->TryRegister(x, 8, kRemoteAccess, &mr) != SLIPWAY_E_FORKED;
    failures += a_->Ready(peer_) != SLIPWAY_E_FORKED;
    failures += transport_.quiesce(a_->instance(), 0, nullptr) != SLIPWAY_E_FORKED;
    failures += transport_.channel_close(a_->channel()) != SLIPWAY_E_FORKED;
    transport_.destroy(a_->instance());  // returns, and leaves everything alone
#if !defined(__SANITIZE_THREAD__)        // which ends a forked child that starts a thread
    // An instance of the child's own works, and does not take the parent's for one of its process.
    const auto own = Node::Make(transport_, host_, R"({"threads": 1, "cross_process": false})");
    slipway_peer* peer = nullptr;
    failures += own->TryConnect(address, &peer) != SLIPWAY_E_PEER;
#endif
    _exit(failures);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  std::vector<char> x(300'000);
  EXPECT_EQ(a_->Read(x.data(), x.size(), remote_, 0).status, SLIPWAY_OK);
  EXPECT_EQ(std::memcmp(x.data(), there_.data(), x.size()), 0);
}

TEST_F(LifecycleTest, ConfigurationIsReadStrictly) {
  EXPECT_STREQ(ConfigError(R"({"thread": 2})").where, "/thread");
  EXPECT_THAT(ConfigError(R"({"thread": 2})").message, HasSubstr("did you mean \"threads\""));
  EXPECT_THAT(ConfigError(R"({"threads": 65})").message, HasSubstr("0 to 64"));
  EXPECT_THAT(ConfigError(R"({"threads": -1})").message, HasSubstr("out of range"));
  EXPECT_THAT(ConfigError(R"({"threads": 1.5})").message, HasSubstr("expected an integer"));
  EXPECT_THAT(ConfigError(R"({"inline_bytes": "many"})").message, HasSubstr("64KiB"));
  EXPECT_THAT(ConfigError(R"({"threads": 1, "threads": 2})").message, HasSubstr("twice"));
  EXPECT_THAT(ConfigError("[]").message, HasSubstr("not an object"));
  EXPECT_THAT(ConfigError("{").message, HasSubstr("not JSON"));
  EXPECT_THAT(ConfigError(std::string(1000, '[')).message, HasSubstr("32 levels"));
  ConfigError("");
}

TEST_F(LifecycleTest, NullAndTinyArgumentsAreInvalid) {
  Start();
  slipway_instance* out = nullptr;
  EXPECT_EQ(transport_.create(nullptr, "{}", 2, &out, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(transport_.create(host_.table(), nullptr, 2, &out, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(transport_.create(host_.table(), "{}", 2, nullptr, nullptr), SLIPWAY_E_INVALID);
  slipway_attrs attrs{};
  EXPECT_EQ(transport_.get_attrs(a_->instance(), &attrs), SLIPWAY_E_INVALID) << "struct_size is 0";
  EXPECT_EQ(transport_.poll(nullptr, nullptr, 32, 1, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(transport_.deregister_memory(a_->instance(), exported_), SLIPWAY_E_INVALID) << "it is b's";
  size_t length = 10;
  EXPECT_EQ(transport_.export_address(a_->instance(), nullptr, &length, nullptr), SLIPWAY_E_INVALID);
}

TEST_F(LifecycleTest, CountersTellWhatHappened) {
  Start();
  std::vector<char> x(200'000);
  a_->Write(x.data(), 100, remote_, 0);
  a_->Read(x.data(), x.size(), remote_, 0);
  const std::string stats = a_->stats();
  EXPECT_THAT(stats, HasSubstr("\"slices\":2,\"inline_slices\":1"));
  EXPECT_THAT(stats, HasSubstr("\"bytes_read\":200000,\"bytes_written\":100"));
}

}  // namespace
}  // namespace slipway::test
