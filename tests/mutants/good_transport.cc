// A transport that keeps the contract, as small as can be: it copies with memmove within a process, and with
// process_vm_readv and process_vm_writev between those of one machine. It has no thread; slices move inside poll.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cstring>
#include <deque>
#include <thread>

#include "slipway/sdk/config_reader.hpp"
#include "slipway/sdk/plugin.hpp"
#include "tests/mutants/mutant.h"

extern "C" const char good_schema[] = R"({
  "type": "object", "additionalProperties": false,
  "properties": {
    "max_inflight": {"type": "integer", "minimum": 1, "maximum": 1024},
    "label": {"type": "string", "maxLength": 64}
  }
})";

namespace slipway::mutants {
namespace {

constexpr uint32_t kMrsMax = 256;

// What peers see of an instance: shared memory that lives as long as anybody maps it.
struct Grant {
  std::atomic<uint64_t> id;  // 0: none; never used again
  std::atomic<uint32_t> users;
};
struct Shared {
  uint64_t epoch;
  std::atomic<uint32_t> closed;
  Grant grants[kMrsMax];
};

class SharedMemory {
 public:
  explicit SharedMemory(int fd) : fd_(fd) {
    void* p = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) shared_ = static_cast<Shared*>(p);
  }
  ~SharedMemory() {
    if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
    close(fd_);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  Shared* operator->() const { return shared_; }
  bool ok() const { return shared_ != nullptr; }
  int fd() const { return fd_; }

 private:
  const int fd_;
  Shared* shared_ = nullptr;
};

uint64_t Sum(const void* data, size_t n) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < n; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
  return hash;
}
template <typename Blob>
std::string Seal(Blob blob) {
  blob.sum = Sum(&blob, offsetof(Blob, sum));
  return std::string(reinterpret_cast<const char*>(&blob), sizeof(blob));
}
template <typename Blob>
bool Unseal(std::string_view bytes, Blob& out) {
  if (bytes.size() != sizeof(Blob)) return false;
  std::memcpy(&out, bytes.data(), sizeof(out));
  return out.magic == Blob::kMagic && out.sum == Sum(&out, offsetof(Blob, sum));
}
struct AddressBlob {
  static constexpr uint64_t kMagic = 0x31304164646f6f47;
  uint64_t magic = kMagic, epoch = 0;
  int64_t pid = 0, fd = 0;
  uint64_t sum = 0;
};
struct MrBlob {
  static constexpr uint64_t kMagic = 0x31304d72646f6f47;
  uint64_t magic = kMagic, epoch = 0, slot = 0, id = 0, addr = 0, length = 0, access = 0;
  uint64_t sum = 0;
};

class GoodMr : public sdk::Registration {
 public:
  uint32_t slot = 0;
  uint64_t id = 0;
};

class GoodRemote : public sdk::Remote {
 public:
  GoodRemote(const MrBlob& b, sdk::Peer* p) : Remote(b.length, static_cast<uint32_t>(b.access)), blob(b), peer(p) {}
  const MrBlob blob;
  sdk::Peer* const peer;
};

class GoodPeer : public sdk::Peer {
 public:
  GoodPeer(const AddressBlob& a, int shared_fd, int pid_fd) : address(a), shared(shared_fd), pid_fd_(pid_fd) {}
  ~GoodPeer() override {
    if (pid_fd_ >= 0) close(pid_fd_);
  }
  bool Dead() const {
    pollfd gone{pid_fd_, POLLIN, 0};
    return shared->closed != 0 || (pid_fd_ >= 0 && poll(&gone, 1, 0) > 0);
  }
  slipway_status Ready(sdk::Error& err) override {
    return Dead() ? err.Fail(SLIPWAY_E_PEER, "the peer's instance is gone: connect to a new one") : SLIPWAY_OK;
  }
  slipway_status ImportMr(std::string_view bytes, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override {
    MrBlob b;
    if (!Unseal(bytes, b) || b.slot >= kMrsMax || b.length == 0) {
      return err.Fail(SLIPWAY_E_PROTOCOL, "these bytes are no exported registration");
    }
    if (b.epoch != address.epoch) return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration is another instance's");
    out = std::make_unique<GoodRemote>(b, this);
    return SLIPWAY_OK;
  }

  const AddressBlob address;
  const SharedMemory shared;

 private:
  const int pid_fd_;  // -1: this process
};

struct Queued {
  slipway_slice slice;
  bool canceled;
};

slipway_status Copy(const slipway_slice& s, const GoodRemote& r, const GoodPeer& peer) {
  char* const there = reinterpret_cast<char*>(r.blob.addr + s.remote_offset);
  const bool read = s.op == SLIPWAY_OP_READ;
  if (peer.address.pid == getpid()) {
    std::memmove(read ? s.local_addr : there, read ? there : s.local_addr, s.length);
    return SLIPWAY_OK;
  }
  const iovec mine{s.local_addr, s.length}, its{there, s.length};
  const auto pid = static_cast<pid_t>(peer.address.pid);
  const ssize_t n = read ? process_vm_readv(pid, &mine, 1, &its, 1, 0) : process_vm_writev(pid, &mine, 1, &its, 1, 0);
  return n == static_cast<ssize_t>(s.length) ? SLIPWAY_OK : SLIPWAY_E_PEER;
}

slipway_status Move(const slipway_slice& s) {
  const auto& remote = *static_cast<GoodRemote*>(reinterpret_cast<sdk::Remote*>(s.remote));
  const auto& peer = *static_cast<GoodPeer*>(remote.peer);
  if (peer.Dead()) return SLIPWAY_E_PEER;
  Grant& grant = peer.shared->grants[remote.blob.slot];
  ++grant.users;
  const slipway_status status = grant.id == remote.blob.id ? Copy(s, remote, peer) : SLIPWAY_E_STALE_REMOTE;
  --grant.users;
  return status;
}

class GoodChannel : public sdk::Channel {
 public:
  GoodChannel(const sdk::Host& host, void* cookie) : host_(host), cookie_(cookie) {}
  ~GoodChannel() override {
    for (const Queued& q : queue_) Unuse(q.slice);
  }
  slipway_status Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error&) override {
    MutexLock lock(mutex_);
    for (uint32_t i = 0; i < slices.size(); ++i) {
      queue_.push_back({slices[i], false});
      Mr(slices[i])->Use();
      RemoteOf(slices[i])->Use();
      ++accepted;
    }
    host_.Wake(cookie_);
    return SLIPWAY_OK;
  }
  slipway_status Poll(sdk::Completions& out) override {
    MutexLock lock(mutex_);
    for (; !out.full() && !queue_.empty(); queue_.pop_front()) {
      const slipway_slice s = queue_.front().slice;
      const slipway_status status = queue_.front().canceled ? SLIPWAY_E_CANCELED : Move(s);
      out.Put(s.token, status, status == SLIPWAY_OK ? s.length : 0);
      Unuse(s);
    }
    return SLIPWAY_OK;
  }
  slipway_status Cancel(uint64_t token) override {
    MutexLock lock(mutex_);
    for (Queued& q : queue_) q.canceled = q.canceled || q.slice.token == token;
    return SLIPWAY_OK;
  }
  void CancelAll() {
    MutexLock lock(mutex_);
    for (Queued& q : queue_) q.canceled = true;
  }

