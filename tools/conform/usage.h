// What this process holds of the system, to find what a plugin leaves behind.
#ifndef SLIPWAY_TOOLS_CONFORM_USAGE_H_
#define SLIPWAY_TOOLS_CONFORM_USAGE_H_

#include <cstdint>
#include <string>

namespace slipway::conform {

struct Usage {
  uint64_t fds = 0, threads = 0, vmas = 0;
  uint64_t rss_bytes = 0, pinned_bytes = 0, locked_bytes = 0;

  static Usage Now();
  // Waits, at most two seconds, until threads that have ended and descriptors of theirs are gone from the counts.
  static Usage Settled(const Usage& expected);
};

struct Growth {
  uint64_t fds = 0, threads = 0, vmas = 8, rss_bytes = uint64_t{8} << 20;  // allowed
};
// What grew from `before` to `after` beyond what is allowed; empty when nothing did.
std::string Grown(const Usage& before, const Usage& after, const Growth& allowed);

// Nanoseconds of the system's monotonic clock.
uint64_t MonotonicNs();
// Gives the CPU to others for a moment: for loops that wait on a condition with a deadline.
void Breathe();

// A bound for a wait.
class Deadline {
 public:
  explicit Deadline(uint64_t ms) : end_ns_(MonotonicNs() + ms * 1000000) {}
  bool over() const { return MonotonicNs() > end_ns_; }

 private:
  const uint64_t end_ns_;
};

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_USAGE_H_
