// A transport between processes of one host: the kernel copies straight between the two processes' memories
// (process_vm_readv and process_vm_writev), and a small shared table says what may be reached. Begin at the end: the
// last line is what the plugin exports, Shm is what it says of itself, and the classes above do the work.
#include <sys/uio.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "slipway/sdk/blob.hpp"
#include "slipway/sdk/config_reader.hpp"
#include "slipway/sdk/plugin.hpp"
#include "slipway/sdk/poll_channel.hpp"
#include "table.h"

namespace sample {
namespace {

namespace sdk = slipway::sdk;

constexpr uint64_t kRevokeNs = 1'000'000'000;  // how long a peer that is copying is waited for

struct Config {
  uint64_t max_slice_bytes = 1 << 20;
  uint32_t max_inflight = 256;
};

// ---- a peer and its registrations ------------------------------------------------------------------------------

class ShmPeer final : public sdk::Peer {
 public:
  slipway_status Open(std::string_view address, sdk::Error& err) {
    if (!sdk::Unpack(address, address_))
      return err.Fail(SLIPWAY_E_PROTOCOL, "not an address of sample-shm, or damaged");
    if (!table_.Open(address_.pid, address_.fd)) return err.Fail(SLIPWAY_E_PEER, "the peer is gone", {}, errno);
    uint64_t epoch = 0;
    int32_t native = 0;
    slipway_slice look{};
    look.op = SLIPWAY_OP_READ;
    look.local_addr = &epoch;
    look.length = sizeof(epoch);
    uint64_t moved = 0;
    if (Copy(look, address_.shared_addr, moved, native) != SLIPWAY_OK || epoch != address_.epoch) {
      return err.Fail(SLIPWAY_E_PEER,
                      "the peer's memory cannot be reached: both processes need the same user and the same PID "
                      "namespace, and kernel.yama.ptrace_scope must be 0",
                      {}, native);
    }
    return Ready(err);
  }
  bool Usable() const { return table_.OwnerAlive() && table_->epoch.load() == address_.epoch; }

  slipway_status Ready(sdk::Error& err) override {
    return Usable() ? SLIPWAY_OK : err.Fail(SLIPWAY_E_PEER, "the peer is gone or shutting down: get its new address");
  }
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;

  // What a slice in flight holds, so that the owner does not take the memory away under it. False: it is being taken.
  bool Enter(uint64_t slot) {
    slipway::MutexLock lock(mutex_);
    if (users_[slot] == 0 && !table_.Lock(F_RDLCK, Table::ByteOf(slot), 1)) return false;
    ++users_[slot];
    return true;
  }
  void Leave(uint64_t slot) {
    slipway::MutexLock lock(mutex_);
    if (--users_[slot] == 0) table_.Lock(F_UNLCK, Table::ByteOf(slot), 1);
  }

  slipway_status Copy(const slipway_slice& s, uint64_t remote_addr, uint64_t& moved, int32_t& native) const {
    const pid_t pid = static_cast<pid_t>(address_.pid);
    while (moved < s.length) {
      const iovec here = {static_cast<char*>(s.local_addr) + moved, s.length - moved};
      const iovec there = {reinterpret_cast<void*>(remote_addr + moved), s.length - moved};
      const ssize_t n = s.op == SLIPWAY_OP_READ ? process_vm_readv(pid, &here, 1, &there, 1, 0)
                                                : process_vm_writev(pid, &here, 1, &there, 1, 0);
      if (n <= 0) {
        native = errno;
        return errno == ESRCH ? SLIPWAY_E_PEER : SLIPWAY_E_IO;
      }
      moved += static_cast<uint64_t>(n);
    }
    return SLIPWAY_OK;
  }
  const Address& address() const { return address_; }
  const Table& table() const { return table_; }

 private:
  Address address_;
  Table table_;
  slipway::Mutex mutex_;
  std::vector<uint32_t> users_ SLIPWAY_GUARDED_BY(mutex_) = std::vector<uint32_t>(kSlots);
};

class ShmRemote final : public sdk::PollRemote {
 public:
  ShmRemote(ShmPeer& peer, const Key& key, uint64_t addr)
      : PollRemote(key.length, static_cast<uint32_t>(key.access)),
        peer_(peer),
        slot_(key.slot),
        key_(key.key),
        addr_(addr) {}

  slipway_status Check(const slipway_slice& s, sdk::Error& err) override {
    const bool here = peer_.address().pid == static_cast<uint64_t>(getpid());
    if (!here || !sdk::Overlaps(s, reinterpret_cast<const void*>(addr_ + s.remote_offset))) return SLIPWAY_OK;
    return err.Fail(SLIPWAY_E_INVALID, "source and target overlap: move it in two steps");
  }
  slipway_status Move(const slipway_slice& s, uint64_t& moved, int32_t& native) override {
    if (!peer_.Enter(slot_)) return WhyNot();
    slipway_status status = WhyNot();
    if (peer_.Usable() && peer_.table()->slots[slot_].key.load(std::memory_order_acquire) == key_) {
      status = peer_.Copy(s, addr_ + s.remote_offset, moved, native);
    }
    peer_.Leave(slot_);
    return status;
  }

