// The classes that a transport's author derives from. The layer above the C table (transport_glue.hpp) has checked
// every argument before a virtual function here is called, keeps count of what is alive and in flight, answers
// query_registered, and stops exceptions.
//
// Ownership: objects that are made (instance, channel, registration, peer, remote) belong to the layer, which deletes
// them when the core lets go of them, or all together when the instance is destroyed. Thread tags: see abi/status.h.
#ifndef SLIPWAY_SDK_TRANSPORT_HPP_
#define SLIPWAY_SDK_TRANSPORT_HPP_

#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "slipway/abi/transport.h"
#include "slipway/sdk/error.hpp"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/interval_map.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::sdk {

class Instance;
class Peer;
namespace detail {
class Checks;
class Glue;
}  // namespace detail

// What the descriptor says of a transport without running code. All strings are literals.
struct TransportInfo {
  const char* name;
  const char* version;
  const char* vendor;
  const char* description;
  const char* protocol;
  uint32_t protocol_min, protocol_max;
  uint64_t caps, mem_kinds;
  const char* config_schema;  // NULL: takes no keys
};

// Attributes that are valid once caps, mem_kinds and the sizes are set: no limits, no alignment, nothing pinned.
inline slipway_attrs DefaultAttrs(const TransportInfo& info) {
  slipway_attrs a{};
  a.struct_size = sizeof(a);
  a.numa_node = -1;
  a.caps = info.caps;
  a.mem_kinds = info.mem_kinds;
  a.max_slice_bytes = a.preferred_slice_bytes = uint64_t{1} << 30;
  a.max_channels = 64;
  a.max_inflight_per_channel = 256;
  a.max_submit_batch = 64;
  a.local_align = a.remote_align = a.length_align = a.reg_granularity = 1;
  detail::CopyText(a.device, sizeof(a.device), info.name);
  return a;
}

// ---- slices and completions ------------------------------------------------------------------------------------

// The slices of one submit(): checked, at most as many as there is room for, and never empty.
class Slices {
 public:
  Slices(const slipway_slice* first, uint32_t stride, uint32_t count) : first_(first), stride_(stride), count_(count) {}
  uint32_t size() const { return count_; }
  const slipway_slice& operator[](uint32_t i) const {
    return *reinterpret_cast<const slipway_slice*>(reinterpret_cast<const char*>(first_) + size_t{stride_} * i);
  }

 private:
  const slipway_slice* const first_;
  const uint32_t stride_, count_;
};

// Where poll() puts what has completed.
class Completions {
 public:
  Completions(slipway_completion* first, uint32_t stride, uint32_t room)
      : first_(first), stride_(stride), room_(room) {}
  bool full() const { return count_ == room_; }
  uint32_t room() const { return room_ - count_; }
  uint32_t size() const { return count_; }
  // The caller has looked at full(). `bytes` is the slice's length when OK, at most that otherwise.
  void Put(uint64_t token, slipway_status status, uint64_t bytes, int32_t native = 0) {
    const slipway_completion c{token, status, native, bytes, 0};
    std::memcpy(reinterpret_cast<char*>(first_) + size_t{stride_} * count_++, &c, sizeof(c));
  }

 private:
  slipway_completion* const first_;
  const uint32_t stride_, room_;
  uint32_t count_ = 0;
};

// ---- objects ---------------------------------------------------------------------------------------------------

// Something that slices in flight name. While it is in use, the core's attempt to let go of it is answered E_BUSY.
// A transport counts every slice it accepts and every one whose last byte has moved; from any thread.
class InUse {
 public:
  void Use(uint32_t n = 1) { users_.fetch_add(n, std::memory_order_relaxed); }
  void Unuse(uint32_t n = 1) { users_.fetch_sub(n, std::memory_order_release); }
  bool in_use() const { return users_.load(std::memory_order_acquire) != 0; }

 private:
  std::atomic<uint32_t> users_{0};
};

// A local registration. start(), length() and access() are set once the layer has taken it over; the constructor of a
// derived class takes what it needs from the range.
class Registration : public RegistrationNode, public InUse {
 public:
  virtual ~Registration() = default;

 private:
  friend class detail::Checks;
  friend class detail::Glue;
  Instance* instance_ = nullptr;
};

