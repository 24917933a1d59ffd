// Devices that go away, peers that die, registrations that end, and hostile boards.
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "plugins/cxl/memory.h"
#include "tests/plugins/cxl/window_file.h"

namespace slipway::test {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

class FailureTest : public CxlTest {
 protected:
  std::vector<char> mine_ = RandomBytes(8 * kMiB, 1);
};

TEST_F(FailureTest, ADeviceThatGoesAwayInTheMiddleEndsTheSlicesAndNotTheProcess) {
  const WindowFile other(WindowFile::kBoards + kMiB);
  const std::string json = R"({"windows": [{"device": ")" + other.path() + R"("}, {"device": ")" + file_.path() +
                           R"("}], "piece_bytes": "64KiB"})";
  a_ = Make(json);
  b_ = Make(json);
  const Mapping doomed(file_, 0, 16 * kMiB), safe(other, WindowFile::kBoards, kMiB);
  peer_ = a_->Connect(b_->Address());
  remote_ = a_->Import(peer_, b_->Export(b_->Register(doomed.data(), 16 * kMiB, kRemoteAccess)));
  slipway_remote* const well = a_->Import(peer_, b_->Export(b_->Register(safe.data(), kMiB, kRemoteAccess)));

  // Both in progress when it happens: the first polls copy a part of each.
  uint32_t accepted = 0;
  ASSERT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_WRITE, mine_.data(), 8 * kMiB, remote_, 0),
                        a_->Slice(SLIPWAY_OP_READ, mine_.data(), 8 * kMiB, remote_, 8 * kMiB)},
                       &accepted),
            SLIPWAY_OK);
  std::vector<slipway_completion> done;
  ASSERT_EQ(a_->Poll(done), SLIPWAY_OK);
  ASSERT_TRUE(done.empty());
  file_.Resize(0);
  for (const slipway_completion& c : a_->Drain(2)) {
    EXPECT_EQ(c.status, SLIPWAY_E_DEVICE);
    EXPECT_LT(c.bytes, 8 * kMiB);
  }
  EXPECT_EQ(a_->Write(mine_.data(), 4096, remote_, 0).status, SLIPWAY_E_DEVICE) << "also those that come later";
  EXPECT_THAT(host_.log(), testing::Contains(HasSubstr("unbound")));
  EXPECT_NE(a_->stats().find("\"gone\":true"), std::string::npos);
  // The other window goes on.
  EXPECT_EQ(a_->Write(mine_.data(), kMiB, well, 0).status, SLIPWAY_OK);
  EXPECT_EQ(std::memcmp(safe.data(), mine_.data(), kMiB), 0);
}

TEST_F(FailureTest, WithoutTheWindowThatPeersMeetInNothingCrashes) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "an atomic operation that faults leaves a lock of the thread sanitizer's own held";
#endif
  Start(4 * kMiB);
  file_.Resize(0);
  EXPECT_EQ(a_->Write(mine_.data(), kMiB, remote_, 0).status, SLIPWAY_E_DEVICE);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_DEVICE);
  slipway_remote* none = nullptr;
  EXPECT_EQ(a_->TryImport(peer_, b_->Export(exported_), &none), SLIPWAY_E_DEVICE);
  EXPECT_EQ(b_->Deregister(exported_), SLIPWAY_OK) << "nobody touches what is not there";
}

TEST_F(FailureTest, LocalMemoryThatIsGoneIsNotTheDevicesFault) {
  Start(4 * kMiB);
  WindowFile short_file(kMiB);
  const Mapping local(short_file, 0, kMiB);
  short_file.Resize(4096);
  const slipway_completion done = a_->Write(local.data(), kMiB, remote_, 0);
  EXPECT_EQ(done.status, SLIPWAY_E_IO);
  EXPECT_EQ(a_->Write(mine_.data(), kMiB, remote_, 0).status, SLIPWAY_OK);
  EXPECT_EQ(b_->Deregister(exported_), SLIPWAY_OK) << "the failed slice holds nothing";
}

