// The cap on bytes that are pinned on behalf of one engine. Hard: whoever wants to pin reserves first, so the sum never
// exceeds the cap, not even while a registration is under way.
#ifndef SLIPWAY_CORE_MEMORY_PIN_BUDGET_H_
#define SLIPWAY_CORE_MEMORY_PIN_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "core/metrics/counters.h"

namespace slipway {

// Thread-safe, lock-free but for Reserve.
class PinBudget {
 public:
  static constexpr uint64_t kNoCap = UINT64_MAX;

  PinBudget(uint64_t cap_bytes, Counters& counters) : cap_bytes_(cap_bytes), counters_(counters) {}

  // False, and nothing reserved, where it would exceed the cap.
  [[nodiscard]] bool TryReserve(uint64_t bytes);
  // The same for callers that may block: where there is no room, has some made, and tries once more.
  [[nodiscard]] bool Reserve(uint64_t bytes);
  // Who makes room of (at least) so many bytes, where it can. Set, and set to null, while nobody reserves.
  void SetReclaimer(std::function<void(uint64_t bytes)> reclaim) { reclaim_ = std::move(reclaim); }
  void Release(uint64_t bytes);

  uint64_t cap_bytes() const { return cap_bytes_; }
  uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  const uint64_t cap_bytes_;
  Counters& counters_;
  std::atomic<uint64_t> used_bytes_{0};
  std::function<void(uint64_t)> reclaim_;
};

// The smaller of what is configured (0: no explicit cap) and nine tenths of RLIMIT_MEMLOCK, which does not bind a
// process that may lock memory without limit (CAP_IPC_LOCK).
uint64_t PinCapBytes(uint64_t configured_bytes);
// The rule by itself: `memlock_bytes` is kNoCap where there is no limit.
uint64_t PinCapBytes(uint64_t configured_bytes, uint64_t memlock_bytes, bool may_lock);

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_PIN_BUDGET_H_
