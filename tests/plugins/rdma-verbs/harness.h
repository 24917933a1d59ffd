// A small host and two ends of a connection, driven through the C table as the core would. Needs a device.
#ifndef SLIPWAY_TESTS_PLUGINS_RDMA_VERBS_HARNESS_H_
#define SLIPWAY_TESTS_PLUGINS_RDMA_VERBS_HARNESS_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "plugins/rdma-verbs/transport.h"

namespace slipway::rdma {

inline const slipway_transport& Table() { return sdk::detail::kTransportTable<RdmaTransport>; }

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Page-aligned memory with a pattern.
class Memory {
 public:
  explicit Memory(size_t bytes, uint32_t seed = 1)
      : bytes_(bytes),
        data_(static_cast<uint8_t*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    Fill(seed);
  }
  ~Memory() { munmap(data_, bytes_); }
  Memory(const Memory&) = delete;

  void Fill(uint32_t seed) {
    std::mt19937_64 random(seed);
    for (size_t i = 0; i < bytes_; i += 8) {
      const uint64_t v = random();
      std::memcpy(data_ + i, &v, std::min<size_t>(8, bytes_ - i));
    }
  }
  bool Is(uint32_t seed) const {
    Memory other(bytes_, seed);
    return std::memcmp(data_, other.data_, bytes_) == 0;
  }
  uint8_t* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  const size_t bytes_;
  uint8_t* const data_;
};

// What the core lends.
class FakeHost {
 public:
  FakeHost() {
    table_.struct_size = sizeof(table_);
    table_.abi_major = 1;
    table_.ctx = this;
    table_.name = "test";
    table_.version = "0";
    table_.log_level = [](void*) -> uint32_t { return SLIPWAY_LOG_INFO; };
    table_.log = [](void* ctx, uint32_t, const char* msg, size_t len) {
      auto* self = static_cast<FakeHost*>(ctx);
      std::lock_guard lock(self->mutex_);
      self->log_ += std::string(msg, len) + "\n";
    };
    table_.now_ns = [](void*) -> uint64_t {
      return static_cast<uint64_t>(std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
    };
    table_.alloc = [](void*, size_t size, size_t align, int32_t) { return std::aligned_alloc(align, size); };
    table_.dealloc = [](void*, void* p, size_t) { std::free(p); };
    table_.pin_charge = [](void*, uint64_t) -> slipway_status { return SLIPWAY_OK; };
    table_.pin_uncharge = [](void*, uint64_t) {};
    table_.wake = [](void*, void*) {};
    table_.get_extension = [](void*, const char*) -> const void* { return nullptr; };
  }
  const slipway_host* table() const { return &table_; }
  std::string log() {
    std::lock_guard lock(mutex_);
    return log_;
  }

 private:
  slipway_host table_{};
  std::mutex mutex_;
  std::string log_;
};

struct Failure : slipway_error {
  Failure() : slipway_error{} { struct_size = sizeof(slipway_error); }
};

// One instance with one channel, and verbs. Every wait has a deadline.
class Node {
 public:
  static constexpr milliseconds kPatience{30000};

  explicit Node(const std::string& config = "{}") {
    Failure err;
    const slipway_status s = Table().create(host.table(), config.data(), config.size(), &instance, &err);
    EXPECT_EQ(s, SLIPWAY_OK) << err.where << ": " << err.message;
    if (s == SLIPWAY_OK) OpenChannel();
  }
  ~Node() { Destroy(); }
  Node(const Node&) = delete;

