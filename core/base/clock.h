// Time as the core sees it; tests drive it.
#ifndef SLIPWAY_CORE_BASE_CLOCK_H_
#define SLIPWAY_CORE_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>
#include <limits>

namespace slipway {

inline constexpr uint64_t kNoDeadline = std::numeric_limits<uint64_t>::max();

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t NowNs() const = 0;  // monotonic; thread-safe
};

// The system's monotonic clock. The object is constant and lives for the whole process.
const Clock& SystemClock();

// Stands still until it is told to move. Thread-safe.
class FakeClock : public Clock {
 public:
  uint64_t NowNs() const override { return now_ns_.load(); }
  void Advance(uint64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<uint64_t> now_ns_{1'000'000'000};
};

// now + duration, kNoDeadline where that overflows.
constexpr uint64_t DeadlineAfter(uint64_t now_ns, uint64_t duration_ns) {
  return now_ns + duration_ns < now_ns ? kNoDeadline : now_ns + duration_ns;
}

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_CLOCK_H_
