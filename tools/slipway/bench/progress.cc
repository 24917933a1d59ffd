#include "tools/slipway/bench/progress.h"

#include <algorithm>
#include <cstdio>

namespace slipway::cli::bench {

RoundProgress::RoundProgress(const Output& output, size_t items, uint32_t rounds, double seconds, double budget_seconds)
    : shown_(output.shows_progress()),
      items_(items),
      rounds_(rounds),
      seconds_(seconds),
      budget_seconds_(budget_seconds) {}

RoundProgress::~RoundProgress() {
  if (dirty_) std::fputs("\r\033[K", stderr);
}

void RoundProgress::Begin(const Row& row) {
  if (!shown_) return;
  dirty_ = true;
  const double passed = std::chrono::duration<double>(Clock::now() - start_).count();
  const double all = static_cast<double>(items_ * rounds_), done = static_cast<double>(done_);
  // At first by what was planned, then by what was seen.
  const double each = done > 0 ? passed / done : 2 * seconds_;
  double left = each * (all - done);
  if (budget_seconds_ > 0) left = std::min(left, std::max(0.0, budget_seconds_ - passed));
  const auto whole = static_cast<unsigned long long>(left + 0.5);
  std::fprintf(stderr, "\r\033[K%3.0f%%  round %u of %u  %llu:%02llu left  %s: %s %s, %s", 100 * done / all, round_ + 1,
               rounds_, whole / 60, whole % 60, row.is_slipway() ? row.path.c_str() : row.who.c_str(),
               row.operation == "any" ? "copy" : row.operation.c_str(), FormatSize(row.bytes).c_str(),
               ShapeName(row).c_str());
  std::fflush(stderr);
}

std::string FormatSize(uint64_t bytes) {
  std::string text = FormatBytes(bytes);
  if (const size_t at = text.find(".00 "); at != std::string::npos) text.erase(at, 3);
  return text;
}

}  // namespace slipway::cli::bench
