// Drives a transport through its C table, so that a plugin's test reads as what two nodes do with each other.
#ifndef SLIPWAY_TESTS_SUPPORT_PLUGIN_DRIVER_H_
#define SLIPWAY_TESTS_SUPPORT_PLUGIN_DRIVER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "slipway/abi/plugin.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway::test {

// The transport `name` of a shared object, which stays loaded; aborts with the system's words where that cannot be.
const slipway_transport& LoadTransport(const std::string& path, const std::string& name);
// The first memory provider of a shared object, likewise.
const slipway_memory_provider& LoadMemoryProvider(const std::string& path);
// "<plugins>/libslipway-NAME.so" and "<fixtures>/libslipway-NAME.so" of the build under test.
std::string PluginPath(const std::string& name);
std::string FixturePath(const std::string& name);

// A host that records what it is told. Thread-safe. Its clock is the system's until a test stops it.
class TestHost {
 public:
  TestHost();
  TestHost(const TestHost&) = delete;
  TestHost& operator=(const TestHost&) = delete;
  const slipway_host* table() const { return &table_; }

  void StopClock() { stopped_ns_ = NowNs(); }
  void Advance(uint64_t ns) { stopped_ns_ += ns; }
  uint64_t NowNs() const;
  uint64_t wakes(const void* cookie) const;
  std::vector<std::string> log() const;
  // Called in wake(), on the transport's thread; set it before instances are made.
  std::function<void()> on_wake;
  std::atomic<uint32_t> log_level = SLIPWAY_LOG_WARNING;

 private:
  static TestHost& Of(void* ctx) { return *static_cast<TestHost*>(ctx); }

  slipway_host table_;
  std::atomic<uint64_t> stopped_ns_{0};
  mutable Mutex mutex_;
  std::map<const void*, uint64_t> wakes_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::string> log_ SLIPWAY_GUARDED_BY(mutex_);
};

slipway_error EmptyError();

// Polls `done` until it is true; false when `timeout` has passed first.
bool WaitUntil(const std::function<bool()>& done, std::chrono::milliseconds timeout = std::chrono::seconds(20));

// One instance and one channel of it. Expectations inside fail the test that uses it. Destroys what it made, in the
// order of the contract. Not thread-safe.
class Node {
 public:
  // Null with the report in `error` when the transport refuses.
  static std::unique_ptr<Node> Create(const slipway_transport& transport, TestHost& host, const std::string& json,
                                      slipway_error* error);
  // The same where that must work.
  static std::unique_ptr<Node> Make(const slipway_transport& transport, TestHost& host, const std::string& json = "{}");
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const slipway_transport& transport() const { return transport_; }
  slipway_instance* instance() const { return instance_; }
  slipway_channel* channel() const { return channel_; }
  slipway_attrs attrs() const;
  std::string stats() const;
  slipway_error& error() { return error_; }  // of the last call that took one

  slipway_status TryRegister(void* addr, uint64_t length, uint32_t access, slipway_mr** out);
  slipway_mr* Register(void* addr, uint64_t length, uint32_t access = SLIPWAY_ACCESS_ALL);
  slipway_status Deregister(slipway_mr* mr);
  slipway_reg_info Query(const void* addr, uint64_t length, uint32_t access);

  std::string Address();
  std::string Export(slipway_mr* mr);
  slipway_status TryConnect(const std::string& address, slipway_peer** out);
  // Waits until the peer is ready.
  slipway_peer* Connect(const std::string& address);
  slipway_status Ready(slipway_peer* peer);
  slipway_status TryImport(slipway_peer* peer, const std::string& blob, slipway_remote** out);
  slipway_remote* Import(slipway_peer* peer, const std::string& blob);
  slipway_status Release(slipway_remote* remote);
  slipway_status Disconnect(slipway_peer* peer);

  // Tokens are counted up from 1.
  slipway_slice Slice(uint32_t op, void* local, uint64_t length, slipway_remote* remote, uint64_t offset,
                      slipway_mr* local_mr = nullptr);
  slipway_status Submit(const std::vector<slipway_slice>& slices, uint32_t* accepted);
  slipway_status Poll(std::vector<slipway_completion>& out, uint32_t max = 64);
  // Waits for that many completions.
  std::vector<slipway_completion> Drain(size_t count, std::chrono::milliseconds timeout = std::chrono::seconds(20));
  // Submits one slice and waits for it.
  slipway_completion Write(void* local, uint64_t length, slipway_remote* remote, uint64_t offset,
                           slipway_mr* local_mr = nullptr);
  slipway_completion Read(void* local, uint64_t length, slipway_remote* remote, uint64_t offset,
                          slipway_mr* local_mr = nullptr);

 private:
  Node(const slipway_transport& transport, slipway_instance* instance);
  slipway_completion RunOne(const slipway_slice& slice);

  const slipway_transport& transport_;
  slipway_instance* const instance_;
  slipway_channel* channel_ = nullptr;
  slipway_error error_;
  uint64_t next_token_ = 1;
  std::vector<slipway_mr*> mrs_;
  std::vector<slipway_peer*> peers_;
  std::vector<slipway_remote*> remotes_;
};

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_SUPPORT_PLUGIN_DRIVER_H_
