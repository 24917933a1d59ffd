#include "core/metrics/counters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace slipway {
namespace {

constexpr bool kUp = false;  // only ever rises
constexpr bool kNow = true;  // a gauge
constexpr std::array<CounterInfo, kCounters> kCounterTable = {{
    {Counter::kBatches, kUp, "batches", "Batches submitted."},
    {Counter::kRequests, kUp, "requests", "Requests submitted."},
    {Counter::kRequestsFailed, kUp, "requests_failed", "Requests that completed with an error, cancellation included."},
    {Counter::kRequestsInflight, kNow, "requests_inflight", "Requests accepted and not yet complete."},
    {Counter::kBytesRead, kUp, "bytes_read", "Bytes read from segments by requests that succeeded."},
    {Counter::kBytesWritten, kUp, "bytes_written", "Bytes written to segments by requests that succeeded."},
    {Counter::kSlices, kUp, "slices", "Slices that transports accepted."},
    {Counter::kSlicesInflight, kNow, "slices_inflight", "Slices that transports hold now."},
    {Counter::kSlicesDirect, kUp, "slices_direct", "Slices that moved without a copy of the core's."},
    {Counter::kSlicesStaged, kUp, "slices_staged", "Slices that went through a staging buffer."},
    {Counter::kSlicesSplit, kUp, "slices_split", "Slices cut again at the edge of a registration."},
    {Counter::kStagedBytes, kUp, "staged_bytes", "Bytes copied to or from staging buffers."},
    {Counter::kStagingWaits, kUp, "staging_waits", "Slices that had to wait for a staging buffer."},
    {Counter::kStagingNowBytes, kNow, "staging_now_bytes", "Staging bytes in use now."},
    {Counter::kStagingPeakBytes, kNow, "staging_peak_bytes", "Most staging bytes in use at once."},
    {Counter::kCopies, kUp, "copies",
     "Copies submitted to memory providers or done by the core: the sum of the next three."},
    {Counter::kHostCopies, kUp, "host_copies", "Copies between host memory and staging, by the core."},
    {Counter::kStagedProviderCopies, kUp, "staged_provider_copies",
     "Copies between a device's memory and staging, by its memory provider."},
    {Counter::kDirectProviderCopies, kUp, "direct_provider_copies",
     "Copies between a device's memory and a segment, by its memory provider on behalf of a transport."},
    {Counter::kProviderCopiedBytes, kUp, "provider_copied_bytes", "Bytes copied by memory providers."},
    {Counter::kProviderCopiesFailed, kUp, "provider_copies_failed", "Copies that a memory provider failed to make."},
    {Counter::kRetries, kUp, "retries", "Slices submitted again after a failure."},
    {Counter::kFailovers, kUp, "failovers", "Slices that moved on to another transport."},
    {Counter::kBackPressure, kUp, "back_pressure", "Times that a transport asked to be polled before taking more."},
    {Counter::kCancels, kUp, "cancels", "Requests cancelled by the application."},
    {Counter::kDeadlines, kUp, "deadlines", "Requests that ran out of time."},
    {Counter::kStuck, kUp, "stuck", "Slices that a transport did not complete within its bound."},
    {Counter::kPeersPaused, kUp, "peers_paused", "Times that a transport was paused towards a peer after failing."},
    {Counter::kPinNowBytes, kNow, "pin_now_bytes", "Bytes charged to the pin budget now."},
    {Counter::kPinPeakBytes, kNow, "pin_peak_bytes", "Most bytes charged to the pin budget at once."},
    {Counter::kPinHits, kUp, "pin_hits", "Lookups that found all of their range pinned on demand."},
    {Counter::kPinMisses, kUp, "pin_misses", "Chunks that were asked to be pinned since they were used and were not."},
    {Counter::kPinFlightWaits, kUp, "pin_flight_waits", "Lookups that waited for a chunk that was being pinned."},
    {Counter::kPinStagedInstead, kUp, "pin_staged_instead", "Ranges that were copied since they were not pinned."},
    {Counter::kPinEvictions, kUp, "pin_evictions", "Chunks unpinned for others, or since they were idle."},
    {Counter::kPinLearnedCapBytes, kNow, "pin_learned_cap_bytes",
     "Least that the system was seen to allow; 0: enough."},
    {Counter::kPinLeasesAtClose, kUp, "pin_leases_at_close", "Chunks in use when their region was undeclared."},
    {Counter::kRegisteredBytes, kUp, "registered_bytes", "Bytes registered or pinned."},
    {Counter::kDeregisteredBytes, kUp, "deregistered_bytes", "Bytes deregistered or unpinned."},
    {Counter::kMappings, kNow, "mappings", "Mappings of the process when this was asked for."},
    {Counter::kRegistrations, kUp, "registrations", "Ranges registered with transports or providers."},
    {Counter::kDeregistrations, kUp, "deregistrations", "Ranges deregistered."},
    {Counter::kDeregisterFailed, kUp, "deregister_failed", "Deregistrations that failed; their memory stays charged."},
    {Counter::kRegisterRefused, kUp, "register_refused", "Registrations refused by the system or by the budget."},
    {Counter::kContractViolations, kUp, "contract_violations", "Times that a plugin broke its contract."},
    {Counter::kLateWakeups, kUp, "late_wakeups", "Times that a completion was found without having woken who slept."},
    {Counter::kPluginFailures, kUp, "plugin_failures", "Failures that took a plugin's whole instance down."},
    {Counter::kSegmentsPublished, kNow, "segments_published", "Segments that peers can open now."},
    {Counter::kControlConnections, kNow, "control_connections", "Control connections open now."},
    {Counter::kControlRequests, kUp, "control_requests", "Requests to the control endpoint."},
    {Counter::kControlRejected, kUp, "control_rejected", "Control requests refused: limits, unknown names, no access."},
    {Counter::kControlBadInput, kUp, "control_bad_input", "Control requests that did not parse."},
    {Counter::kControlUnauthenticated, kUp, "control_unauthenticated", "Control requests without the right secret."},
    {Counter::kStoreObjects, kNow, "store_objects", "Objects that can be read now."},
    {Counter::kStoreSegments, kNow, "store_segments", "Segments mounted now."},
    {Counter::kStoreClients, kNow, "store_clients", "Connections of other processes to the store now."},
    {Counter::kStoreWrites, kUp, "store_writes", "Values committed."},
    {Counter::kStoreHits, kUp, "store_hits", "Look-ups that found an object."},
    {Counter::kStoreMisses, kUp, "store_misses", "Look-ups that found none."},
    {Counter::kStoreEvictions, kUp, "store_evictions", "Objects evicted to make room."},
    {Counter::kStoreNoSpace, kUp, "store_no_space", "Writes refused since nothing could be evicted."},
    {Counter::kStoreHostCopies, kUp, "store_host_copies", "Values, or parts of one, that the store copied itself."},
    {Counter::kStoreHostCopiedBytes, kUp, "store_host_copied_bytes", "Bytes that the store copied itself."},
    {Counter::kStoreChecksumErrors, kUp, "store_checksum_errors", "Chunks whose bytes were not those written."},
    {Counter::kStoreBadInput, kUp, "store_bad_input", "Messages of other processes that did not parse."},
    {Counter::kStoreExpired, kUp, "store_expired", "Leases of other processes that ran out."},
    {Counter::kStoreLostBytes, kUp, "store_lost_bytes", "Space given up since a transport may still write to it."},
}};
constexpr std::array<HistogramInfo, kHistograms> kHistogramTable = {{
    {Histogram::kRequestNs, "request_ns",
     "Time from submission to completion of a batch, nanoseconds; one stands for 16 that complete at once.", 8, 40},
    {Histogram::kRequestBytes, "request_bytes", "Length of requests, bytes.", 6, 40},
    {Histogram::kStagingWaitNs, "staging_wait_ns", "Time that a slice waited for staging, nanoseconds.", 8, 40},
}};

template <typename Table>
constexpr bool InEnumOrder(const Table& table) {
  for (size_t i = 0; i < table.size(); ++i) {
    if (static_cast<size_t>(table[i].id) != i || table[i].name == nullptr) return false;
  }
  return true;
}
static_assert(InEnumOrder(kCounterTable) && InEnumOrder(kHistogramTable), "a row is missing or out of order");

// The largest value of `bits` significant bits.
uint64_t UpperBound(unsigned bits) {
  return bits >= 64 ? std::numeric_limits<uint64_t>::max() : (uint64_t{1} << bits) - 1;
}

bool IsLabelCharacter(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

// `a="b",c="d"`, escaped as the exposition format asks.
std::string LabelText(const Counters::Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (name.empty()) continue;
    if (!out.empty()) out += ',';
    for (size_t i = 0; i < name.size(); ++i) out += IsLabelCharacter(name[i], i == 0) ? name[i] : '_';
    out += "=\"";
    for (const char c : value) {
      if (c == '\\' || c == '"') out += '\\';
      out += c == '\n' ? std::string("\\n") : std::string(1, c);
    }
    out += '"';
  }
  return out;
}

std::string Braced(const std::string& labels) { return labels.empty() ? "" : "{" + labels + "}"; }

void AppendHead(std::string& out, const std::string& name, const char* help, const char* type) {
  out += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

template <typename Buckets>
uint64_t CountOf(const Buckets& buckets) {
  uint64_t total = 0;
  for (const uint64_t n : buckets) total += n;
  return total;
}

template <typename Buckets>
uint64_t PercentileOf(const Buckets& buckets, double percent) {
  const uint64_t total = CountOf(buckets);
  if (total == 0) return 0;
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share * static_cast<double>(total))));
  uint64_t seen = 0;
  unsigned last = 0;
  for (unsigned bits = 0; bits < buckets.size(); ++bits) {
    if (buckets[bits] == 0) continue;
    last = bits;
    seen += buckets[bits];
    if (seen >= rank) break;
  }
  return UpperBound(last);
}

}  // namespace

