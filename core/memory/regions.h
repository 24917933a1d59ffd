// The memory that the application declared, and what is registered of it.
#ifndef SLIPWAY_CORE_MEMORY_REGIONS_H_
#define SLIPWAY_CORE_MEMORY_REGIONS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/memory/ledger.h"
#include "core/memory/pin_cache.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

// A transport that slices can only use with registered local memory.
struct RegisteringTransport {
  std::string name;
  Ledger* ledger = nullptr;
  uint64_t mem_kinds = 0;
};

enum class DeclareMode { kBestEffort, kRequired, kNever, kOnDemand };

// Thread-safe. Declares and undeclares run one at a time, since they may block in plugins.
class Regions {
 public:
  // `cache` is what kOnDemand needs.
  explicit Regions(std::vector<RegisteringTransport> transports, PinCache* cache = nullptr)
      : transports_(std::move(transports)), cache_(cache) {}

  // Declares [addr, addr + length), not empty and not wrapping, once more. The first time, registers it with every
  // transport that needs it and reaches its kind, later only with those where that was left out or failed; `warnings`
  // says where it did not work with kBestEffort. With kRequired that is an error, and nothing is declared. With
  // kOnDemand nothing is registered now: the cache may pin it when it is used.
  Status Declare(void* addr, uint64_t length, uint64_t mem_kind, DeclareMode mode, std::vector<std::string>* warnings)
      SLIPWAY_EXCLUDES(mutex_);
  // Takes one declare of exactly this range back. The last one deregisters; E_REGION_BUSY when leases last longer than
  // `timeout_ns`, and then the range is still declared. E_NOT_DECLARED.
  Status Undeclare(void* addr, uint64_t length, uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);
  // How many declares of exactly this range there are.
  uint64_t Count(const void* addr, uint64_t length) const SLIPWAY_EXCLUDES(mutex_);
  // A declared region that holds the whole range; length 0 where none is found. One that lies within others may be
  // missed: then ask the memory providers.
  struct Holder {
    uint64_t address = 0, length = 0, mem_kind = 0;
  };
  Holder FindHolder(uint64_t addr, uint64_t length) const SLIPWAY_EXCLUDES(mutex_);
  // Whether some declared region has a byte in common with [addr, addr + length).
  bool Overlaps(const void* addr, uint64_t length) const SLIPWAY_EXCLUDES(mutex_);
  // Undeclares everything, as far as it goes.
  void Clear() SLIPWAY_EXCLUDES(mutex_);

  struct View {
    uint64_t address = 0, length = 0, declared = 0, registrations = 0, mem_kind = 0;
    bool on_demand = false;
  };
  std::vector<View> Views() const SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Region {
    uint64_t declared = 0;
    uint64_t mem_kind = 0;
    bool on_demand = false;                                 // declared to the cache
    std::vector<std::vector<Registration*>> registrations;  // per transport
  };
  using Key = std::pair<uint64_t, uint64_t>;  // address, length

  Status RegisterAll(void* addr, uint64_t length, DeclareMode mode, Region* region, std::vector<std::string>* warnings)
      SLIPWAY_REQUIRES(mutex_);
  Status DeregisterAll(const Key& key, Region* region, uint64_t timeout_ns) SLIPWAY_REQUIRES(mutex_);

  const std::vector<RegisteringTransport> transports_;
  PinCache* const cache_;
  mutable Mutex mutex_;
  std::map<Key, Region> regions_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_REGIONS_H_