 private:
  static sdk::Registration* Mr(const slipway_slice& s) { return reinterpret_cast<sdk::Registration*>(s.local_mr); }
  static sdk::Remote* RemoteOf(const slipway_slice& s) { return reinterpret_cast<sdk::Remote*>(s.remote); }
  static void Unuse(const slipway_slice& s) {
    Mr(s)->Unuse();
    RemoteOf(s)->Unuse();
  }
  const sdk::Host host_;
  void* const cookie_;
  Mutex mutex_;
  std::deque<Queued> queue_ SLIPWAY_GUARDED_BY(mutex_);
};

class GoodInstance : public sdk::Instance {
 public:
  GoodInstance(sdk::Host host, const slipway_attrs& attrs, int shared_fd) : Instance(host, attrs), shared_(shared_fd) {
    getrandom(&shared_->epoch, sizeof(shared_->epoch), 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // where the system lets only ancestors reach a process's memory
  }
  slipway_status Quiesce(uint64_t, sdk::Error&) override {
    shared_->closed = 1;
    MutexLock lock(mutex_);
    for (GoodChannel* channel : channels_) channel->CancelAll();
    return SLIPWAY_OK;
  }
  void Stop() noexcept override { shared_->closed = 1; }
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override {
    rlimit limit{};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur < (1 << 20) && range.length > limit.rlim_cur) {  // plays at pinning, where the limit is small
      return err.FailRetryable(SLIPWAY_E_PIN_LIMIT, "RLIMIT_MEMLOCK is too low: raise it, or register less");
    }
    const uintptr_t page = reinterpret_cast<uintptr_t>(range.addr) & ~uintptr_t{4095};
    std::vector<unsigned char> resident((reinterpret_cast<uintptr_t>(range.addr) + range.length - page + 4095) / 4096);
    if (mincore(reinterpret_cast<void*>(page), resident.size() * 4096, resident.data()) != 0) {
      return err.Fail(SLIPWAY_E_INVALID, "the range is not mapped", {}, errno);
    }
    auto mr = std::make_unique<GoodMr>();
    MutexLock lock(mutex_);
    while (shared_->grants[mr->slot].id != 0) ++mr->slot;  // there is one: the layer counts against max_mrs
    shared_->grants[mr->slot].id = mr->id = ++last_id_;
    out = std::move(mr);
    return SLIPWAY_OK;
  }
  slipway_status DeregisterMemory(sdk::Registration& registration) override {
    auto& mr = static_cast<GoodMr&>(registration);
    Grant& grant = shared_->grants[mr.slot];
    grant.id = UINT64_MAX;  // nobody's, and not free yet
    const uint64_t end = host().NowNs() + 1000000000;
    while (grant.users != 0) {
      if (host().NowNs() > end) {
        grant.id = mr.id;
        return SLIPWAY_E_BUSY;
      }
      std::this_thread::yield();
    }
    grant.id = 0;
    return SLIPWAY_OK;
  }
  slipway_status ExportAddress(std::string& out, sdk::Error&) override {
    AddressBlob a;
    a.epoch = shared_->epoch;
    a.pid = getpid();
    a.fd = shared_.fd();
    out = Seal(a);
    return SLIPWAY_OK;
  }
  slipway_status ExportMr(sdk::Registration& registration, std::string& out, sdk::Error&) override {
    const auto& mr = static_cast<GoodMr&>(registration);
    MrBlob b;
    b.epoch = shared_->epoch;
    b.slot = mr.slot;
    b.id = mr.id;
    b.addr = mr.start();
    b.length = mr.length();
    b.access = mr.access() & (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE);
    out = Seal(b);
    return SLIPWAY_OK;
  }
  slipway_status Connect(std::string_view bytes, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override {
    AddressBlob a;
    if (!Unseal(bytes, a)) return err.Fail(SLIPWAY_E_PROTOCOL, "these bytes are no exported address");
    const std::string path = "/proc/" + std::to_string(a.pid) + "/fd/" + std::to_string(a.fd);
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return err.Fail(SLIPWAY_E_PEER, "the peer's process cannot be reached", {}, errno);
    const int pid_fd = a.pid == getpid() ? -1 : static_cast<int>(syscall(SYS_pidfd_open, a.pid, 0));
    auto peer = std::make_unique<GoodPeer>(a, fd, pid_fd);
    if (!peer->shared.ok() || peer->shared->epoch != a.epoch) {
      return err.Fail(SLIPWAY_E_PEER, "another instance is at that address now");
    }
    out = std::move(peer);
    return SLIPWAY_OK;
  }
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error&) override {
    class Listed : public GoodChannel {
     public:
      Listed(GoodInstance& i, void* cookie) : GoodChannel(i.host(), cookie), instance_(i) {
        MutexLock lock(instance_.mutex_);
        instance_.channels_.push_back(this);
      }
      ~Listed() override {
        MutexLock lock(instance_.mutex_);
        std::erase(instance_.channels_, this);
      }

     private:
      GoodInstance& instance_;
    };
    out = std::make_unique<Listed>(*this, cookie);
    return SLIPWAY_OK;
  }