const std::array<CounterInfo, kCounters>& CounterTable() { return kCounterTable; }
const std::array<HistogramInfo, kHistograms>& HistogramTable() { return kHistogramTable; }

Counters::~Counters() {
  for (const auto& at : shards_) delete at.load();
}

Counters* Counters::NewShard() {
  auto made = std::make_unique<Counters>();
  for (auto& at : shards_) {
    Counters* none = nullptr;
    if (at.compare_exchange_strong(none, made.get(), std::memory_order_acq_rel)) return made.release();
  }
  return nullptr;
}

std::array<uint64_t, Counters::kBuckets> Counters::Snapshot(Histogram h) const {
  std::array<uint64_t, kBuckets> out;
  const Buckets& b = histograms_[static_cast<size_t>(h)];
  for (size_t i = 0; i < kBuckets; ++i) out[i] = b.of_bits[i].load(std::memory_order_relaxed);
  EachShard([&](const Counters& shard) {
    const auto more = shard.Snapshot(h);
    for (size_t i = 0; i < kBuckets; ++i) out[i] += more[i];
  });
  return out;
}

uint64_t Counters::Observations(Histogram h) const { return CountOf(Snapshot(h)); }

uint64_t Counters::Sum(Histogram h) const {
  uint64_t sum = histograms_[static_cast<size_t>(h)].sum.load(std::memory_order_relaxed);
  EachShard([&](const Counters& shard) { sum += shard.Sum(h); });
  return sum;
}