TEST_F(FailureTest, AfterDeregisteringNobodyWrites) {
  Start(8 * kMiB);
  std::atomic<bool> stop{false};
  std::thread traffic([&] {
    while (!stop) {
      const slipway_status s = a_->Write(mine_.data(), 8 * kMiB, remote_, 0).status;
      ASSERT_TRUE(s == SLIPWAY_OK || s == SLIPWAY_E_STALE_REMOTE) << s;
    }
  });
  ASSERT_TRUE(WaitUntil([&] { return a_->stats().find("\"bytes_written\":0") == std::string::npos; }));
  ASSERT_EQ(b_->Deregister(exported_), SLIPWAY_OK);
  std::memset(there_, 'x', 8 * kMiB);  // the owner's again
  stop = true;
  traffic.join();
  EXPECT_EQ(a_->Write(mine_.data(), kMiB, remote_, 0).status, SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(std::count(there_, there_ + 8 * kMiB, 'x'), static_cast<long>(8 * kMiB));
}

TEST_F(FailureTest, TrafficOnOtherMemoryDoesNotKeepDeregisteringWaiting) {
  Start(8 * kMiB, R"("piece_bytes": "16MiB")");
  char* const second = Allocate(*b_, 2 * kMiB);
  std::atomic<bool> stop{false};
  std::thread traffic([&] {
    while (!stop) ASSERT_EQ(a_->Write(mine_.data(), 8 * kMiB, remote_, 0).status, SLIPWAY_OK);
  });
  for (int i = 0; i < 200; ++i) {
    slipway_mr* const mr = b_->Register(second, 2 * kMiB, kRemoteAccess);
    ASSERT_EQ(b_->Deregister(mr), SLIPWAY_OK);
  }
  stop = true;
  traffic.join();
}

TEST_F(FailureTest, ADeviceOfAnotherIdentityIsStale) {
  const WindowFile other(8 * kMiB);
  a_ = Make(file_.config());
  b_ = Make(R"({"windows": [{"device": ")" + file_.path() + R"("}, {"device": ")" + other.path() + R"("}]})");
  const Mapping its(other, 0, kMiB);
  peer_ = a_->Connect(b_->Address());
  EXPECT_EQ(a_->TryImport(peer_, b_->Export(b_->Register(its.data(), kMiB)), &remote_), SLIPWAY_E_STALE_REMOTE);
  EXPECT_THAT(a_->error().message, HasSubstr("none of this instance's windows"));
}

TEST_F(FailureTest, PeersThatShareInAnotherWayOrElsewhereAreTold) {
  const WindowFile other;
  a_ = Make(R"({"windows": [{"device": ")" + file_.path() + R"(", "identity": "x"}]})");
  b_ = Make(R"({"windows": [{"device": ")" + file_.path() + R"(", "identity": "x"}], "sharing": "coherent"})");
  EXPECT_EQ(a_->TryConnect(b_->Address(), &peer_), SLIPWAY_E_PEER);
  EXPECT_THAT(a_->error().message, HasSubstr("\"sharing\""));
  b_ = Make(other.config());
  EXPECT_EQ(a_->TryConnect(b_->Address(), &peer_), SLIPWAY_E_PEER);
  EXPECT_THAT(a_->error().message, HasSubstr("another device"));
}

TEST_F(FailureTest, AnInstanceThatIsGoneIsNoPeerAnyMore) {
  Start(kMiB);
  const std::string address = b_->Address();
  b_.reset();
  EXPECT_EQ(a_->Write(mine_.data(), 4096, remote_, 0).status, SLIPWAY_E_PEER);
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
  EXPECT_EQ(a_->TryConnect(address, &peer_), SLIPWAY_E_PEER);
  b_ = Make(file_.config());  // takes the same place
  EXPECT_EQ(a_->Write(mine_.data(), 4096, remote_, 0).status, SLIPWAY_E_PEER) << "and is another";
  EXPECT_EQ(a_->TryConnect(address, &peer_), SLIPWAY_E_PEER);
}

// What the two processes of a test tell each other.
struct Lines {
  int to_parent[2], to_child[2];
  Lines() { EXPECT_TRUE(pipe(to_parent) == 0 && pipe(to_child) == 0); }
};

TEST_F(FailureTest, APeerOnAnotherHostThatFallsSilentIsGone) {
  // As hosts that do not see each other's locks: two numbers on one machine.
  const auto config = [&](int host) {
    return R"({"windows": [{"device": ")" + file_.path() +
           R"(", "identity": "x"}], "sharing": "non-coherent", "host_index": )" + std::to_string(host) +
           R"(, "peer_timeout_ms": 300})";
  };
  Lines lines;
  const pid_t child = fork();
  if (child == 0) {
    const std::unique_ptr<Node> node = Make(config(3));
    void* memory = nullptr;
    extension().allocate(node->instance(), kMiB, &memory, nullptr);
    const std::string address = node->Address(), blob = node->Export(node->Register(memory, kMiB, kRemoteAccess));
    if (write(lines.to_parent[1], address.data(), address.size()) < 0 ||
        write(lines.to_parent[1], blob.data(), blob.size()) < 0)
      _exit(1);
    pause();
    _exit(0);
  }
  a_ = Make(config(2));
  std::string address(a_->attrs().address_bytes_max, '\0'), blob(a_->attrs().mr_blob_bytes_max, '\0');
  for (std::string* text : {&address, &blob}) {
    ASSERT_EQ(read(lines.to_parent[0], text->data(), text->size()), static_cast<ssize_t>(text->size()));
  }
  peer_ = a_->Connect(address);
  remote_ = a_->Import(peer_, blob);
  ASSERT_EQ(a_->Write(mine_.data(), kMiB, remote_, 0).status, SLIPWAY_OK);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(WaitUntil([&] { return a_->Write(mine_.data(), 64, remote_, 0).status == SLIPWAY_E_PEER; }));
  EXPECT_EQ(a_->Ready(peer_), SLIPWAY_E_PEER);
}

