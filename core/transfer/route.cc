#include "core/transfer/route.h"

#include <algorithm>
#include <tuple>

#include "slipway/abi/transport.h"

namespace slipway {
namespace {

RouteRefusal Refusal(const RouteFacts& transport, const RouteQuery& query, bool offered) {
  if (transport.failed) return RouteRefusal::kFailed;
  if (query.locality != Locality::kSameProcess && (transport.caps & SLIPWAY_CAP_CROSS_PROCESS) == 0) {
    return RouteRefusal::kOtherProcess;
  }
  if (query.locality == Locality::kOtherHost && (transport.caps & SLIPWAY_CAP_CROSS_HOST) == 0) {
    return RouteRefusal::kOtherHost;
  }
  if (!offered) return RouteRefusal::kNotOffered;
  if (query.op == SLIPWAY_OP_READ && (transport.caps & SLIPWAY_CAP_READ) == 0) return RouteRefusal::kNoRead;
  if (query.op == SLIPWAY_OP_WRITE && (transport.caps & SLIPWAY_CAP_WRITE) == 0) return RouteRefusal::kNoWrite;
  if ((transport.mem_kinds & query.local_kind) != 0) return RouteRefusal::kNone;
  // Otherwise by way of host memory, where somebody copies between the two.
  if ((transport.mem_kinds & SLIPWAY_MEM_HOST) == 0 || (transport.staged_kinds & query.local_kind) == 0) {
    return RouteRefusal::kMemoryKind;
  }
  return transport.staging_ready ? RouteRefusal::kNone : RouteRefusal::kNoStaging;
}

}  // namespace

uint64_t EstimateNs(const RouteFacts& transport, uint64_t length) {
  constexpr uint64_t kUnknownLatencyNs = 1'000'000;
  constexpr uint64_t kUnknownBandwidth = 100'000'000;
  const uint64_t latency = transport.latency_ns == 0 ? kUnknownLatencyNs : transport.latency_ns;
  const uint64_t bandwidth = transport.bandwidth_bytes_per_s == 0 ? kUnknownBandwidth : transport.bandwidth_bytes_per_s;
  // It only ranks: what is beyond all bounds is last. A plugin may claim any figure.
  const double move = static_cast<double>(length) * 1e9 / static_cast<double>(bandwidth);
  const uint64_t move_ns = move < 9e18 ? static_cast<uint64_t>(move) : uint64_t{9'000'000'000'000'000'000};
  return latency + move_ns < latency ? UINT64_MAX : latency + move_ns;
}

RoutePlan PlanRoute(std::span<const RouteFacts> transports, const RouteQuery& query) {
  RoutePlan plan;
  // (paused, priority, estimate, number): the number last, so that the order is the same in every run.
  using Rank = std::tuple<bool, int64_t, uint64_t, uint8_t>;
  std::array<Rank, kTransportsMax> ranks;
  const size_t n = std::min(transports.size(), kTransportsMax);
  for (size_t i = 0; i < n; ++i) {
    const RouteFacts& t = transports[i];
    plan.refusal[i] = Refusal(t, query, (query.offered >> i & 1) != 0);
    if (plan.refusal[i] != RouteRefusal::kNone) continue;
    ranks[plan.count++] = {(query.paused >> i & 1) != 0, query.fastest ? 0 : t.priority, EstimateNs(t, query.length),
                           static_cast<uint8_t>(i)};
  }
  std::sort(ranks.begin(), ranks.begin() + plan.count);
  for (uint32_t i = 0; i < plan.count; ++i) plan.order[i] = std::get<3>(ranks[i]);
  return plan;
}

bool NeedsOnlyStaging(const RoutePlan& plan) {
  return plan.count == 0 &&
         std::find(plan.refusal.begin(), plan.refusal.end(), RouteRefusal::kNoStaging) != plan.refusal.end();
}

std::string_view RefusalText(RouteRefusal refusal) {
  switch (refusal) {
    case RouteRefusal::kNone:
      return "can serve it";
    case RouteRefusal::kNotOffered:
      return "the target does not offer the segment over it";
    case RouteRefusal::kNoRead:
      return "cannot read";
    case RouteRefusal::kNoWrite:
      return "cannot write";
    case RouteRefusal::kOtherProcess:
      return "works only within one process, and the target is another";
    case RouteRefusal::kOtherHost:
      return "works only within one host, and the target is on another";
    case RouteRefusal::kFailed:
      return "out of service after a failure of its device or plugin";
    case RouteRefusal::kMemoryKind:
      return "does not reach this kind of local memory";
    case RouteRefusal::kNoStaging:
      return "does not reach this kind of local memory, and there is no staging pool to copy it through: set "
             "memory.staging.bytes";
  }
  return "?";
}

std::string DescribeRefusals(std::span<const RouteFacts> transports, const RoutePlan& plan) {
  std::string text;
  for (size_t i = 0; i < transports.size() && i < kTransportsMax; ++i) {
    if (!text.empty()) text += "; ";
    text += std::string(transports[i].name) + ": " + std::string(RefusalText(plan.refusal[i]));
  }
  return text.empty() ? "no transport is loaded: list some under \"transports\" in the configuration" : text;
}

}  // namespace slipway
