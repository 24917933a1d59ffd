// The registrations of one transport instance: the authority for what the core registered, and who may let go of it.
#ifndef SLIPWAY_CORE_MEMORY_LEDGER_H_
#define SLIPWAY_CORE_MEMORY_LEDGER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/memory/pin_budget.h"
#include "core/metrics/counters.h"
#include "core/transfer/slicer.h"
#include "slipway/abi/transport.h"
#include "slipway/sdk/interval_map.hpp"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

// One registration. Made and destroyed by the ledger; the node's range is exact, the charge is by whole pages.
struct Registration : sdk::RegistrationNode {
  slipway_mr* mr = nullptr;
  uint64_t bytes = 0;
  uint64_t charged_bytes = 0;
  uint32_t leases = 0;  // slices in flight through it; guarded by the ledger's mutex
};

// What the ledger asks of the transport.
class Registrar {
 public:
  virtual ~Registrar() = default;
  virtual Result<slipway_mr*> RegisterMemory(const slipway_range& range) = 0;
  virtual Status DeregisterMemory(slipway_mr* mr) = 0;
};

// Thread-safe. A registration is found by lookups from when Register returned until Deregister begins.
class Ledger final {
 public:
  struct Limits {
    uint64_t max_mr_bytes = 0;  // 0: none
    uint32_t pins_per_reg = 0;
    uint64_t page_bytes = 4096;
  };

  Ledger(Registrar& registrar, const Limits& limits, PinBudget& budget, Counters& counters);
  ~Ledger();  // every registration has been deregistered, or Abandon was called

  // Reserves the budget, then registers [addr, addr + length), in as many registrations as max_mr_bytes demands: all of
  // them or none. E_PIN_BUDGET: the cap forbids it. Otherwise what the plugin said.
  Result<std::vector<Registration*>> Register(void* addr, uint64_t length, uint32_t access, uint64_t mem_kind)
      SLIPWAY_EXCLUDES(mutex_);
  // Refuses new leases, waits up to `timeout_ns` for those that there are, and deregisters; takes out of
  // `registrations` what is gone. E_REGION_BUSY while leases or peers keep one busy: what is left is found by lookups
  // again, and the caller may try once more. A plugin that fails to deregister otherwise keeps its charge, and says
  // why.
  Status Deregister(std::vector<Registration*>& registrations, uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);
  // Forgets everything without calling the plugin, for an instance that is destroyed or broken. Releases the charges.
  void Abandon() SLIPWAY_EXCLUDES(mutex_);

  // As LocalCoverage, without a lease: for explaining, never for submitting.
  LocalCover CoverAt(uint64_t addr, uint64_t length, uint32_t access) const SLIPWAY_EXCLUDES(mutex_);
  // The same, and where the answer is a registration, with a lease on it that ReturnLease gives back.
  LocalCover CoverWithLease(uint64_t addr, uint64_t length, uint32_t access) SLIPWAY_EXCLUDES(mutex_);
  void ReturnLease(Registration* registration) SLIPWAY_EXCLUDES(mutex_);

  struct Totals {
    uint64_t registrations = 0, registered_bytes = 0, charged_bytes = 0;
  };
  Totals totals() const SLIPWAY_EXCLUDES(mutex_);

 private:
  LocalCover Cover(uint64_t addr, uint64_t length, uint32_t access) const SLIPWAY_REQUIRES(mutex_);
  Result<std::unique_ptr<Registration>> RegisterOne(char* addr, uint64_t length, uint32_t access, uint64_t mem_kind);
  Status Enter(const std::vector<Registration*>& made, uint64_t addr, uint32_t access) SLIPWAY_REQUIRES(mutex_);
  Status Close(const std::vector<Registration*>& registrations, uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);
  void Reopen(const std::vector<Registration*>& registrations) SLIPWAY_REQUIRES(mutex_);
  void RetryLeftover() SLIPWAY_EXCLUDES(mutex_);
  Status DeregisterOne(Registration* registration) SLIPWAY_EXCLUDES(mutex_);
  uint64_t ChargeFor(const char* addr, uint64_t length) const;

  Registrar& registrar_;
  const Limits limits_;
  PinBudget& budget_;
  Counters& counters_;

  mutable Mutex mutex_;
  CondVar returned_;
  sdk::RegistrationIndex index_ SLIPWAY_GUARDED_BY(mutex_);
  Totals totals_ SLIPWAY_GUARDED_BY(mutex_);
  // Parts of a failed Register that the plugin was too busy to take back; tried again with every change.
  std::vector<Registration*> leftover_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Registration>> undead_ SLIPWAY_GUARDED_BY(mutex_);  // could not be deregistered
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_LEDGER_H_
