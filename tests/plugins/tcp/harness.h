// A small host and two ends of a wire, driven through the C table as the core would.
#ifndef SLIPWAY_TESTS_PLUGINS_TCP_HARNESS_H_
#define SLIPWAY_TESTS_PLUGINS_TCP_HARNESS_H_

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "plugins/tcp/transport.h"

#if defined(__SANITIZE_THREAD__)
// Both ends are in one process here. That a write of the target's happens before the initiator's completion is arranged
// by a socket, which the thread sanitizer does not see.
extern "C" __attribute__((visibility("default"), weak)) const char* __tsan_default_suppressions() {
  return "race:slipway::tcp::Session::SendAll\nrace:slipway::tcp::ReceiveOnce<slipway::tcp::Session>\n"
         "race:slipway::tcp::ConsumeBuffer<slipway::tcp::Session>\n";
}
#endif

namespace slipway::tcp {

inline const slipway_transport& Table() { return sdk::detail::kTransportTable<TcpTransport>; }

using Bytes = std::vector<uint8_t>;
using std::chrono::milliseconds;

inline Bytes Pattern(size_t n, uint32_t seed) {
  Bytes out(n);
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < n; i += 8) {
    const uint64_t v = random();
    std::memcpy(out.data() + i, &v, std::min<size_t>(8, n - i));
  }
  return out;
}

// What the core lends. Time is the system's, unless a test moves it on.
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
      self->log_.emplace_back(msg, len);
    };
    table_.now_ns = [](void* ctx) -> uint64_t {
      const auto now = std::chrono::steady_clock::now().time_since_epoch();
      return static_cast<uint64_t>(std::chrono::nanoseconds(now).count()) +
             static_cast<FakeHost*>(ctx)->skew_ns_.load();
    };
    table_.alloc = [](void*, size_t size, size_t align, int32_t) { return std::aligned_alloc(align, size); };
    table_.dealloc = [](void*, void* p, size_t) { std::free(p); };
    table_.pin_charge = [](void*, uint64_t) -> slipway_status { return SLIPWAY_OK; };
    table_.pin_uncharge = [](void*, uint64_t) {};
    table_.wake = [](void* ctx, void*) {
      auto* self = static_cast<FakeHost*>(ctx);
      {
        std::lock_guard lock(self->mutex_);
        ++self->wakes_;
      }
      self->woken_.notify_all();
      std::unique_lock lock(self->mutex_);
      self->let_go_.wait(lock, [self] { return !self->holding_; });
    };
    table_.get_extension = [](void*, const char*) -> const void* { return nullptr; };
  }

  const slipway_host* table() const { return &table_; }
  void Advance(milliseconds by) { skew_ns_ += static_cast<uint64_t>(std::chrono::nanoseconds(by).count()); }
  uint64_t wakes() {
    std::lock_guard lock(mutex_);
    return wakes_;
  }
  // Waits for a wake-up beyond `seen`.
  bool WaitWake(uint64_t seen, milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return woken_.wait_for(lock, timeout, [&] { return wakes_ > seen; });
  }
  // While it holds, a thread of the plugin that wakes the core is kept in that call.
  void Hold(bool hold) {
    {
      std::lock_guard lock(mutex_);
      holding_ = hold;
    }
    let_go_.notify_all();
  }
  size_t LogCount(const std::string& text) {
    std::lock_guard lock(mutex_);
    size_t n = 0;
    for (const auto& line : log_) n += line.find(text) != std::string::npos;
    return n;
  }

 private:
  slipway_host table_{};
  std::atomic<uint64_t> skew_ns_{0};
  std::mutex mutex_;
  std::condition_variable woken_;
  std::condition_variable let_go_;
  uint64_t wakes_ = 0;
  bool holding_ = false;
  std::vector<std::string> log_;
};

struct Failure : slipway_error {
  Failure() : slipway_error{} { struct_size = sizeof(slipway_error); }
};

// One instance with one channel, and verbs.
class Node {
 public:
  explicit Node(const std::string& config = "{}") {
    Failure err;
    const slipway_status s = Table().create(host.table(), config.data(), config.size(), &instance, &err);
    EXPECT_EQ(s, SLIPWAY_OK) << err.where << ": " << err.message;
    if (s != SLIPWAY_OK) return;
    EXPECT_EQ(Table().channel_open(instance, this, &channel, nullptr), SLIPWAY_OK);
    event_fd = Table().event_fd(channel);
  }
  ~Node() { Destroy(); }
  Node(const Node&) = delete;

  void Destroy() {
    Table().destroy(instance);
    instance = nullptr;
  }

