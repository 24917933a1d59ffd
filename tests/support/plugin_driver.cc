#include "tests/support/plugin_driver.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace slipway::test {
namespace {

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

std::string Folder(const char* variable) {
  const char* const folder = std::getenv(variable);
  if (folder == nullptr) Die(std::string(variable) + " is not set: run the test through ctest");
  return folder;
}

const slipway_plugin& Load(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) Die(dlerror());
  const auto* const plugin = static_cast<const slipway_plugin*>(dlsym(handle, SLIPWAY_PLUGIN_SYMBOL));
  if (plugin == nullptr) Die(path + " has no " SLIPWAY_PLUGIN_SYMBOL);
  return *plugin;
}

}  // namespace

const slipway_transport& LoadTransport(const std::string& path, const std::string& name) {
  for (const slipway_transport* const* t = Load(path).transports; *t != nullptr; ++t) {
    if (name == (*t)->name) return **t;
  }
  Die(path + " has no transport " + name);
}

const slipway_memory_provider& LoadMemoryProvider(const std::string& path) {
  const slipway_plugin& plugin = Load(path);
  if (plugin.memory_providers == nullptr || plugin.memory_providers[0] == nullptr) {
    Die(path + " has no memory provider");
  }
  return *plugin.memory_providers[0];
}

std::string PluginPath(const std::string& name) {
  return Folder("SLIPWAY_TEST_PLUGIN_DIR") + "/libslipway-" + name + ".so";
}
std::string FixturePath(const std::string& name) {
  return Folder("SLIPWAY_TEST_FIXTURE_DIR") + "/libslipway-" + name + ".so";
}

// ---- host ------------------------------------------------------------------------------------------------------

TestHost::TestHost() : table_{} {
  table_.struct_size = sizeof(table_);
  table_.abi_major = SLIPWAY_ABI_MAJOR;
  table_.abi_minor = SLIPWAY_ABI_MINOR;
  table_.ctx = this;
  table_.name = "test";
  table_.version = "0";
  table_.log_level = [](void* ctx) { return Of(ctx).log_level.load(); };
  table_.log = [](void* ctx, uint32_t, const char* message, size_t length) {
    MutexLock lock(Of(ctx).mutex_);
    Of(ctx).log_.emplace_back(message, length);
  };
  table_.now_ns = [](void* ctx) { return Of(ctx).NowNs(); };
  table_.alloc = [](void*, size_t size, size_t align, int32_t) {
    void* p = nullptr;
    return posix_memalign(&p, std::max(align, sizeof(void*)), size) == 0 ? p : nullptr;
  };
  table_.dealloc = [](void*, void* p, size_t) { std::free(p); };
  table_.pin_charge = [](void*, uint64_t) -> slipway_status { return SLIPWAY_OK; };
  table_.pin_uncharge = [](void*, uint64_t) {};
  table_.wake = [](void* ctx, void* cookie) {
    {
      MutexLock lock(Of(ctx).mutex_);
      ++Of(ctx).wakes_[cookie];
    }
    if (Of(ctx).on_wake) Of(ctx).on_wake();
  };
  table_.get_extension = [](void*, const char*) -> const void* { return nullptr; };
}

uint64_t TestHost::NowNs() const {
  if (const uint64_t stopped_ns = stopped_ns_.load(); stopped_ns != 0) return stopped_ns;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}
uint64_t TestHost::wakes(const void* cookie) const {
  MutexLock lock(mutex_);
  const auto it = wakes_.find(cookie);
  return it == wakes_.end() ? 0 : it->second;
}
std::vector<std::string> TestHost::log() const {
  MutexLock lock(mutex_);
  return log_;
}

slipway_error EmptyError() {
  slipway_error error{};
  error.struct_size = sizeof(error);
  return error;
}