 private:
  slipway_status WhyNot() const { return peer_.Usable() ? SLIPWAY_E_STALE_REMOTE : SLIPWAY_E_PEER; }

  ShmPeer& peer_;
  const uint64_t slot_, key_, addr_;
};

slipway_status ShmPeer::ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  Key key;
  if (!sdk::Unpack(blob, key) || key.slot >= kSlots || key.key == 0) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "not a registration of sample-shm, or damaged");
  }
  if (key.epoch != address_.epoch) return err.Fail(SLIPWAY_E_STALE_REMOTE, "of another instance than this peer");
  const Slot& slot = table_->slots[key.slot];
  if (slot.key.load(std::memory_order_acquire) != key.key) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration was revoked: ask the peer for its present one");
  }
  if (slot.length != key.length || slot.access != key.access) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the registration's length or access is not what the peer registered");
  }
  out = std::make_unique<ShmRemote>(*this, key, slot.addr);
  return SLIPWAY_OK;
}

// ---- the instance ----------------------------------------------------------------------------------------------

struct ShmRegistration final : sdk::Registration {
  ShmRegistration(uint32_t s, uint64_t k) : slot(s), key(k) {}
  const uint32_t slot;
  const uint64_t key;
};

class ShmInstance final : public sdk::Instance {
 public:
  using Instance::Instance;
  ~ShmInstance() override = default;

  slipway_status Open(sdk::Error& err) {
    if (!table_.Create()) return err.FailRetryable(SLIPWAY_E_NOMEM, "no memory file (memfd_create)", {}, errno);
    slipway::MutexLock lock(mutex_);
    for (uint32_t n = kSlots; n > 0; --n) free_.push_back(n - 1);
    return SLIPWAY_OK;
  }

  slipway_status Quiesce(uint64_t timeout_ns, sdk::Error& err) override {
    const uint64_t now_ns = host().NowNs();
    const uint64_t deadline_ns = now_ns + std::min(timeout_ns, sdk::kNoTimeoutNs - now_ns);
    table_->epoch.store(0);
    const bool idle = polling_.Close(host(), timeout_ns) &&
                      WaitFor(deadline_ns, [&] { return table_.Lock(F_WRLCK, Table::ByteOf(0), kSlots); });
    return idle ? SLIPWAY_OK : err.Fail(SLIPWAY_E_TIMEOUT, "a slice is still being copied: call again");
  }
  void Stop() noexcept override {
    sdk::Error none(nullptr);
    if (Quiesce(kRevokeNs, none) != SLIPWAY_OK) {
      host().Log(SLIPWAY_LOG_WARNING, "a peer stopped in the middle of a copy: memory it was given must stay mapped");
    }
  }

  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override {
    if (!Mapped(range)) return err.Fail(SLIPWAY_E_INVALID, "the range is not mapped memory", {}, EFAULT);
    slipway::MutexLock lock(mutex_);
    if (free_.empty()) return err.FailRetryable(SLIPWAY_E_NOMEM, "no free slot: deregister something first");
    auto mr = std::make_unique<ShmRegistration>(free_.back(), ++last_key_);
    free_.pop_back();
    Slot& slot = table_->slots[mr->slot];
    slot.addr = reinterpret_cast<uintptr_t>(range.addr);
    slot.length = range.length;
    slot.access = range.access & (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE);
    slot.key.store(mr->key, std::memory_order_release);
    out = std::move(mr);
    return SLIPWAY_OK;
  }
  slipway_status DeregisterMemory(sdk::Registration& r) override {
    const ShmRegistration& mr = static_cast<ShmRegistration&>(r);
    Slot& slot = table_->slots[mr.slot];
    slot.key.store(0);  // who begins now is refused; who is copying is waited for
    if (!WaitFor(host().NowNs() + kRevokeNs, [&] { return table_.Lock(F_WRLCK, Table::ByteOf(mr.slot), 1); })) {
      slot.key.store(mr.key);
      return SLIPWAY_E_BUSY;
    }
    table_.Lock(F_UNLCK, Table::ByteOf(mr.slot), 1);
    slipway::MutexLock lock(mutex_);
    free_.push_back(mr.slot);
    return SLIPWAY_OK;
  }

