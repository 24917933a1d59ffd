// What an instance counts. Each counter has one name, in stats_json and in the log.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_STATS_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_STATS_H_

#include <atomic>
#include <cstdint>

namespace slipway::rdma {

// clang-format off
#define SLIPWAY_RDMA_COUNTERS(X)                                                                          \
  X(writes_completed) X(reads_completed) X(bytes_written) X(bytes_read) X(slices_failed) X(slices_canceled) \
  X(slices_sent_again) X(slices_refused_by_target) X(work_requests) X(work_requests_signaled)             \
  X(work_requests_inline) X(posts) X(completions_polled) X(completion_events)                             \
  X(connects_started) X(connects_failed) X(lanes_ready) X(lanes_rebuilt) X(peers_failed) X(peers_timed_out) \
  X(connections_accepted) X(connections_refused_full) X(connections_refused_version)                      \
  X(connections_refused_epoch) X(connections_refused_proof) X(connections_refused_malformed)              \
  X(connections_refused_resources) X(connections_closed) X(connections_lost) X(access_violations)         \
  X(keepalives_sent) X(link_down_events) X(device_errors) X(registrations) X(deregistrations)
// clang-format on

enum class Counter : uint32_t {
#define SLIPWAY_RDMA_ENUM(name) name,
  SLIPWAY_RDMA_COUNTERS(SLIPWAY_RDMA_ENUM)
#undef SLIPWAY_RDMA_ENUM
      kCount
};
inline constexpr uint32_t kCounters = static_cast<uint32_t>(Counter::kCount);

inline const char* CounterName(Counter c) {
  static constexpr const char* kNames[] = {
#define SLIPWAY_RDMA_NAME(name) #name,
      SLIPWAY_RDMA_COUNTERS(SLIPWAY_RDMA_NAME)
#undef SLIPWAY_RDMA_NAME
  };
  return kNames[static_cast<uint32_t>(c)];
}

// Thread-safe; monotonic.
class Stats {
 public:
  void Add(Counter c, uint64_t n = 1) { values_[static_cast<uint32_t>(c)].fetch_add(n, std::memory_order_relaxed); }
  uint64_t Get(Counter c) const { return values_[static_cast<uint32_t>(c)].load(std::memory_order_relaxed); }
  // True for the first caller with this counter: each kind is logged once an instance, however often a peer tries.
  bool FirstTime(Counter c) {
    const uint64_t bit = uint64_t{1} << static_cast<uint32_t>(c);
    return (logged_.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }

 private:
  static_assert(kCounters <= 64);
  std::atomic<uint64_t> values_[kCounters]{};
  std::atomic<uint64_t> logged_{0};
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_STATS_H_
