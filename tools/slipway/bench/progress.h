// A line on standard error: which round, what is measured now, how long it all still takes.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_PROGRESS_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_PROGRESS_H_

#include <chrono>
#include <cstdint>

#include "tools/slipway/bench/row.h"
#include "tools/slipway/output.h"

namespace slipway::cli::bench {

// Not thread-safe. Silent when `output` does not show progress.
class RoundProgress {
 public:
  // `items` rows a round, of about `seconds` each before one has been seen; `budget_seconds` bounds all, 0: nothing
  // does.
  RoundProgress(const Output& output, size_t items, uint32_t rounds, double seconds, double budget_seconds);
  ~RoundProgress();
  RoundProgress(const RoundProgress&) = delete;
  RoundProgress& operator=(const RoundProgress&) = delete;

  void Round(uint32_t round) { round_ = round; }
  void Begin(const Row& row);
  void End() { ++done_; }

 private:
  using Clock = std::chrono::steady_clock;
  const bool shown_;
  const size_t items_;
  const uint32_t rounds_;
  const double seconds_, budget_seconds_;
  const Clock::time_point start_ = Clock::now();
  uint32_t round_ = 0;
  uint64_t done_ = 0;
  bool dirty_ = false;
};

// "64 B", "4 KiB", "1.50 MiB": as FormatBytes, without a fraction that says nothing.
std::string FormatSize(uint64_t bytes);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_PROGRESS_H_