 private:
  const SharedMemory shared_;
  Mutex mutex_;
  std::vector<GoodChannel*> channels_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t last_id_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

class Good : public sdk::Transport {
 public:
  static constexpr slipway_transport kTable = GoodTransport();
  static constexpr sdk::TransportInfo kInfo = {
      kTable.name,         kTable.version,      kTable.vendor, kTable.description, kTable.protocol,
      kTable.protocol_min, kTable.protocol_max, kTable.caps,   kTable.mem_kinds,   good_schema};
  static slipway_status Probe(sdk::Host, std::string_view json, slipway_attrs& out, sdk::Error& err) {
    nlohmann::json object;
    if (const slipway_status s = sdk::ParseConfig(json, object, err); s != SLIPWAY_OK) return s;
    sdk::ConfigReader reader(object, "", err);
    std::string label;
    out.max_inflight_per_channel = 64;
    reader.UInt("max_inflight", out.max_inflight_per_channel, 1, 1024);
    reader.String("label", label, 64);
    out.max_slice_bytes = out.preferred_slice_bytes = 1 << 20;
    out.max_mrs = kMrsMax;
    out.pins_per_reg = 1;
    out.peer_timeout_ms = 500;
    out.address_bytes_max = sizeof(AddressBlob);
    out.mr_blob_bytes_max = sizeof(MrBlob);
    return reader.Finish();
  }
  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err) {
    slipway_attrs attrs = sdk::DefaultAttrs(kInfo);
    if (const slipway_status s = Probe(host, json, attrs, err); s != SLIPWAY_OK) return s;
    const int fd = memfd_create("good", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(Shared)) != 0) {
      if (fd >= 0) close(fd);
      return err.FailRetryable(SLIPWAY_E_NOMEM, "no shared memory", {}, errno);
    }
    out = std::make_unique<GoodInstance>(host, attrs, fd);
    return SLIPWAY_OK;
  }
};