uint64_t Counters::Percentile(Histogram h, double percent) const { return PercentileOf(Snapshot(h), percent); }

std::string Counters::ToJson() const {
  std::string out = "{";
  for (const CounterInfo& info : kCounterTable) {
    if (out.size() > 1) out += ", ";
    out += "\"" + std::string(info.name) + "\": " + std::to_string(Get(info.id));
  }
  for (const HistogramInfo& info : kHistogramTable) {
    // One snapshot, so that the count and the percentiles are of the same observations.
    const auto buckets = Snapshot(info.id);
    out += ", \"" + std::string(info.name) + "\": {\"count\": " + std::to_string(CountOf(buckets));
    out += ", \"sum\": " + std::to_string(Sum(info.id));
    out += ", \"p50\": " + std::to_string(PercentileOf(buckets, 50));
    out += ", \"p90\": " + std::to_string(PercentileOf(buckets, 90));
    out += ", \"p99\": " + std::to_string(PercentileOf(buckets, 99));
    out += ", \"max\": " + std::to_string(PercentileOf(buckets, 100)) + "}";
  }
  return out + "}";
}

std::string Counters::ToPrometheus(const Labels& labels) const {
  const std::string text = LabelText(labels);
  const std::string braced = Braced(text);
  std::string out;
  for (const CounterInfo& info : kCounterTable) {
    const std::string name = "slipway_" + std::string(info.name) + (info.gauge ? "" : "_total");
    AppendHead(out, name, info.help, info.gauge ? "gauge" : "counter");
    out += name + braced + " " + std::to_string(Get(info.id)) + "\n";
  }
  for (const HistogramInfo& info : kHistogramTable) {
    const std::string name = "slipway_" + std::string(info.name);
    const auto buckets = Snapshot(info.id);
    AppendHead(out, name, info.help, "histogram");
    const std::string open = name + "_bucket{" + text + (text.empty() ? "" : ",") + "le=\"";
    uint64_t below = 0;
    for (unsigned bits = 0; bits <= info.last_bits; ++bits) {
      below += buckets[bits];
      if (bits >= info.first_bits) {
        out += open + std::to_string(UpperBound(bits)) + "\"} " + std::to_string(below) + "\n";
      }
    }
    const std::string total = std::to_string(CountOf(buckets));
    out += open + "+Inf\"} " + total + "\n";
    out += name + "_sum" + braced + " " + std::to_string(Sum(info.id)) + "\n";
    out += name + "_count" + braced + " " + total + "\n";
  }
  return out;
}

}  // namespace slipway