namespace detail {

// An object in the list of its owner.
template <typename T>
struct Linked {
  T* prev = nullptr;
  T* next = nullptr;
};

}  // namespace detail

// A registration of a peer's. The layer refuses slices beyond `length` (E_RANGE) or without the access (E_ACCESS), as
// far as the exporter said; the target checks again.
class Remote : public InUse {
 public:
  // `access`: the SLIPWAY_ACCESS_REMOTE_* bits that the registration was exported with.
  Remote(uint64_t length, uint32_t access) : length_(length), access_(access) {}
  virtual ~Remote() = default;
  uint64_t length() const { return length_; }
  uint32_t access() const { return access_; }

 private:
  friend class detail::Checks;
  friend class detail::Glue;
  const uint64_t length_;
  const uint32_t access_;
  Instance* instance_ = nullptr;
  Peer* peer_ = nullptr;
  detail::Linked<Remote> link_;
};

// Another instance of the same protocol.
class Peer : public InUse {
 public:
  virtual ~Peer() = default;
  // [nb] OK, IN_PROGRESS, or why the peer cannot be used; once failed it stays so.
  virtual slipway_status Ready(Error& err) = 0;
  // [control] Checks `blob` as bytes from a stranger: E_PROTOCOL, or E_STALE_REMOTE when it is not of this peer's
  // instance.
  virtual slipway_status ImportMr(std::string_view blob, std::unique_ptr<Remote>& out, Error& err) = 0;
  // [control] About to be deleted: no slice and no remote is left. Anything but OK keeps the peer.
  virtual slipway_status Disconnect() { return SLIPWAY_OK; }

 private:
  friend class detail::Checks;
  friend class detail::Glue;
  Instance* instance_ = nullptr;
  Remote* remotes_ = nullptr;
  detail::Linked<Peer> link_;
};

// Where slices are submitted and completions polled. The layer serialises nothing: the core does, per channel.
class Channel {
 public:
  virtual ~Channel() = default;
  // [channel][nb] Accepts the first `accepted` of the slices. Fewer than all and OK: there was no room for more. An
  // error: slice number `accepted` is at fault. Every slice has been checked against the attributes and, where local
  // registrations are needed, against its registration.
  virtual slipway_status Submit(const Slices& slices, uint32_t& accepted, Error& err) = 0;
  // [channel][nb] Puts what has completed, up to the room there is.
  virtual slipway_status Poll(Completions& out) = 0;
  // [channel][nb] With CAP_CANCEL. An unknown token is OK.
  virtual slipway_status Cancel(uint64_t /*token*/) { return SLIPWAY_E_UNSUPPORTED; }
  // [control] With CAP_EVENT_FD.
  virtual int EventFd() { return -1; }

 private:
  friend class detail::Checks;
  friend class detail::Glue;
  Instance* instance_ = nullptr;
  uint32_t inflight_ = 0;  // accepted and not polled; the core serialises what touches it
  detail::Linked<Channel> link_;
};

// One configured transport. The attributes are fixed when it is made.
class Instance {
 public:
  Instance(Host host, const slipway_attrs& attrs) : host_(host), attrs_(attrs) { attrs_.struct_size = sizeof(attrs_); }
  // Everything that the instance made is gone by now, and Stop() was called.
  virtual ~Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  const Host& host() const { return host_; }
  const slipway_attrs& attrs() const { return attrs_; }

  // [control] Every accepted slice completes, CANCELED where it has not happened yet; peers' new requests are refused.
  // The layer already refuses new slices. OK: every completion is queued. E_TIMEOUT: some slice is outstanding.
  virtual slipway_status Quiesce(uint64_t timeout_ns, Error& err) = 0;
  // [control] The instance is about to be destroyed: stop all traffic and join all threads, so that objects can be
  // deleted in any order. Slices may still be in flight. Must not fail; not called in a forked child.
  virtual void Stop() noexcept = 0;