constexpr const slipway_transport& kGood = sdk::detail::kTransportTable<Good>;

}  // namespace
}  // namespace slipway::mutants

#define SLIPWAY_GOOD(result, entry, parameters, arguments) \
  extern "C" result good_##entry parameters { return slipway::mutants::kGood.entry arguments; }
#define SLIPWAY_GOOD_S(entry, parameters, arguments) SLIPWAY_GOOD(slipway_status, entry, parameters, arguments)

SLIPWAY_GOOD_S(probe, (const slipway_host* h, const char* j, size_t n, slipway_attrs* a, slipway_error* e),
               (h, j, n, a, e))
SLIPWAY_GOOD_S(create, (const slipway_host* h, const char* j, size_t n, slipway_instance** o, slipway_error* e),
               (h, j, n, o, e))
SLIPWAY_GOOD_S(get_attrs, (slipway_instance * i, slipway_attrs* a), (i, a))
SLIPWAY_GOOD_S(quiesce, (slipway_instance * i, uint64_t t, slipway_error* e), (i, t, e))
SLIPWAY_GOOD(void, destroy, (slipway_instance * i), (i))
SLIPWAY_GOOD_S(register_memory, (slipway_instance * i, const slipway_range* r, slipway_mr** o, slipway_error* e),
               (i, r, o, e))
SLIPWAY_GOOD_S(deregister_memory, (slipway_instance * i, slipway_mr* m), (i, m))
SLIPWAY_GOOD_S(query_registered, (slipway_instance * i, const slipway_range* r, slipway_reg_info* o), (i, r, o))
SLIPWAY_GOOD_S(export_address, (slipway_instance * i, void* b, size_t* n, slipway_error* e), (i, b, n, e))
SLIPWAY_GOOD_S(export_mr, (slipway_instance * i, slipway_mr* m, void* b, size_t* n, slipway_error* e), (i, m, b, n, e))
SLIPWAY_GOOD_S(connect, (slipway_instance * i, const void* a, size_t n, slipway_peer** o, slipway_error* e),
               (i, a, n, o, e))
SLIPWAY_GOOD_S(peer_ready, (slipway_peer * p, slipway_error* e), (p, e))
SLIPWAY_GOOD_S(disconnect, (slipway_peer * p), (p))
SLIPWAY_GOOD_S(import_mr, (slipway_peer * p, const void* b, size_t n, slipway_remote** o, slipway_error* e),
               (p, b, n, o, e))
SLIPWAY_GOOD_S(release_remote, (slipway_remote * r), (r))
SLIPWAY_GOOD_S(channel_open, (slipway_instance * i, void* c, slipway_channel** o, slipway_error* e), (i, c, o, e))
SLIPWAY_GOOD_S(channel_close, (slipway_channel * c), (c))
SLIPWAY_GOOD_S(submit,
               (slipway_channel * c, const slipway_slice* s, uint32_t d, uint32_t n, uint32_t* a, slipway_error* e),
               (c, s, d, n, a, e))
SLIPWAY_GOOD_S(poll, (slipway_channel * c, slipway_completion* o, uint32_t d, uint32_t m, uint32_t* n), (c, o, d, m, n))
SLIPWAY_GOOD_S(cancel, (slipway_channel * c, uint64_t t), (c, t))
