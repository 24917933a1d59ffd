#include "tools/slipway/bench/row.h"

#include <algorithm>

namespace slipway::cli::bench {

Spread SpreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

bool Comparable(const Row& own, const Row& other) {
  if (!own.is_slipway() || other.is_slipway() || own.samples.empty() || other.samples.empty()) return false;
  if ((other.compares_with & own.shape) == 0) return false;
  // Copies between processes are copies, too.
  const bool both_memory = other.medium == "memory" && own.medium == "shared memory";
  if (own.medium != other.medium && !both_memory) return false;
  if (other.operation != "any" && own.operation != other.operation) return false;
  if (other.medium != "memory" && own.streams != other.streams) return false;
  if (other.from_bytes == 0) return own.bytes == other.bytes;
  // A rate that is sustained: one request at a time compares with it only where it sustains one, too.
  return own.bytes >= other.from_bytes && (own.shape != kSingle || own.bytes >= (uint64_t{64} << 20));
}

Spread SpeedRatio(const Row& own, const Row& other) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(own.samples.size(), other.samples.size()); ++i) {
    const double own_rate = static_cast<double>(own.bytes) / own.samples[i].seconds;
    const double other_rate = static_cast<double>(other.bytes) / other.samples[i].seconds;
    ratios.push_back(own_rate / other_rate);
  }
  return SpreadOf(std::move(ratios));
}

const char* ShapeWord(Shape shape) {
  switch (shape) {
    case kSingle:
      return "single";
    case kBatch:
      return "batch";
    case kStream:
      return "stream";
    case kScattered:
      return "scattered";
  }
  return "";
}

std::string ShapeName(const Row& row) {
  switch (row.shape) {
    case kSingle:
      return "one at a time";
    case kBatch:
      return "batches of " + std::to_string(row.count);
    case kStream:
      return std::to_string(row.count) + " in flight";
    case kScattered:
      return std::to_string(row.count) + " scattered";
  }
  return {};
}

}  // namespace slipway::cli::bench