bool WaitUntil(const std::function<bool()>& done, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// ---- node ------------------------------------------------------------------------------------------------------

Node::Node(const slipway_transport& transport, slipway_instance* instance)
    : transport_(transport), instance_(instance), error_(EmptyError()) {
  const slipway_status s = transport_.channel_open(instance_, this, &channel_, &error_);
  EXPECT_EQ(s, SLIPWAY_OK) << error_.message;
}

std::unique_ptr<Node> Node::Create(const slipway_transport& transport, TestHost& host, const std::string& json,
                                   slipway_error* error) {
  slipway_instance* instance = nullptr;
  const slipway_status s = transport.create(host.table(), json.data(), json.size(), &instance, error);
  if (s != SLIPWAY_OK) return nullptr;
  return std::unique_ptr<Node>(new Node(transport, instance));
}

std::unique_ptr<Node> Node::Make(const slipway_transport& transport, TestHost& host, const std::string& json) {
  slipway_error error = EmptyError();
  std::unique_ptr<Node> node = Create(transport, host, json, &error);
  if (node == nullptr) Die(std::string(error.where) + ": " + error.message);
  return node;
}

Node::~Node() {
  if (channel_ != nullptr && transport_.channel_close(channel_) == SLIPWAY_E_BUSY) {
    transport_.quiesce(instance_, 1'000'000'000, nullptr);
    std::vector<slipway_completion> rest;
    WaitUntil(
        [&] {
          Poll(rest);
          return transport_.channel_close(channel_) == SLIPWAY_OK;
        },
        std::chrono::seconds(2));
  }
  for (slipway_remote* remote : remotes_) transport_.release_remote(remote);
  for (slipway_peer* peer : peers_) transport_.disconnect(peer);
  for (slipway_mr* mr : mrs_) transport_.deregister_memory(instance_, mr);
  transport_.destroy(instance_);
}

slipway_attrs Node::attrs() const {
  slipway_attrs attrs{};
  attrs.struct_size = sizeof(attrs);
  EXPECT_EQ(transport_.get_attrs(instance_, &attrs), SLIPWAY_OK);
  return attrs;
}

std::string Node::stats() const {
  size_t length = 0;
  transport_.stats_json(instance_, nullptr, &length);
  std::string json(length + 64, '\0');  // counters may grow a digit between the calls
  length = json.size();
  EXPECT_EQ(transport_.stats_json(instance_, json.data(), &length), SLIPWAY_OK);
  json.resize(length);
  return json;
}

slipway_status Node::TryRegister(void* addr, uint64_t length, uint32_t access, slipway_mr** out) {
  const slipway_range range = {sizeof(range), access, addr, length, SLIPWAY_MEM_HOST, -1, -1, 0};
  error_ = EmptyError();
  const slipway_status s = transport_.register_memory(instance_, &range, out, &error_);
  if (s == SLIPWAY_OK) mrs_.push_back(*out);
  return s;
}
slipway_mr* Node::Register(void* addr, uint64_t length, uint32_t access) {
  slipway_mr* mr = nullptr;
  EXPECT_EQ(TryRegister(addr, length, access, &mr), SLIPWAY_OK) << error_.message;
  return mr;
}
slipway_status Node::Deregister(slipway_mr* mr) {
  const slipway_status s = transport_.deregister_memory(instance_, mr);
  if (s == SLIPWAY_OK) std::erase(mrs_, mr);
  return s;
}
slipway_reg_info Node::Query(const void* addr, uint64_t length, uint32_t access) {
  const slipway_range range = {sizeof(range), access, const_cast<void*>(addr), length, SLIPWAY_MEM_HOST, -1, -1, 0};
  slipway_reg_info info{};
  info.struct_size = sizeof(info);
  EXPECT_EQ(transport_.query_registered(instance_, &range, &info), SLIPWAY_OK);
  return info;
}

std::string Node::Address() {
  size_t length = 0;
  EXPECT_EQ(transport_.export_address(instance_, nullptr, &length, &error_), SLIPWAY_E_BUFFER_TOO_SMALL);
  std::string bytes(length, '\0');
  EXPECT_EQ(transport_.export_address(instance_, bytes.data(), &length, &error_), SLIPWAY_OK) << error_.message;
  return bytes;
}
std::string Node::Export(slipway_mr* mr) {
  size_t length = 0;
  EXPECT_EQ(transport_.export_mr(instance_, mr, nullptr, &length, &error_), SLIPWAY_E_BUFFER_TOO_SMALL)
      << error_.message;
  std::string bytes(length, '\0');
  EXPECT_EQ(transport_.export_mr(instance_, mr, bytes.data(), &length, &error_), SLIPWAY_OK) << error_.message;
  return bytes;
}
slipway_status Node::TryConnect(const std::string& address, slipway_peer** out) {
  error_ = EmptyError();
  const slipway_status s = transport_.connect(instance_, address.data(), address.size(), out, &error_);
  if (s == SLIPWAY_OK) peers_.push_back(*out);
  return s;
}
slipway_peer* Node::Connect(const std::string& address) {
  slipway_peer* peer = nullptr;
  EXPECT_EQ(TryConnect(address, &peer), SLIPWAY_OK) << error_.message;
  if (peer == nullptr) return nullptr;
  slipway_status s = SLIPWAY_IN_PROGRESS;
  WaitUntil([&] { return (s = Ready(peer)) != SLIPWAY_IN_PROGRESS; });
  EXPECT_EQ(s, SLIPWAY_OK) << error_.message;
  return peer;
}
slipway_status Node::Ready(slipway_peer* peer) {
  error_ = EmptyError();
  return transport_.peer_ready(peer, &error_);
}
slipway_status Node::TryImport(slipway_peer* peer, const std::string& blob, slipway_remote** out) {
  error_ = EmptyError();
  const slipway_status s = transport_.import_mr(peer, blob.data(), blob.size(), out, &error_);
  if (s == SLIPWAY_OK) remotes_.push_back(*out);
  return s;
}
slipway_remote* Node::Import(slipway_peer* peer, const std::string& blob) {
  slipway_remote* remote = nullptr;
  EXPECT_EQ(TryImport(peer, blob, &remote), SLIPWAY_OK) << error_.message;
  return remote;
}
slipway_status Node::Release(slipway_remote* remote) {
  const slipway_status s = transport_.release_remote(remote);
  if (s == SLIPWAY_OK) std::erase(remotes_, remote);
  return s;
}
slipway_status Node::Disconnect(slipway_peer* peer) {
  const slipway_status s = transport_.disconnect(peer);
  if (s == SLIPWAY_OK) std::erase(peers_, peer);
  return s;
}

slipway_slice Node::Slice(uint32_t op, void* local, uint64_t length, slipway_remote* remote, uint64_t offset,
                          slipway_mr* local_mr) {
  return {next_token_++, op, 0, local, length, local_mr, remote, offset, 0};
}
slipway_status Node::Submit(const std::vector<slipway_slice>& slices, uint32_t* accepted) {
  error_ = EmptyError();
  return transport_.submit(channel_, slices.data(), sizeof(slipway_slice), static_cast<uint32_t>(slices.size()),
                           accepted, &error_);
}
slipway_status Node::Poll(std::vector<slipway_completion>& out, uint32_t max) {
  std::vector<slipway_completion> some(max);
  uint32_t n = 0;
  const slipway_status s = transport_.poll(channel_, some.data(), sizeof(slipway_completion), max, &n);
  EXPECT_LE(n, max);
  out.insert(out.end(), some.begin(), some.begin() + n);
  return s;
}
std::vector<slipway_completion> Node::Drain(size_t count, std::chrono::milliseconds timeout) {
  std::vector<slipway_completion> all;
  EXPECT_TRUE(WaitUntil(
      [&] {
        EXPECT_EQ(Poll(all), SLIPWAY_OK);
        return all.size() >= count;
      },
      timeout))
      << "got " << all.size() << " of " << count << " completions";
  return all;
}
slipway_completion Node::RunOne(const slipway_slice& slice) {
  uint32_t accepted = 0;
  slipway_status s = SLIPWAY_E_AGAIN;
  WaitUntil([&] { return (s = Submit({slice}, &accepted)) != SLIPWAY_E_AGAIN; });
  if (s != SLIPWAY_OK) return {slice.token, s, 0, 0, 0};
  const std::vector<slipway_completion> done = Drain(1);
  if (done.size() != 1 || done[0].token != slice.token) return {0, SLIPWAY_E_INTERNAL, 0, 0, 0};
  return done[0];
}
slipway_completion Node::Write(void* local, uint64_t length, slipway_remote* remote, uint64_t offset,
                               slipway_mr* local_mr) {
  return RunOne(Slice(SLIPWAY_OP_WRITE, local, length, remote, offset, local_mr));
}
slipway_completion Node::Read(void* local, uint64_t length, slipway_remote* remote, uint64_t offset,
                              slipway_mr* local_mr) {
  return RunOne(Slice(SLIPWAY_OP_READ, local, length, remote, offset, local_mr));
}

}  // namespace slipway::test
