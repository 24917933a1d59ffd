// What is registered, how far, and what becomes of it when it is not any more.
#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

class TcpRegistration : public testing::Test {
 protected:
  slipway_reg_info Query(const uint8_t* addr, uint64_t length, uint32_t access) {
    slipway_range range{sizeof(range), access, const_cast<uint8_t*>(addr), length, SLIPWAY_MEM_HOST, -1, -1, 0};
    slipway_reg_info info{};
    info.struct_size = sizeof(info);
    EXPECT_EQ(Table().query_registered(node_.instance, &range, &info), SLIPWAY_OK);
    return info;
  }
  Bytes memory_ = Bytes(1 << 16);
  Node node_;
};

constexpr uint32_t kLocal = SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE;
constexpr uint32_t kRead = SLIPWAY_ACCESS_REMOTE_READ, kWrite = SLIPWAY_ACCESS_REMOTE_WRITE;

TEST_F(TcpRegistration, LocalAccessNeedsNoneAndRemoteAccessDoes) {
  const uint8_t* p = memory_.data();
  EXPECT_EQ(Query(p, 10, kLocal).state, static_cast<uint32_t>(SLIPWAY_REG_NOT_REQUIRED));
  EXPECT_EQ(Query(p, 10, kLocal).prefix_bytes, 10u);
  EXPECT_EQ(Query(p, 10, kRead).state, static_cast<uint32_t>(SLIPWAY_REG_NONE));
  slipway_mr* mr = node_.Register(memory_.data() + 100, 1000, kRead);
  EXPECT_EQ(Query(p + 100, 1000, kRead).state, static_cast<uint32_t>(SLIPWAY_REG_FULL));
  EXPECT_EQ(Query(p + 100, 1000, kRead).mr, mr);
  EXPECT_EQ(Query(p + 100, 1000, kRead | kLocal).state, static_cast<uint32_t>(SLIPWAY_REG_FULL))
      << "local access is had without";
  EXPECT_EQ(Query(p + 100, 1000, kRead | kWrite).state, static_cast<uint32_t>(SLIPWAY_REG_NONE));
  EXPECT_EQ(Query(p + 99, 1000, kRead).state, static_cast<uint32_t>(SLIPWAY_REG_NONE));
  const slipway_reg_info tail = Query(p + 200, 1000, kRead);
  EXPECT_EQ(tail.state, static_cast<uint32_t>(SLIPWAY_REG_PARTIAL));
  EXPECT_EQ(tail.prefix_bytes, 900u);
  EXPECT_EQ(Table().deregister_memory(node_.instance, mr), SLIPWAY_OK);
  EXPECT_EQ(Query(p + 100, 1000, kRead).state, static_cast<uint32_t>(SLIPWAY_REG_NONE));
}

TEST_F(TcpRegistration, TheLongestPrefixOfOneThatGrantsEverythingAsked) {
  const uint8_t* p = memory_.data();
  node_.Register(memory_.data(), 100, kRead);
  node_.Register(memory_.data() + 100, 100, kRead);
  EXPECT_EQ(Query(p, 200, kRead).prefix_bytes, 100u) << "two that touch are not one";
  slipway_mr* nested = node_.Register(memory_.data() + 20, 60, kRead | kWrite);
  EXPECT_EQ(Query(p + 20, 100, kRead).prefix_bytes, 80u);
  EXPECT_EQ(Query(p + 20, 100, kRead | kWrite).prefix_bytes, 60u);
  EXPECT_EQ(Query(p + 20, 100, kRead | kWrite).mr, nested);
  node_.Register(memory_.data(), 100, kRead);  // a second time
  EXPECT_EQ(Query(p, 100, kRead).state, static_cast<uint32_t>(SLIPWAY_REG_FULL));
}

// A peer with a registration of the node's, in one process.
class Revocation : public TcpRegistration {
 protected:
  Revocation() {
    mr_ = node_.Register(memory_.data(), memory_.size());
    peer_ = initiator_.Connect(node_);
    remote_ = initiator_.Import(peer_, node_.Export(mr_));
  }
  Node initiator_;
  slipway_mr* mr_ = nullptr;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
};