  // [any] with CAP_REG_THREADSAFE, else [control]. The range is complete whatever the core's revision; it has been
  // checked against the attributes. The layer sets the registration's range and puts it into the index.
  virtual slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<Registration>& out, Error& err) = 0;
  // After OK no one touches the memory through `mr` and the layer deletes it; else nothing has changed.
  virtual slipway_status DeregisterMemory(Registration& /*mr*/) { return SLIPWAY_OK; }
  // [any][nb] The layer's answer comes from the registrations alive and is right for every transport whose
  // registrations reach exactly what was registered. Override where they do not.
  virtual slipway_status QueryRegistered(const slipway_range& range, slipway_reg_info& out);

  // [control] Bytes that travel; at most attrs().address_bytes_max and mr_blob_bytes_max of them.
  virtual slipway_status ExportAddress(std::string& out, Error& err) = 0;
  virtual slipway_status ExportMr(Registration& mr, std::string& out, Error& err) = 0;
  // [control] Never blocks on the network. `address` is bytes from a stranger: E_PROTOCOL.
  virtual slipway_status Connect(std::string_view address, std::unique_ptr<Peer>& out, Error& err) = 0;
  // [control] `cookie` is for host().Wake().
  virtual slipway_status OpenChannel(void* cookie, std::unique_ptr<Channel>& out, Error& err) = 0;
  // [any] Counters as one JSON object.
  virtual slipway_status StatsJson(std::string& out) {
    out = "{}";
    return SLIPWAY_OK;
  }

  // The answer of query_registered from the registrations alive that grant all of `access`, whatever QueryRegistered
  // was overridden with; range.access does not count.
  slipway_status QueryIndex(const slipway_range& range, uint32_t access, slipway_reg_info& out);

 protected:
  // Which of the access rights need a registration here.
  uint32_t AccessNeedingRegistration() const {
    uint32_t bits = 0;
    if (attrs_.caps & SLIPWAY_CAP_NEEDS_LOCAL_REG) bits |= SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE;
    if (attrs_.caps & SLIPWAY_CAP_NEEDS_REMOTE_REG) bits |= SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;
    return bits;
  }

 private:
  friend class detail::Checks;
  friend class detail::Glue;

  const Host host_;
  slipway_attrs attrs_;
  const ForkGuard fork_guard_;
  std::atomic<bool> quiesced_{false};

  Mutex mutex_;
  RegistrationIndex index_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t registered_bytes_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t registering_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // counted against max_mrs, not in the index yet
  uint64_t generation_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  Channel* channels_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  uint32_t channel_count_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  Peer* peers_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
};

// The objects behind the handles of a slice.
inline Remote* AsRemote(slipway_remote* handle) { return reinterpret_cast<Remote*>(handle); }
inline Registration* AsRegistration(slipway_mr* handle) { return reinterpret_cast<Registration*>(handle); }

// What SLIPWAY_PLUGIN exports. A transport derives from it and declares, all static:
//   static constexpr TransportInfo kInfo = {...};
//   static slipway_status Probe(Host host, std::string_view json, slipway_attrs& out, Error& err);
//   static slipway_status Create(Host host, std::string_view json, std::unique_ptr<Instance>& out, Error& err);
// and, where it has extensions:
//   static const void* GetExtension(std::string_view id);
// Probe is given DefaultAttrs(kInfo) and leaves nothing behind.
class Transport {};

inline slipway_status Instance::QueryIndex(const slipway_range& range, uint32_t access, slipway_reg_info& out) {
  MutexLock lock(mutex_);
  out.generation = generation_;
  out.mr = nullptr;
  if ((access & AccessNeedingRegistration()) == 0) {
    out.state = SLIPWAY_REG_NOT_REQUIRED;
    out.prefix_bytes = range.length;
    return SLIPWAY_OK;
  }
  const RegistrationIndex::Prefix prefix =
      index_.LongestPrefix(reinterpret_cast<uintptr_t>(range.addr), range.length, access);
  out.prefix_bytes = prefix.bytes;
  out.state = prefix.bytes == 0              ? SLIPWAY_REG_NONE
              : prefix.bytes == range.length ? SLIPWAY_REG_FULL
                                             : SLIPWAY_REG_PARTIAL;
  if (prefix.node != nullptr) out.mr = reinterpret_cast<slipway_mr*>(static_cast<Registration*>(prefix.node));
  return SLIPWAY_OK;
}

inline slipway_status Instance::QueryRegistered(const slipway_range& range, slipway_reg_info& out) {
  return QueryIndex(range, range.access, out);
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_TRANSPORT_HPP_
