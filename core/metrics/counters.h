// What one engine counts: named counters, gauges and a few histograms, and their text for people and for scrapers.
//
// Counting is one relaxed atomic operation: no lock, no allocation, no system call. A reader sees every value whole,
// but two values need not be of the same instant.
#ifndef SLIPWAY_CORE_METRICS_COUNTERS_H_
#define SLIPWAY_CORE_METRICS_COUNTERS_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace slipway {

// The names, kinds and help texts are one table in counters.cc, in this order.
enum class Counter : uint8_t {
  kBatches,
  kRequests,
  kRequestsFailed,
  kRequestsInflight,
  kBytesRead,
  kBytesWritten,
  kSlices,
  kSlicesInflight,
  kSlicesDirect,
  kSlicesStaged,
  kSlicesSplit,
  kStagedBytes,
  kStagingWaits,
  kStagingNowBytes,
  kStagingPeakBytes,
  kCopies,
  kHostCopies,
  kStagedProviderCopies,
  kDirectProviderCopies,
  kProviderCopiedBytes,
  kProviderCopiesFailed,
  kRetries,
  kFailovers,
  kBackPressure,
  kCancels,
  kDeadlines,
  kStuck,
  kPeersPaused,
  kPinNowBytes,
  kPinPeakBytes,
  kPinHits,
  kPinMisses,
  kPinFlightWaits,
  kPinStagedInstead,
  kPinEvictions,
  kPinLearnedCapBytes,
  kPinLeasesAtClose,
  kRegisteredBytes,
  kDeregisteredBytes,
  kMappings,
  kRegistrations,
  kDeregistrations,
  kDeregisterFailed,
  kRegisterRefused,
  kContractViolations,
  kLateWakeups,
  kPluginFailures,
  kSegmentsPublished,
  kControlConnections,
  kControlRequests,
  kControlRejected,
  kControlBadInput,
  kControlUnauthenticated,
  kStoreObjects,
  kStoreSegments,
  kStoreClients,
  kStoreWrites,
  kStoreHits,
  kStoreMisses,
  kStoreEvictions,
  kStoreNoSpace,
  kStoreHostCopies,
  kStoreHostCopiedBytes,
  kStoreChecksumErrors,
  kStoreBadInput,
  kStoreExpired,
  kStoreLostBytes,
  kCount
};

// Values fall into buckets by powers of two: a quantile is exact to a factor of two.
enum class Histogram : uint8_t { kRequestNs, kRequestBytes, kStagingWaitNs, kCount };

inline constexpr size_t kCounters = static_cast<size_t>(Counter::kCount);
inline constexpr size_t kHistograms = static_cast<size_t>(Histogram::kCount);

struct CounterInfo {
  Counter id;
  bool gauge;        // goes down as well as up
  const char* name;  // [a-z0-9_]+, the unit last
  const char* help;  // one sentence
};
struct HistogramInfo {
  Histogram id;
  const char* name;
  const char* help;
  unsigned first_bits, last_bits;  // shown are the bounds 2^first_bits - 1 .. 2^last_bits - 1, and infinity
};
// Indexed by the enumerators; constant.
const std::array<CounterInfo, kCounters>& CounterTable();
const std::array<HistogramInfo, kHistograms>& HistogramTable();

// Thread-safe throughout. Two engines have two of them.
class Counters {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  Counters() = default;
  ~Counters();
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  void Add(Counter c, uint64_t n = 1) { cell(c).fetch_add(n, std::memory_order_relaxed); }
  // More of the same: what is counted there, whoever asks here is told of too. Lives as long as this. Null: there are
  // as many as may be.
  Counters* NewShard();
  // As Add, for what is only ever changed here with one and the same lock held: readers alone meet it, so that it takes
  // no locked instruction.
  void AddHeld(Counter c, uint64_t n = 1) {
    cell(c).store(cell(c).load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void SubHeld(Counter c, uint64_t n = 1) { AddHeld(c, 0 - n); }
  // Of gauges; the caller never takes away more than it added. Returns what is left.
  uint64_t Sub(Counter c, uint64_t n = 1) { return cell(c).fetch_sub(n, std::memory_order_relaxed) - n; }
  // Adds to the gauge `now` and raises `peak` to the sum.
  void AddWithPeak(Counter now, Counter peak, uint64_t n) {
    Raise(peak, cell(now).fetch_add(n, std::memory_order_relaxed) + n);
  }
  // Makes the gauge at least `value`.
  void Raise(Counter c, uint64_t value) {
    uint64_t seen = cell(c).load(std::memory_order_relaxed);
    while (seen < value && !cell(c).compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }
  void Set(Counter c, uint64_t value) { cell(c).store(value, std::memory_order_relaxed); }
  uint64_t Get(Counter c) const {
    uint64_t sum = values_[static_cast<size_t>(c)].value.load(std::memory_order_relaxed);
    EachShard([&](const Counters& shard) { sum += shard.Get(c); });
    return sum;
  }

  void Observe(Histogram h, uint64_t value) {
    Buckets& b = histograms_[static_cast<size_t>(h)];
    b.of_bits[static_cast<size_t>(std::bit_width(value))].fetch_add(1, std::memory_order_relaxed);
    b.sum.fetch_add(value, std::memory_order_relaxed);
  }
  // `times` times, for what is only ever observed with one and the same lock held.
  void ObserveHeld(Histogram h, uint64_t value, uint64_t times = 1) {
    Buckets& b = histograms_[static_cast<size_t>(h)];
    const auto add = [](std::atomic<uint64_t>& to, uint64_t n) {
      to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    };
    add(b.of_bits[static_cast<size_t>(std::bit_width(value))], times);
    add(b.sum, value * times);
  }
  uint64_t Observations(Histogram h) const;
  uint64_t Sum(Histogram h) const;  // modulo 2^64
  // The upper bound of the bucket that holds the `percent`th percentile (0..100); 0 when nothing was observed.
  uint64_t Percentile(Histogram h, double percent) const;

  // {"requests": 12, ..., "request_ns": {"count": .., "sum": .., "p50": .., "p90": .., "p99": .., "max": ..}}; the
  // percentiles and max are upper bounds of their buckets.
  std::string ToJson() const;
  // Text exposition format, version 0.0.4; `labels` go on every sample. Values of labels are escaped, characters that
  // cannot be in a label's name become '_'.
  std::string ToPrometheus(const Labels& labels = {}) const;

 private:
  static constexpr size_t kBuckets = 65;  // by bit width: 0 .. 64
  struct alignas(64) Cell {               // a line each, so that threads counting different things do not meet
    std::atomic<uint64_t> value{0};
  };
  struct alignas(64) Buckets {
    std::array<std::atomic<uint64_t>, kBuckets> of_bits{};
    std::atomic<uint64_t> sum{0};
  };
  static constexpr size_t kShards = 64;

  template <typename Look>
  void EachShard(Look look) const {
    for (const auto& at : shards_) {
      const Counters* const shard = at.load(std::memory_order_acquire);
      if (shard == nullptr) return;
      look(*shard);
    }
  }
  std::atomic<uint64_t>& cell(Counter c) { return values_[static_cast<size_t>(c)].value; }
  std::array<uint64_t, kBuckets> Snapshot(Histogram h) const;

  std::array<Cell, kCounters> values_{};
  std::array<Buckets, kHistograms> histograms_{};
  std::array<std::atomic<Counters*>, kShards> shards_{};  // from the first on
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_METRICS_COUNTERS_H_
