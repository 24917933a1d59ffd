// Whether an io thread goes on looking for events before it sleeps.
#ifndef SLIPWAY_PLUGINS_TCP_PATIENCE_H_
#define SLIPWAY_PLUGINS_TCP_PATIENCE_H_

#include <algorithm>
#include <cstdint>

namespace slipway::tcp {

// Looking pays where events come at short intervals, each with little to do: to be woken takes longer than they do.
// How long it takes is part of the interval that a thread sees which slept, and on a virtual machine it is most of it:
// such an interval counts as short up to kAsleep times the limit. Else a thread that slept once, because the machine
// was busy for a moment, would find each interval too long to ever look again. Whether looking would find something is
// then known by trying: each look in vain has to be earned by twice as many short intervals as the one before, each
// that finds something makes the next one cheaper.
class Patience {
 public:
  // Looks for `limit_ns` after an event at most; 0: never.
  explicit Patience(uint64_t limit_ns) : limit_ns_(limit_ns) {}
  bool Looks(uint64_t now_ns) const { return run_ >= needed_ && now_ns - last_ns_ < limit_ns_; }
  void OnEvent(uint64_t now_ns) {
    const uint64_t interval_ns = now_ns - last_ns_;
    const bool looked = run_ >= needed_;
    const bool found = looked && interval_ns < limit_ns_;
    if (found) {
      needed_ = std::max(needed_ / 2, uint32_t{1});
    } else {
      if (looked) {
        needed_ = std::min(needed_ * 2, kMost);
        run_ = 0;
      }
      run_ = interval_ns < kAsleep * limit_ns_ ? run_ + 1 : 0;
    }
    last_ns_ = now_ns;
  }
  void OnMuchToDo() {
    run_ = 0;
    needed_ = std::max(needed_, kAtFirst);
  }

 private:
  static constexpr uint32_t kAtFirst = 4, kMost = 64;  // short intervals before it looks
  static constexpr uint64_t kAsleep = 4;

  const uint64_t limit_ns_;
  uint64_t last_ns_ = 0;
  uint32_t run_ = 0;  // short intervals since the last look in vain, or the last long one
  uint32_t needed_ = kAtFirst;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_PATIENCE_H_
