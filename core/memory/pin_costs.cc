#include "core/memory/pin_costs.h"

#include <algorithm>

namespace slipway {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLargeBytes = 256u << 10;  // from here on the part per byte is most of it
constexpr uint64_t kOutlier = 8;

uint64_t Closer(uint64_t from, uint64_t to) { return from - from / 8 + to / 8; }

// bytes * ns_per_mib / MiB, without overflow for any length of a request.
uint64_t Scaled(uint64_t bytes, uint64_t ns_per_mib) {
  return bytes / kMiB * ns_per_mib + bytes % kMiB * std::min(ns_per_mib, uint64_t{1} << 40) / kMiB;
}

}  // namespace

uint64_t LinearCost::EstimateNs(uint64_t bytes) const {
  return std::max<uint64_t>(1, fixed_ns() + Scaled(bytes, ns_per_mib()));
}

void LinearCost::Fit(uint64_t small_bytes, uint64_t small_ns, uint64_t large_bytes, uint64_t large_ns) {
  if (small_ns == 0 || large_ns <= small_ns || large_bytes <= small_bytes) return;
  const double per_byte = static_cast<double>(large_ns - small_ns) / static_cast<double>(large_bytes - small_bytes);
  const double fixed = static_cast<double>(small_ns) - per_byte * static_cast<double>(small_bytes);
  ns_per_mib_.store(std::max<uint64_t>(1, static_cast<uint64_t>(per_byte * static_cast<double>(kMiB))));
  fixed_ns_.store(fixed > 0 ? static_cast<uint64_t>(fixed) : 0);
}

void LinearCost::Observe(uint64_t bytes, uint64_t took_ns) {
  if (bytes == 0 || took_ns == 0) return;
  const uint64_t estimate = EstimateNs(bytes);
  took_ns = std::min(took_ns, std::max<uint64_t>(1, estimate) * kOutlier);
  if (bytes < kLargeBytes) {
    const uint64_t rest = Scaled(bytes, ns_per_mib());
    fixed_ns_.store(Closer(fixed_ns(), took_ns > rest ? took_ns - rest : 0), std::memory_order_relaxed);
    return;
  }
  const uint64_t variable = took_ns > fixed_ns() ? took_ns - fixed_ns() : 0;
  const double per_mib = static_cast<double>(variable) / static_cast<double>(bytes) * static_cast<double>(kMiB);
  ns_per_mib_.store(std::max<uint64_t>(1, Closer(ns_per_mib(), static_cast<uint64_t>(per_mib))),
                    std::memory_order_relaxed);
}

bool AdmissionRule::SeenAgain(const Touch& touch) const {
  return touch.copied_end > touch.offset && touch.now_ns - touch.copied_ns <= window_ns;
}

bool AdmissionRule::WorthPinning(const Touch& touch) const {
  if (pin_from_bytes != 0 && touch.request_bytes >= pin_from_bytes) return true;
  if (SeenAgain(touch)) return (touch.copied_cost_ns + touch.copy_ns) * kUsesAgain >= touch.pin_ns;
  return pin_from_bytes == 0 && touch.copy_ns * kUsesFirst >= touch.pin_ns;
}

}  // namespace slipway
