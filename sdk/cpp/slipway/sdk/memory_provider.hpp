// The classes that the author of a memory provider derives from. The layer above the C table (memory_provider_glue.hpp)
// has checked every argument before a virtual function here is called, knows which host ranges are pinned, keeps count
// of what is in flight, and stops exceptions.
//
// Ownership: objects that are made (instance, queue, pin) belong to the layer, which deletes them when the core lets go
// of them, or all together when the instance is destroyed. Thread tags: see abi/status.h.
#ifndef SLIPWAY_SDK_MEMORY_PROVIDER_HPP_
#define SLIPWAY_SDK_MEMORY_PROVIDER_HPP_

#include <map>
#include <memory>
#include <string_view>

#include "slipway/abi/memory_provider.h"
#include "slipway/sdk/error.hpp"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"
#include "slipway/sdk/transport.hpp"  // Completions

namespace slipway::sdk {

class ProviderInstance;
namespace detail {
class ProviderGlue;
}

// What the descriptor says of a memory provider without running code. All strings are literals.
struct ProviderInfo {
  const char* name;
  const char* version;
  const char* vendor;
  const char* description;
  const char* config_schema;  // NULL: takes no keys
  uint64_t mem_kind;          // one SLIPWAY_MEM_* bit
};

// The pieces of one copy_submit(): checked, and at most as many as there is room for. One side of each at least is the
// provider's kind; a length may be 0.
class Copies {
 public:
  Copies(const slipway_copy* first, uint32_t stride, uint32_t count) : first_(first), stride_(stride), count_(count) {}
  uint32_t size() const { return count_; }
  const slipway_copy& operator[](uint32_t i) const {
    return *reinterpret_cast<const slipway_copy*>(reinterpret_cast<const char*>(first_) + size_t{stride_} * i);
  }
  Copies First(uint32_t count) const { return Copies(first_, stride_, count); }
  Copies From(uint32_t i) const { return Copies(i < count_ ? &(*this)[i] : first_, stride_, count_ - i); }

 private:
  const slipway_copy* const first_;
  const uint32_t stride_, count_;
};

// A pinned range of host memory. start() and length() are set once the layer has taken it over.
class HostPin {
 public:
  virtual ~HostPin() = default;
  uintptr_t start() const { return start_; }
  uint64_t length() const { return length_; }

 private:
  friend class detail::ProviderGlue;
  uintptr_t start_ = 0;
  uint64_t length_ = 0;
};

// Where pieces are submitted and completions polled. The layer serialises nothing: the core does, per queue.
class CopyQueue {
 public:
  // At most `max_inflight` pieces are accepted and not polled; a group counts as one.
  explicit CopyQueue(uint32_t max_inflight) : max_inflight_(max_inflight) {}
  virtual ~CopyQueue() = default;
  CopyQueue(const CopyQueue&) = delete;
  CopyQueue& operator=(const CopyQueue&) = delete;
  // [channel][nb] Accepts the first `accepted` of the pieces. Fewer than all and OK: there was no room for more. An
  // error: piece number `accepted` is at fault.
  virtual slipway_status Submit(const Copies& pieces, uint32_t& accepted, Error& err) = 0;
  // [channel][nb] Where the provider has the extension kGroupTable: the same, and the accepted pieces complete
  // together, as `token`; see abi/group.h. Only with `accepted` above 0 is there such a completion, also after an
  // error.
  virtual slipway_status SubmitGroup(uint64_t /*token*/, const Copies& /*pieces*/, uint32_t& /*accepted*/, Error& err) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "this provider has no groups");
  }
  // [channel][nb] Puts what has completed, up to the room there is.
  virtual slipway_status Poll(Completions& out) = 0;

 private:
  friend class detail::ProviderGlue;
  const uint32_t max_inflight_;
  ProviderInstance* instance_ = nullptr;
  uint32_t inflight_ = 0;  // accepted and not polled; the core serialises what touches it
  detail::Linked<CopyQueue> link_;
};

// One configured memory provider.
class ProviderInstance {
 public:
  ProviderInstance(Host host, uint64_t mem_kind) : host_(host), mem_kind_(mem_kind) {}
  // Everything that the instance made is gone by now, and Stop() was called.
  virtual ~ProviderInstance() = default;
  ProviderInstance(const ProviderInstance&) = delete;
  ProviderInstance& operator=(const ProviderInstance&) = delete;

  const Host& host() const { return host_; }
  uint64_t mem_kind() const { return mem_kind_; }

  // [control] The instance is about to be destroyed: join all threads, so that objects can be deleted in any order.
  // Copies may still be in flight. Must not fail; not called in a forked child.
  virtual void Stop() noexcept = 0;

  // [any][nb] Leaves `out` alone where the address is not of this kind, else sets mem_kind and what is known.
  virtual slipway_status Classify(const void* addr, uint64_t length, slipway_mem_info& out) = 0;
  // [control] `cookie` is for host().Wake().
  virtual slipway_status OpenQueue(void* cookie, std::unique_ptr<CopyQueue>& out, Error& err) = 0;

  // [any] Where T::kPinsHost. The range is whole pages, not empty, and overlaps no pin of this instance.
  virtual slipway_status PinHost(void* /*addr*/, uint64_t /*length*/, std::unique_ptr<HostPin>& /*out*/, Error& err) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "this provider does not pin");
  }
  // [any] After OK the layer deletes the pin; else it stays as it was. Also called for pins that are left when the
  // instance is destroyed, after Stop().
  virtual slipway_status UnpinHost(HostPin& /*pin*/, Error& /*err*/) { return SLIPWAY_OK; }
  // [any] Where T::kExportsDmabuf.
  virtual slipway_status ExportDmabuf(const void* /*addr*/, uint64_t /*length*/, int& /*fd*/, uint64_t& /*offset*/,
                                      Error& err) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "this provider does not export DMA-BUFs");
  }

 private:
  friend class detail::ProviderGlue;
  // A range that is pinned, or that a thread is about to pin (then `pin` is NULL).
  struct PinEntry {
    uint64_t length;
    HostPin* pin;
  };

  const Host host_;
  const uint64_t mem_kind_;
  const ForkGuard fork_guard_;

  Mutex mutex_;
  std::map<uintptr_t, PinEntry> pins_ SLIPWAY_GUARDED_BY(mutex_);          // by start; disjoint
  std::map<const HostPin*, uintptr_t> starts_ SLIPWAY_GUARDED_BY(mutex_);  // of the pins that are handed out
  CopyQueue* queues_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
};

// What SLIPWAY_MEMORY_PLUGIN exports. A memory provider derives from it and declares, all static:
//   static constexpr ProviderInfo kInfo = {...};
//   static slipway_status Probe(Host host, std::string_view json, Error& err);
//   static slipway_status Create(Host host, std::string_view json, std::unique_ptr<ProviderInstance>& out, Error& err);
// and, where it has them:
//   static constexpr bool kPinsHost = true, kExportsDmabuf = true;
//   static const void* GetExtension(std::string_view id);
// Probe leaves nothing behind.
class MemoryProvider {};

// The objects behind the handles, for the tables of an author's own extensions. Callers pass handles that are alive.
inline ProviderInstance* AsProvider(slipway_provider* handle) { return reinterpret_cast<ProviderInstance*>(handle); }
inline CopyQueue* AsCopyQueue(slipway_copy_queue* handle) { return reinterpret_cast<CopyQueue*>(handle); }

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_MEMORY_PROVIDER_HPP_
