// What an instance counts. Each counter has one name, in stats_json and in the log.
#ifndef SLIPWAY_PLUGINS_TCP_STATS_H_
#define SLIPWAY_PLUGINS_TCP_STATS_H_

#include <atomic>
#include <cstdint>

namespace slipway::tcp {

// clang-format off
#define SLIPWAY_TCP_COUNTERS(X)                                                                          \
  X(writes_completed) X(reads_completed) X(bytes_written) X(bytes_read) X(slices_failed) X(slices_canceled) \
  X(connects_started) X(connects_failed) X(peers_failed) X(peers_timed_out) X(pings_sent)                 \
  X(connections_accepted) X(connections_refused_full) X(connections_closed) X(connections_stalled)        \
  X(handshakes_timed_out) X(handshakes_evicted) X(handshakes_refused)                                     \
  X(target_writes) X(target_reads) X(target_bytes_in) X(target_bytes_out)                                 \
  X(refused_stale_instance) X(refused_unknown_registration) X(refused_wrong_key) X(refused_access)        \
  X(refused_range) X(protocol_errors) X(connections_killed_by_deregister) X(accept_errors)                \
  X(send_calls) X(receive_calls) X(bytes_spliced) X(splice_refused)
// clang-format on

enum class Counter : uint32_t {
#define SLIPWAY_TCP_ENUM(name) name,
  SLIPWAY_TCP_COUNTERS(SLIPWAY_TCP_ENUM)
#undef SLIPWAY_TCP_ENUM
      kCount
};
inline constexpr uint32_t kCounters = static_cast<uint32_t>(Counter::kCount);

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

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_STATS_H_
