// What pinning and copying cost here, in nanoseconds: measured, and refined by what is seen as it runs.
#ifndef SLIPWAY_CORE_MEMORY_PIN_COSTS_H_
#define SLIPWAY_CORE_MEMORY_PIN_COSTS_H_

#include <atomic>
#include <cstdint>

namespace slipway {

// The cost of an operation on `bytes` bytes: fixed + bytes * per_byte. Thread-safe; each number by itself is whole.
class LinearCost {
 public:
  // What is assumed until something has been observed.
  LinearCost(uint64_t fixed_ns, uint64_t ns_per_mib) : fixed_ns_(fixed_ns), ns_per_mib_(ns_per_mib) {}

  uint64_t EstimateNs(uint64_t bytes) const;
  // Two measured points, the first of fewer bytes. Ignored where a clock stood still.
  void Fit(uint64_t small_bytes, uint64_t small_ns, uint64_t large_bytes, uint64_t large_ns);
  // One operation that was seen: moves the estimate an eighth of the way. Small ones say something about the fixed
  // part, large ones about the rest; one that took eight times the estimate or more counts as eight times, since that
  // is a thread that lost its processor.
  void Observe(uint64_t bytes, uint64_t took_ns);

  uint64_t fixed_ns() const { return fixed_ns_.load(std::memory_order_relaxed); }
  uint64_t ns_per_mib() const { return ns_per_mib_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> fixed_ns_, ns_per_mib_;
};

// Whether a range is worth pinning: a rule of its own, so that it can be read and tested by itself.
struct AdmissionRule {
  // A touch counts as seen again when it is not further on in a first pass over the extent and not older than this.
  uint64_t window_ns = 0;
  // A first touch of a request of at least this length is pinned; 0: by the costs.
  uint64_t pin_from_bytes = 0;

  struct Touch {
    uint64_t request_bytes = 0;  // of the request, from here on
    uint64_t now_ns = 0;
    uint64_t offset = 0;   // where in the extent
    uint64_t copy_ns = 0;  // what copying the part in this extent would cost
    uint64_t pin_ns = 0;   // what pinning the extent would cost
    // What was copied of it before: up to where, when last, and at what cost. All 0: nothing.
    uint64_t copied_end = 0, copied_ns = 0, copied_cost_ns = 0;
  };
  bool SeenAgain(const Touch& touch) const;
  // A range that was seen again is expected to be used kUsesAgain times as often as it has been, a first touch
  // kUsesFirst times; it is pinned where copying as often would cost more than pinning does.
  static constexpr uint64_t kUsesFirst = 16, kUsesAgain = 64;
  bool WorthPinning(const Touch& touch) const;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_PIN_COSTS_H_