  void OpenChannel() { EXPECT_EQ(Table().channel_open(instance, this, &channel, nullptr), SLIPWAY_OK); }
  void CloseChannel() { EXPECT_EQ(Table().channel_close(channel), SLIPWAY_OK); }
  void Destroy() {
    Table().destroy(instance);
    instance = nullptr;
  }
  slipway_attrs Attrs() const {
    slipway_attrs a{};
    a.struct_size = sizeof(a);
    EXPECT_EQ(Table().get_attrs(instance, &a), SLIPWAY_OK);
    return a;
  }
  std::string Address() const {
    std::string out(kAddressBlobBytesMax, '\0');
    size_t len = out.size();
    EXPECT_EQ(Table().export_address(instance, out.data(), &len, nullptr), SLIPWAY_OK);
    out.resize(len);
    return out;
  }
  slipway_mr* Register(const Memory& m, uint32_t access = SLIPWAY_ACCESS_ALL) {
    slipway_range range{sizeof(range), access, m.data(), m.size(), SLIPWAY_MEM_HOST, -1, -1, 0};
    slipway_mr* mr = nullptr;
    Failure err;
    EXPECT_EQ(Table().register_memory(instance, &range, &mr, &err), SLIPWAY_OK) << err.message;
    return mr;
  }
  void Deregister(slipway_mr* mr) { EXPECT_EQ(Table().deregister_memory(instance, mr), SLIPWAY_OK); }
  std::string Export(slipway_mr* mr) {
    std::string out(kRegistrationBlobBytesMax, '\0');
    size_t len = out.size();
    EXPECT_EQ(Table().export_mr(instance, mr, out.data(), &len, nullptr), SLIPWAY_OK);
    out.resize(len);
    return out;
  }
  slipway_peer* StartConnecting(const std::string& address) {
    slipway_peer* peer = nullptr;
    Failure err;
    EXPECT_EQ(Table().connect(instance, address.data(), address.size(), &peer, &err), SLIPWAY_OK) << err.message;
    return peer;
  }
  // What peer_ready comes to; *why is its message.
  slipway_status WaitReady(slipway_peer* peer, std::string* why = nullptr) {
    const auto deadline = Clock::now() + kPatience;
    Failure err;
    slipway_status s = SLIPWAY_IN_PROGRESS;
    while ((s = Table().peer_ready(peer, &err)) == SLIPWAY_IN_PROGRESS && Clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    if (why != nullptr) *why = err.message;
    return s;
  }
  slipway_peer* Connect(const Node& other) {
    slipway_peer* peer = StartConnecting(other.Address());
    std::string why;
    EXPECT_EQ(WaitReady(peer, &why), SLIPWAY_OK) << why;
    return peer;
  }
  slipway_remote* Import(slipway_peer* peer, const std::string& blob) {
    slipway_remote* remote = nullptr;
    Failure err;
    EXPECT_EQ(Table().import_mr(peer, blob.data(), blob.size(), &remote, &err), SLIPWAY_OK) << err.message;
    return remote;
  }

  struct Piece {
    uint32_t op = SLIPWAY_OP_WRITE;
    const Memory* local = nullptr;
    slipway_mr* mr = nullptr;
    slipway_remote* remote = nullptr;
    uint64_t offset = 0, length = 0;  // on both sides
  };
  // What submit says of one slice with this token.
  slipway_status Submit(uint64_t token, const Piece& p) {
    slipway_slice s{};
    s.token = token;
    s.op = p.op;
    s.local_addr = p.local->data() + p.offset;
    s.length = p.length;
    s.local_mr = p.mr;
    s.remote = p.remote;
    s.remote_offset = p.offset;
    uint32_t accepted = 0;
    Failure err;
    const slipway_status status = Table().submit(channel, &s, sizeof(s), 1, &accepted, &err);
    EXPECT_EQ(accepted, status == SLIPWAY_OK ? 1u : 0u);
    return status;
  }
  void Poll() {
    slipway_completion c[64];
    uint32_t n = 64;
    while (n == 64) {
      ASSERT_EQ(Table().poll(channel, c, sizeof(c[0]), 64, &n), SLIPWAY_OK);
      for (uint32_t i = 0; i < n; ++i) {
        EXPECT_EQ(done.count(c[i].token), 0u) << "token " << c[i].token << " completed twice";
        done[c[i].token] = c[i].status;
      }
    }
  }
  // Waits, asleep on the channel's descriptor, until `n` completions are in `done`.
  bool WaitDone(size_t n, milliseconds patience = kPatience) {
    const auto deadline = Clock::now() + patience;
    pollfd fd{Table().event_fd(channel), POLLIN, 0};
    for (Poll(); done.size() < n; Poll()) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return false;
      poll(&fd, 1, static_cast<int>(left));
    }
    return true;
  }
  // One slice from beginning to end.
  slipway_status Move(const Piece& p) {
    done.clear();
    const slipway_status s = Submit(1, p);
    if (s != SLIPWAY_OK) return s;
    EXPECT_TRUE(WaitDone(1));
    return done.empty() ? static_cast<slipway_status>(SLIPWAY_IN_PROGRESS) : done.begin()->second;
  }
  uint64_t Stat(const std::string& name) {
    std::string text(8192, '\0');
    size_t len = text.size();
    EXPECT_EQ(Table().stats_json(instance, text.data(), &len), SLIPWAY_OK);
    text.resize(len);
    const size_t at = text.find("\"" + name + "\":");
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size() + 3, nullptr, 10);
  }
  bool WaitStat(const std::string& name, uint64_t value) {
    const auto deadline = Clock::now() + kPatience;
    while (Stat(name) < value && Clock::now() < deadline) std::this_thread::sleep_for(milliseconds(5));
    return Stat(name) >= value;
  }

  FakeHost host;
  slipway_instance* instance = nullptr;
  slipway_channel* channel = nullptr;
  std::map<uint64_t, slipway_status> done;  // by token
};

// A node that writes and reads, one that is written and read, and a segment.
struct Wire {
  explicit Wire(const std::string& config = "{}", size_t bytes = 1 << 20) : Wire(config, config, bytes) {}
  Wire(const std::string& initiator_config, const std::string& target_config, size_t bytes)
      : initiator(initiator_config), target(target_config), local(bytes, 1), segment(bytes, 2) {
    local_mr = initiator.Register(local, SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE);
    segment_mr = target.Register(segment);
    peer = initiator.Connect(target);
    remote = initiator.Import(peer, target.Export(segment_mr));
  }
  Node::Piece Piece(uint32_t op, uint64_t offset, uint64_t length) const {
    return {op, &local, local_mr, remote, offset, length};
  }
  Node::Piece All(uint32_t op) const { return Piece(op, 0, local.size()); }
  // Both directions work.
  void ExpectAlive() {
    local.Fill(7);
    EXPECT_EQ(initiator.Move(All(SLIPWAY_OP_WRITE)), SLIPWAY_OK);
    EXPECT_TRUE(segment.Is(7));
    segment.Fill(8);
    EXPECT_EQ(initiator.Move(All(SLIPWAY_OP_READ)), SLIPWAY_OK);
    EXPECT_TRUE(local.Is(8));
  }

  Node initiator, target;
  Memory local, segment;
  slipway_mr *local_mr = nullptr, *segment_mr = nullptr;
  slipway_peer* peer = nullptr;
  slipway_remote* remote = nullptr;
};

// A counter of the device's own, by the kernel.
inline uint64_t DeviceCounter(const std::string& device, const std::string& name) {
  std::ifstream in("/sys/class/infiniband/" + device + "/ports/1/hw_counters/" + name);
  uint64_t value = 0;
  EXPECT_TRUE(in >> value) << device << " has no counter " << name;
  return value;
}

}  // namespace slipway::rdma

#endif  // SLIPWAY_TESTS_PLUGINS_RDMA_VERBS_HARNESS_H_