  std::string Address() {
    std::string out(1024, '\0');
    size_t len = out.size();
    EXPECT_EQ(Table().export_address(instance, out.data(), &len, nullptr), SLIPWAY_OK);
    out.resize(len);
    return out;
  }
  slipway_mr* Register(void* addr, uint64_t length, uint32_t access = SLIPWAY_ACCESS_ALL) {
    slipway_range range{sizeof(range), access, addr, length, SLIPWAY_MEM_HOST, -1, -1, 0};
    slipway_mr* mr = nullptr;
    EXPECT_EQ(Table().register_memory(instance, &range, &mr, nullptr), SLIPWAY_OK);
    return mr;
  }
  std::string Export(slipway_mr* mr) {
    std::string out(256, '\0');
    size_t len = out.size();
    EXPECT_EQ(Table().export_mr(instance, mr, out.data(), &len, nullptr), SLIPWAY_OK);
    out.resize(len);
    return out;
  }
  slipway_peer* StartConnect(const std::string& address) {
    slipway_peer* peer = nullptr;
    Failure err;
    EXPECT_EQ(Table().connect(instance, address.data(), address.size(), &peer, &err), SLIPWAY_OK) << err.message;
    return peer;
  }
  slipway_status WaitReady(slipway_peer* peer, Failure* err = nullptr, milliseconds timeout = milliseconds(10000)) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    slipway_status s;
    while ((s = Table().peer_ready(peer, err)) == SLIPWAY_IN_PROGRESS && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return s;
  }
  slipway_peer* Connect(Node& target) { return Connect(target.Address()); }
  slipway_peer* Connect(const std::string& address) {
    slipway_peer* peer = StartConnect(address);
    Failure err;
    EXPECT_EQ(WaitReady(peer, &err), SLIPWAY_OK) << err.message;
    return peer;
  }
  slipway_remote* Import(slipway_peer* peer, const std::string& blob) {
    slipway_remote* remote = nullptr;
    Failure err;
    EXPECT_EQ(Table().import_mr(peer, blob.data(), blob.size(), &remote, &err), SLIPWAY_OK) << err.message;
    return remote;
  }

  static slipway_slice Slice(uint32_t op, uint64_t token, void* local, uint64_t length, slipway_remote* remote,
                             uint64_t offset) {
    return {token, op, 0, local, length, nullptr, remote, offset, 0};
  }
  slipway_status Submit(const slipway_slice& slice, Failure* err = nullptr) {
    uint32_t accepted = 0;
    return Table().submit(channel, &slice, sizeof(slice), 1, &accepted, err);
  }
  // Waits for the sign that there is something to poll: a wake-up beyond `seen`, or the descriptor.
  bool WaitSign(uint64_t seen, milliseconds timeout) {
    if (event_fd < 0) return host.WaitWake(seen, timeout);
    pollfd ready{event_fd, POLLIN, 0};
    return poll(&ready, 1, static_cast<int>(timeout.count())) == 1;
  }
  // Polls until `n` completions have come.
  std::vector<slipway_completion> Collect(size_t n, milliseconds timeout = milliseconds(20000)) {
    std::vector<slipway_completion> out;
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (out.size() < n && std::chrono::steady_clock::now() < deadline) {
      const uint64_t seen = host.wakes();
      slipway_completion c[16];
      uint32_t got = 0;
      EXPECT_EQ(Table().poll(channel, c, sizeof(c[0]), 16, &got), SLIPWAY_OK);
      out.insert(out.end(), c, c + got);
      if (got == 0) WaitSign(seen, milliseconds(20));
    }
    EXPECT_EQ(out.size(), n) << "completions are missing";
    return out;
  }
  slipway_completion Run(const slipway_slice& slice) {
    Failure err;
    const slipway_status s = Submit(slice, &err);
    EXPECT_EQ(s, SLIPWAY_OK) << err.message;
    if (s != SLIPWAY_OK) return {slice.token, s, 0, 0, 0};
    const auto all = Collect(1);
    return all.empty() ? slipway_completion{slice.token, SLIPWAY_E_TIMEOUT, 0, 0, 0} : all[0];
  }
  slipway_status Write(slipway_remote* remote, uint64_t offset, const void* from, uint64_t n) {
    return Run(Slice(SLIPWAY_OP_WRITE, 1, const_cast<void*>(from), n, remote, offset)).status;
  }
  slipway_status Read(slipway_remote* remote, uint64_t offset, void* to, uint64_t n) {
    return Run(Slice(SLIPWAY_OP_READ, 1, to, n, remote, offset)).status;
  }
  uint64_t Count(const std::string& name) {
    std::string json(8192, '\0');
    size_t len = json.size();
    EXPECT_EQ(Table().stats_json(instance, json.data(), &len), SLIPWAY_OK);
    json.resize(len);
    const size_t at = json.find("\"" + name + "\":");
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? 0 : std::strtoull(json.c_str() + at + name.size() + 3, nullptr, 10);
  }
  bool WaitCount(const std::string& name, uint64_t at_least) {
    return Wait([&] { return Count(name) >= at_least; });
  }
  // The same while time goes on, in steps: what the node does late counts from when it does it.
  bool PassUntilCount(const std::string& name, uint64_t at_least, milliseconds step) {
    for (int i = 0; i < 6; ++i) {
      host.Advance(step);
      if (Wait([&] { return Count(name) >= at_least; }, std::chrono::seconds(5))) return true;
    }
    return false;
  }
  bool WaitNone(const std::string& name) {
    return Wait([&] { return Count(name) == 0; });
  }

  FakeHost host;
  slipway_instance* instance = nullptr;
  slipway_channel* channel = nullptr;
  int event_fd = -1;  // of the channel; -1 with "poll_receives": false

 private:
  // Long, so that a busy machine does not matter; only a failure takes it.
  template <typename Condition>
  static bool Wait(Condition&& condition, std::chrono::seconds limit = std::chrono::seconds(30)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_TESTS_PLUGINS_TCP_HARNESS_H_