  slipway_status ExportAddress(std::string& out, sdk::Error& err) override {
    const uint64_t epoch = table_->epoch.load();
    if (epoch == 0) return err.Fail(SLIPWAY_E_CANCELED, "the instance was quiesced");
    out = sdk::Pack(Address{.pid = static_cast<uint64_t>(getpid()),
                            .fd = static_cast<uint64_t>(table_.fd()),
                            .epoch = epoch,
                            .shared_addr = reinterpret_cast<uintptr_t>(&table_->epoch)});
    return SLIPWAY_OK;
  }
  slipway_status ExportMr(sdk::Registration& r, std::string& out, sdk::Error&) override {
    const ShmRegistration& mr = static_cast<ShmRegistration&>(r);
    const Slot& slot = table_->slots[mr.slot];
    out = sdk::Pack(Key{
        .epoch = table_->epoch.load(), .slot = mr.slot, .key = mr.key, .length = slot.length, .access = slot.access});
    return SLIPWAY_OK;
  }
  slipway_status Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override {
    auto peer = std::make_unique<ShmPeer>();
    const slipway_status s = peer->Open(address, err);
    if (s == SLIPWAY_OK) out = std::move(peer);
    return s;
  }
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error&) override {
    out = std::make_unique<sdk::PollChannel>(*this, cookie, polling_);
    return SLIPWAY_OK;
  }

 private:
  template <typename Done>
  bool WaitFor(uint64_t deadline_ns, Done&& done) const {
    while (!done()) {
      if (host().NowNs() >= deadline_ns) return false;
      std::this_thread::yield();
    }
    return true;
  }
  // Both ends: a mistake is told here rather than by the first slice.
  static bool Mapped(const slipway_range& range) {
    char ends[2];
    iovec here = {ends, 2};
    iovec there[2] = {{range.addr, 1}, {static_cast<char*>(range.addr) + range.length - 1, 1}};
    return process_vm_readv(getpid(), &here, 1, there, 2, 0) == 2;
  }

  Table table_;
  sdk::Gate polling_;  // whoever copies for this instance is inside
  slipway::Mutex mutex_;
  std::vector<uint32_t> free_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t last_key_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

// ---- what the plugin says of itself ----------------------------------------------------------------------------

struct Shm : sdk::Transport {
  static constexpr sdk::TransportInfo kInfo = {.name = "sample-shm",
                                               .version = "1.0.0",
                                               .vendor = "Example",
                                               .description = "Copies between processes of one host through the kernel",
                                               .protocol = "sample-shm",
                                               .protocol_min = 1,
                                               .protocol_max = 1,
                                               .caps = SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE |
                                                       SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_CROSS_PROCESS |
                                                       SLIPWAY_CAP_PEER_FAILURE | SLIPWAY_CAP_REG_THREADSAFE,
                                               .mem_kinds = SLIPWAY_MEM_HOST,
                                               .config_schema = R"({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "max_slice_bytes": {"type": "integer", "minimum": 4096, "maximum": 1073741824, "default": 1048576,
            "description": "The longest slice accepted; one is copied without a pause"},
          "max_inflight": {"type": "integer", "minimum": 1, "maximum": 65536, "default": 256,
            "description": "Slices accepted and not yet polled, per channel"}
        }
      })"};

  static slipway_status Probe(sdk::Host, std::string_view json, slipway_attrs& attrs, sdk::Error& err) {
    Config config;
    nlohmann::json parsed;
    if (const slipway_status s = sdk::ParseConfig(json, parsed, err); s != SLIPWAY_OK) return s;
    sdk::ConfigReader reader(parsed, "", err);
    reader.UInt("max_slice_bytes", config.max_slice_bytes, 4096, 1 << 30);
    reader.UInt("max_inflight", config.max_inflight, 1, 65536);
    if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
    attrs.max_slice_bytes = attrs.preferred_slice_bytes = config.max_slice_bytes;
    attrs.max_inflight_per_channel = config.max_inflight;
    attrs.max_mrs = kSlots;
    attrs.peer_timeout_ms = 1000;
    attrs.address_bytes_max = sdk::kPackedBytes<Address>;
    attrs.mr_blob_bytes_max = sdk::kPackedBytes<Key>;
    attrs.bandwidth_bytes_per_s = 5'000'000'000;
    attrs.latency_ns = 2000;
    return SLIPWAY_OK;
  }
  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err) {
    slipway_attrs attrs = sdk::DefaultAttrs(kInfo);
    if (const slipway_status s = Probe(host, json, attrs, err); s != SLIPWAY_OK) return s;
    auto instance = std::make_unique<ShmInstance>(host, attrs);
    if (const slipway_status s = instance->Open(err); s != SLIPWAY_OK) return s;
    out = std::move(instance);
    return SLIPWAY_OK;
  }
};

}  // namespace
}  // namespace sample

SLIPWAY_PLUGIN("sample-shm", "1.0.0", sample::Shm)