TEST_F(Revocation, AfterDeregisteringTheKeyIsStaleAlsoForTheNextInItsPlace) {
  const Bytes source = Pattern(100, 1);
  ASSERT_EQ(initiator_.Write(remote_, 0, source.data(), 100), SLIPWAY_OK);
  ASSERT_EQ(Table().deregister_memory(node_.instance, mr_), SLIPWAY_OK);
  slipway_mr* next = node_.Register(memory_.data(), memory_.size());
  const Bytes before = memory_, other = Pattern(100, 2);
  EXPECT_EQ(initiator_.Write(remote_, 0, other.data(), 100), SLIPWAY_E_STALE_REMOTE);
  Bytes back(100, 7);
  EXPECT_EQ(initiator_.Read(remote_, 0, back.data(), 100), SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(back, Bytes(100, 7));
  EXPECT_EQ(memory_, before);
  slipway_remote* fresh = initiator_.Import(peer_, node_.Export(next));
  EXPECT_EQ(initiator_.Write(fresh, 0, other.data(), 100), SLIPWAY_OK) << "the peer is as good as ever";
}

TEST_F(Revocation, SlicesBeyondTheExportAreRefusedByTheTargetToo) {
  // What a peer could make of an export by tampering with it.
  RemoteRegistration r = *DecodeRegistration(node_.Export(mr_));
  r.length *= 2;
  slipway_remote* stretched = initiator_.Import(peer_, EncodeRegistration(r));
  const Bytes source = Pattern(100, 1);
  EXPECT_EQ(initiator_.Write(stretched, memory_.size() - 50, source.data(), 100), SLIPWAY_E_ACCESS);
  slipway_mr* read_only = node_.Register(memory_.data(), memory_.size(), kRead);
  r = *DecodeRegistration(node_.Export(read_only));
  r.access = SLIPWAY_ACCESS_ALL;
  slipway_remote* widened = initiator_.Import(peer_, EncodeRegistration(r));
  EXPECT_EQ(initiator_.Write(widened, 0, source.data(), 100), SLIPWAY_E_ACCESS);
  EXPECT_EQ(memory_, Bytes(1 << 16));
}

TEST_F(Revocation, ForeignAndDamagedBlobsAreRefused) {
  Node other;
  const std::string foreign = other.Export(other.Register(memory_.data(), 10));
  slipway_remote* out = nullptr;
  EXPECT_EQ(Table().import_mr(peer_, foreign.data(), foreign.size(), &out, nullptr), SLIPWAY_E_STALE_REMOTE);
  std::string damaged = node_.Export(mr_);
  damaged[20] = static_cast<char>(damaged[20] ^ 4);
  EXPECT_EQ(Table().import_mr(peer_, damaged.data(), damaged.size(), &out, nullptr), SLIPWAY_E_PROTOCOL);
  std::string address = node_.Address();
  address[20] = static_cast<char>(address[20] ^ 4);
  slipway_peer* peer = nullptr;
  EXPECT_EQ(Table().connect(initiator_.instance, address.data(), address.size(), &peer, nullptr), SLIPWAY_E_PROTOCOL);
  EXPECT_EQ(out, nullptr);
  EXPECT_EQ(peer, nullptr);
}

TEST_F(Revocation, APeerInTheMiddleOfAWriteCannotKeepTheMemory) {
  RawConnection c = RawConnection::To(node_.Address());
  const RemoteRegistration r = *DecodeRegistration(node_.Export(mr_));
  ASSERT_TRUE(c.Greet(r.instance));
  ASSERT_TRUE(c.Send(Request(Op::kWrite, r, 0, 0, 1000)));
  ASSERT_TRUE(c.SendBytes(Bytes(500, 0x33).data(), 500));
  ASSERT_TRUE(node_.WaitCount("target_bytes_in", 500));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Table().deregister_memory(node_.instance, mr_), SLIPWAY_OK);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  const Bytes after = memory_;
  c.SendBytes(Bytes(500, 0x44).data(), 500);
  EXPECT_TRUE(c.WaitClosed());
  EXPECT_EQ(memory_, after);
  EXPECT_EQ(node_.Count("connections_killed_by_deregister"), 1u);
}

TEST_F(Revocation, APeerThatDoesNotTakeItsAnswerCannotKeepTheMemory) {
  Bytes large(32 << 20);
  slipway_mr* mr = node_.Register(large.data(), large.size());
  RawConnection c = RawConnection::To(node_.Address());
  const RemoteRegistration r = *DecodeRegistration(node_.Export(mr));
  ASSERT_TRUE(c.Greet(r.instance));
  ASSERT_TRUE(c.Send(Request(Op::kRead, r, 0, 0, large.size())));
  ASSERT_TRUE(node_.WaitCount("target_reads", 1));
  EXPECT_EQ(Table().deregister_memory(node_.instance, mr), SLIPWAY_OK);
  EXPECT_TRUE(c.WaitClosed());
}

TEST_F(Revocation, RegisteringWhileOthersTransfer) {
  std::atomic<bool> stop{false};
  std::thread churn([&] {
    Bytes mine(4096);
    while (!stop) {
      slipway_mr* mr = node_.Register(mine.data(), mine.size());
      Query(mine.data(), 100, kRead);
      ASSERT_EQ(Table().deregister_memory(node_.instance, mr), SLIPWAY_OK);
    }
  });
  for (uint32_t i = 0; i < 300; ++i) {
    const Bytes source = Pattern(5000, i + 1);
    Bytes back(5000);
    ASSERT_EQ(initiator_.Write(remote_, i, source.data(), source.size()), SLIPWAY_OK);
    ASSERT_EQ(initiator_.Read(remote_, i, back.data(), back.size()), SLIPWAY_OK);
    ASSERT_EQ(back, source);
  }
  stop = true;
  churn.join();
}

}  // namespace
}  // namespace slipway::tcp
