// A line on standard error that says how far a transfer is, at what rate, and when it will end.
#ifndef SLIPWAY_TOOLS_SLIPWAY_PROGRESS_H_
#define SLIPWAY_TOOLS_SLIPWAY_PROGRESS_H_

#include <chrono>
#include <cstdint>

#include "tools/slipway/output.h"

namespace slipway::cli {

// Not thread-safe. Silent when `output` does not show progress.
class ProgressLine {
 public:
  ProgressLine(const Output& output, uint64_t total_bytes);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Draws at most five times a second.
  void Update(uint64_t done_bytes);

 private:
  using Clock = std::chrono::steady_clock;
  const bool shown_;
  const uint64_t total_bytes_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_{};
  bool dirty_ = false;
};

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_PROGRESS_H_
