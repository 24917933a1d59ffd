// Which transports can serve a request, and in which order they are tried. A pure function.
#ifndef SLIPWAY_CORE_TRANSFER_ROUTE_H_
#define SLIPWAY_CORE_TRANSFER_ROUTE_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace slipway {

// An engine has at most this many transports, so that a set of them is a machine word.
inline constexpr size_t kTransportsMax = 32;

enum class Locality : uint8_t { kSameProcess, kSameHost, kOtherHost };

// One transport as the planner sees it; index in the span is the transport's number.
struct RouteFacts {
  std::string_view name;
  uint64_t caps = 0;
  uint64_t mem_kinds = 0;
  int64_t priority = 0;
  uint64_t bandwidth_bytes_per_s = 0;  // corrected by what was observed; 0: unknown
  uint64_t latency_ns = 0;
  bool failed = false;         // the instance is out of service
  bool staging_ready = false;  // the staging pool can be used with it
  uint64_t staged_kinds = 0;   // SLIPWAY_MEM_* that can be copied to and from the pool, besides host memory
};

// What the request and its target say about each transport.
struct RouteQuery {
  uint32_t op = 0;  // SLIPWAY_OP_*
  uint64_t length = 0;
  uint64_t local_kind = 0;  // SLIPWAY_MEM_*
  Locality locality = Locality::kOtherHost;
  uint32_t offered = 0;  // bit i: the target offers the segment over transport i's protocol, at a version both have
  uint32_t paused = 0;   // bit i: failed to this peer lately and waits out its backoff
  bool fastest = false;  // order by estimated time alone instead of by priority first
};

enum class RouteRefusal : uint8_t {
  kNone,
  kNotOffered,
  kNoRead,
  kNoWrite,
  kOtherProcess,
  kOtherHost,
  kFailed,
  kMemoryKind,
  kNoStaging
};

struct RoutePlan {
  std::array<uint8_t, kTransportsMax> order{};  // transport numbers, first choice first
  uint32_t count = 0;
  std::array<RouteRefusal, kTransportsMax> refusal{};  // per transport number
};

RoutePlan PlanRoute(std::span<const RouteFacts> transports, const RouteQuery& query);

// Whether some transport would serve the request, if there were a staging pool for it, and none does without.
bool NeedsOnlyStaging(const RoutePlan& plan);

// latency + length / bandwidth in nanoseconds; unknown figures count as slow.
uint64_t EstimateNs(const RouteFacts& transport, uint64_t length);

// For a person.
std::string_view RefusalText(RouteRefusal refusal);
// One line with every transport and why it was refused; for E_NO_ROUTE.
std::string DescribeRefusals(std::span<const RouteFacts> transports, const RoutePlan& plan);

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_ROUTE_H_
