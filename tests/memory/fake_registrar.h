// A registrar that remembers what is registered, checks that the budget was reserved before, and fails on request.
#ifndef SLIPWAY_TESTS_MEMORY_FAKE_REGISTRAR_H_
#define SLIPWAY_TESTS_MEMORY_FAKE_REGISTRAR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "core/memory/ledger.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

// Thread-safe.
class FakeRegistrar final : public Registrar {
 public:
  Result<slipway_mr*> RegisterMemory(const slipway_range& range) override;
  Status DeregisterMemory(slipway_mr* mr) override;

  struct Range {
    uint64_t addr, length;
    uint32_t access;
  };
  std::vector<Range> ranges() const;  // in the order of their registration
  size_t count() const { return ranges().size(); }
  // Pages of all that is registered now, as the budget should have charged it at least.
  uint64_t registered_bytes() const;

  void FailRegisterAfter(uint64_t good, slipway_status status);  // all that follow, until `good` is set anew
  void FailDeregister(uint64_t times, slipway_status status);
  // Called inside RegisterMemory and DeregisterMemory.
  void OnRegister(std::function<void()> look) { on_register_ = std::move(look); }
  void OnDeregister(std::function<void()> look) { on_deregister_ = std::move(look); }

 private:
  std::function<void()> on_register_, on_deregister_;  // set before threads use it
  mutable Mutex mutex_;
  std::map<uint64_t, Range> live_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t next_ SLIPWAY_GUARDED_BY(mutex_) = 1;
  uint64_t good_registers_ SLIPWAY_GUARDED_BY(mutex_) = UINT64_MAX;
  uint64_t bad_deregisters_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  slipway_status register_status_ SLIPWAY_GUARDED_BY(mutex_) = SLIPWAY_OK;
  slipway_status deregister_status_ SLIPWAY_GUARDED_BY(mutex_) = SLIPWAY_OK;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_MEMORY_FAKE_REGISTRAR_H_