TEST_F(FailureTest, ARegistrationThatItsBoardDoesNotBearOutIsRefused) {
  Start(kMiB);
  const std::string blob = b_->Export(exported_);
  // The owner's board, as a hostile peer would change it.
  const Mapping boards(file_, 0, WindowFile::kBoards);
  cxl::Slot* slot = nullptr;
  for (uint32_t board = 0; board < 2 && slot == nullptr; ++board) {
    auto& its = *reinterpret_cast<cxl::Board*>(boards.data() + board * cxl::kBoardBytes);
    if (its.slots[0].key.load() != 0) slot = &its.slots[0];
  }
  ASSERT_NE(slot, nullptr);
  slipway_remote* out = nullptr;
  slot->length.store(uint64_t{1} << 40);
  EXPECT_EQ(a_->TryImport(peer_, blob, &out), SLIPWAY_E_PROTOCOL);
  slot->length.store(kMiB);
  slot->offset.store(0);
  EXPECT_EQ(a_->TryImport(peer_, blob, &out), SLIPWAY_E_PROTOCOL);
  // Now with a name that agrees with the board, as who owns both can make it.
  cxl::MrBlob lie;
  ASSERT_TRUE(cxl::Decode(blob, lie));
  const uint64_t device_bytes = WindowFile::kBoards + (32 << 20);
  const std::pair<uint64_t, uint64_t> places[] = {
      {device_bytes - 4096, 8192}, {device_bytes, 1}, {uint64_t{1} << 40, 4096},          {UINT64_MAX - 4095, 8192},
      {4096, UINT64_MAX - 4096},   {0, 4096},         {WindowFile::kBoards - 4096, 4096}, {0, UINT64_MAX}};
  for (const auto& [offset, length] : places) {
    lie.offset = offset;
    lie.length = length;
    slot->offset.store(offset);
    slot->length.store(length);
    EXPECT_EQ(a_->TryImport(peer_, cxl::Encode(lie), &out), SLIPWAY_E_PROTOCOL) << length << " bytes at " << offset;
  }
}

}  // namespace
}  // namespace slipway::test
