#include "tools/slipway/progress.h"

#include <cstdio>

namespace slipway::cli {

ProgressLine::ProgressLine(const Output& output, uint64_t total_bytes)
    : shown_(output.shows_progress()), total_bytes_(total_bytes) {}

ProgressLine::~ProgressLine() {
  if (dirty_) std::fputs("\r\033[K", stderr);
}

void ProgressLine::Update(uint64_t done_bytes) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || total_bytes_ == 0 || now - drawn_ < std::chrono::milliseconds(200)) return;
  drawn_ = now;
  dirty_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double done = static_cast<double>(done_bytes);
  const double left_seconds = done > 0 ? (static_cast<double>(total_bytes_) - done) * seconds / done : 0;
  const auto left = static_cast<unsigned long long>(left_seconds + 0.5);
  std::fprintf(stderr, "\r\033[K%3.0f%%  %s of %s  %s  %llu:%02llu left",
               100 * done / static_cast<double>(total_bytes_), FormatBytes(done_bytes).c_str(),
               FormatBytes(total_bytes_).c_str(), FormatRate(done, seconds).c_str(), left / 60, left % 60);
  std::fflush(stderr);
}

}  // namespace slipway::cli
