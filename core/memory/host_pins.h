// Host memory pinned by the memory providers, so that their devices copy to and from it at full rate.
#ifndef SLIPWAY_CORE_MEMORY_HOST_PINS_H_
#define SLIPWAY_CORE_MEMORY_HOST_PINS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/memory/pin_budget.h"
#include "core/memory/providers.h"
#include "core/metrics/counters.h"

namespace slipway {

// One range, pinned by one provider.
struct HostPin {
  const MemoryProvider* provider = nullptr;
  slipway_pin* pin = nullptr;
  uint64_t charged_bytes = 0;
};

// Thread-safe.
class HostPins {
 public:
  HostPins(const Providers& providers, PinBudget& budget, Counters& counters)
      : providers_(providers), budget_(budget), counters_(counters) {}

  // Pins the pages that the range touches with every provider that pins, best effort: `warnings` says where the budget
  // or the system refused. What is pinned already is left to who pinned it. The caller gives the pins back before the
  // memory goes.
  std::vector<HostPin> Pin(const void* addr, uint64_t length, std::vector<std::string>* warnings);
  // What cannot be unpinned keeps its charge: its pages may stay pinned for good.
  void Unpin(const std::vector<HostPin>& pins, std::vector<std::string>* warnings);

 private:
  const Providers& providers_;
  PinBudget& budget_;
  Counters& counters_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_HOST_PINS_H_
