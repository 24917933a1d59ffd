// The one table of every configuration key. A visitor is called once for each member of an Options struct, in the order
// of the documentation; the strict reader, the writer, the reference configuration, the JSON Schema for editors and the
// table of keys in configs/README.md are visitors, so that none can differ from another.
//
// A visitor V of options O (const or not) has:
//   Number(const NumberField&, integer&)         TextList(const TextListField&, std::vector<std::string>&)
//   Text(const TextField&, std::string&)         Choice(const ChoiceField<N>&, enum&)
//   Flag(const Field&, bool&)                    JsonObject(const Field&, std::string& json_text)
//   Nested(const Field&, struct&)                Plugins(const PluginsField&, std::vector<PluginUse>&)
//   Segments(const SegmentsField&, std::vector<StoreSegmentUse>&)
// Nested, Plugins and Segments are expected to call DescribeFields in turn.
#ifndef SLIPWAY_OPTIONS_FIELDS_HPP_
#define SLIPWAY_OPTIONS_FIELDS_HPP_

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "slipway/options.hpp"

namespace slipway {

struct Field {
  const char* key;
  const char* doc;  // one sentence or two: what it changes, and what a larger value costs
};

enum class NumberKind { kBytes, kCount, kMilliseconds, kMicroseconds, kPercent };
struct NumberField : Field {
  NumberKind kind;
  int64_t min, max;  // both allowed
};

// What a text may be. None may hold control characters or be longer than kMaxTextBytes.
enum class TextRule {
  kAny,
  kEngineName,         // [A-Za-z0-9._-]{1,63}
  kPluginName,         // [a-z0-9-]{1,31}
  kPluginNameOrEmpty,  // the same, or nothing
  kPath,               // not empty
  kPathOrEmpty,
  kListenAddress,  // host:port, [v6]:port, or nothing
};
inline constexpr size_t kMaxTextBytes = 4096;

struct TextField : Field {
  TextRule rule;
};
struct TextListField : Field {
  TextRule rule;  // of each
  size_t max_items;
};
template <size_t N>
struct ChoiceField : Field {
  std::array<const char*, N> names;  // by the enumerator's value
};

enum class PluginRole { kTransport, kMemoryProvider };
struct PluginsField : Field {
  PluginRole role;
  size_t max_items;
};

struct SegmentsField : Field {
  size_t max_items;
};

template <typename O, typename T>
concept Describes = std::same_as<std::remove_const_t<O>, T>;

namespace fields {

inline constexpr int64_t kKiB = 1024;
inline constexpr int64_t kTiB = int64_t{1} << 40;
inline constexpr int64_t kMaxBytes = 1024 * kTiB;
inline constexpr int64_t kMinuteMs = 60'000;
inline constexpr int64_t kHourMs = 60 * kMinuteMs;

template <typename V, typename M>
void Bytes(V& v, const char* key, M& member, int64_t min, int64_t max, const char* doc) {
  v.Number(NumberField{{key, doc}, NumberKind::kBytes, min, max}, member);
}
template <typename V, typename M>
void Count(V& v, const char* key, M& member, int64_t min, int64_t max, const char* doc) {
  v.Number(NumberField{{key, doc}, NumberKind::kCount, min, max}, member);
}
template <typename V, typename M>
void Ms(V& v, const char* key, M& member, int64_t min, int64_t max, const char* doc) {
  v.Number(NumberField{{key, doc}, NumberKind::kMilliseconds, min, max}, member);
}
template <typename V, typename M>
void Us(V& v, const char* key, M& member, int64_t min, int64_t max, const char* doc) {
  v.Number(NumberField{{key, doc}, NumberKind::kMicroseconds, min, max}, member);
}
template <typename V, typename M>
void Percent(V& v, const char* key, M& member, const char* doc) {
  v.Number(NumberField{{key, doc}, NumberKind::kPercent, 1, 100}, member);
}

}  // namespace fields

// `role` decides whether there is a priority: providers have none.
template <typename V, Describes<PluginUse> O>
void DescribeFields(V& v, O& o, PluginRole role) {
  v.Text(TextField{{"name", "What the plugin calls this transport or provider. Required."}, TextRule::kPluginName},
         o.name);
  v.Text(TextField{{"plugin", "The file to load it from, libslipway-PLUGIN.so on the plugin path; empty: as its name."},
                   TextRule::kPluginNameOrEmpty},
         o.plugin);
  v.Flag({"required", "Whether the engine refuses to start without it; otherwise its failure is a warning."},
         o.required);
  if (role == PluginRole::kTransport) {
    fields::Count(v, "priority", o.priority, -1, 1'000'000,
                  "Order among the transports that can serve a request, lower first; -1: its place in the list.");
  }
  v.JsonObject({"options", "The plugin's own configuration, checked against the plugin's own schema."}, o.options_json);
}

template <typename V, Describes<LogOptions> O>
void DescribeFields(V& v, O& o) {
  v.Choice(ChoiceField<5>{{"level", "The least urgent messages that are written; debug and trace cost speed."},
                          {"error", "warning", "info", "debug", "trace"}},
           o.level);
  v.Text(TextField{{"file", "Where messages are appended; empty: standard error."}, TextRule::kPathOrEmpty}, o.file);
}

template <typename V, Describes<StagingOptions> O>
void DescribeFields(V& v, O& o) {
  fields::Bytes(v, "bytes", o.bytes, 0, fields::kTiB,
                "Pinned memory that copies go through when a slice cannot go direct, taken at start; 0: none, and "
                "requests that need it fail. A larger pool lets more such slices move at once and costs its size.");
  fields::Bytes(
      v, "chunk_bytes", o.chunk_bytes, 4 * fields::kKiB, int64_t{1} << 30,
      "Largest single staging buffer. Larger ones cost fewer submissions and overlap copy and transfer less.");
  fields::Percent(v, "share_per_batch_percent", o.share_per_batch_percent,
                  "How much of the pool one batch may hold. A larger share makes other batches wait longer.");
  fields::Count(v, "copy_threads", o.copy_threads, 1, 256,
                "Threads that copy between user memory and staging. Each further one costs a core while it copies.");
}

template <typename V, Describes<CacheOptions> O>
void DescribeFields(V& v, O& o) {
  using fields::kHourMs, fields::kKiB, fields::kTiB;
  fields::Bytes(v, "chunk_bytes", o.chunk_bytes, 4 * kKiB, int64_t{1} << 30,
                "What is pinned as one, a power of two; adapted to what the budget and the device allow. Larger chunks "
                "cost fewer registrations and pin more that is not used.");
  fields::Bytes(
      v, "pin_from_bytes", o.pin_from_bytes, 0, kTiB,
      "Requests of at least this length pin what they touch for the first time; 0: where pinning pays by what "
      "it and copying were measured to cost. A larger value stages more first touches.");
  fields::Ms(
      v, "window_ms", o.window_ms, 1, kHourMs,
      "How long a touch is remembered: a second one within it makes the range worth pinning. A longer window pins "
      "what is used more rarely.");
  fields::Ms(v, "room_wait_ms", o.room_wait_ms, 0, kHourMs,
             "How long a slice waits to be pinned, for room in the budget too, before it is staged; 0: it does not. A "
             "longer wait stages less and delays more.");
  fields::Ms(
      v, "ttl_ms", o.ttl_ms, 1, 7 * 24 * kHourMs,
      "What has not been used for this long is unpinned. A longer time pins less often and holds memory longer.");
  fields::Percent(v, "high_watermark_percent", o.high_watermark_percent,
                  "From this share of the budget on, idle memory is unpinned ahead of need. A higher mark holds more.");
  fields::Percent(v, "low_watermark_percent", o.low_watermark_percent,
                  "Down to this share. A lower mark makes more room at once and pins more often.");
  fields::Ms(
      v, "reap_interval_ms", o.reap_interval_ms, 1, kHourMs,
      "Between two looks for what is idle; each unpins a few chunks at most. A longer one costs less and lets go "
      "later.");
}

template <typename V, Describes<MemoryOptions> O>
void DescribeFields(V& v, O& o) {
  v.Choice(
      ChoiceField<3>{{"pin_policy",
                      "Whether declared regions are pinned: off (never, everything that needs it is staged), "
                      "on-demand (the hot parts when they are used, the idle ones let go) or whole-region (all of a "
                      "region when it is declared, as far as the budget allows)."},
                     {"off", "on-demand", "whole-region"}},
      o.pin_policy);
  fields::Bytes(v, "budget_bytes", o.budget_bytes, 0, fields::kMaxBytes,
                "Hard cap on bytes pinned for this engine, staging included; 0: only what the system allows. A larger "
                "budget stages less and takes more memory from everyone else.");
  v.Nested({"cache", "What is pinned on demand, and when it is let go of."}, o.cache);
  v.Nested({"staging", "The pool of pinned buffers that slices are copied through when they cannot go direct."},
           o.staging);
}

template <typename V, Describes<TransferOptions> O>
void DescribeFields(V& v, O& o) {
  using fields::kHourMs, fields::kTiB;
  v.Choice(ChoiceField<2>{{"route_policy",
                           "Which transport comes first where several can serve a request: configured (by priority) or "
                           "fastest (by estimated completion time)."},
                          {"configured", "fastest"}},
           o.route_policy);
  fields::Bytes(v, "slice_bytes", o.slice_bytes, 0, kTiB,
                "Cut requests at this size; 0: as each transport prefers. Larger slices cost less work each and spread "
                "over fewer connections.");
  fields::Bytes(v, "max_request_bytes", o.max_request_bytes, 1, fields::kMaxBytes,
                "Longest single request; longer ones are refused. A larger limit lets one request take more of "
                "everything.");
  fields::Count(v, "max_batch_requests", o.max_batch_requests, 1, 1 << 24,
                "Most requests in one batch; more are refused. A larger limit costs memory per request submitted.");
  fields::Count(v, "max_inflight_requests", o.max_inflight_requests, 1, 1 << 24,
                "Most requests of the engine at once; beyond, submitting says try again. A larger limit costs memory.");
  fields::Count(v, "max_inflight_slices_per_peer", o.max_inflight_slices_per_peer, 1, 65'536,
                "Most slices at once towards one peer. A larger limit fills longer links and costs the peer more "
                "buffers.");
  fields::Percent(v, "bulk_share_percent", o.bulk_share_percent,
                  "How much of the slices in flight bulk requests may hold while small ones wait, 192 MiB at most. A "
                  "larger share makes small requests wait longer.");
  fields::Bytes(v, "bulk_threshold_bytes", o.bulk_threshold_bytes, 0, kTiB,
                "Requests of at least this length are bulk. A larger threshold puts more requests in the quick class.");
  fields::Ms(v, "default_deadline_ms", o.default_deadline_ms, 1, 7 * 24 * kHourMs,
             "Deadline of a batch that is submitted without one. A longer one reports a dead peer later.");
  fields::Ms(v, "connect_timeout_ms", o.connect_timeout_ms, 1, kHourMs,
             "Bound on connecting to a peer. A longer one reports an unreachable peer later.");
  fields::Ms(v, "completion_grace_ms", o.completion_grace_ms, 1, kHourMs,
             "How long after its deadline or cancellation a slice may take to complete before its transport counts as "
             "stuck. A longer one holds a waiting caller longer.");
  fields::Ms(
      v, "backoff_initial_ms", o.backoff_initial_ms, 1, kHourMs,
      "First pause of a transport towards a peer after a failure; doubles with each. A longer one recovers later.");
  fields::Ms(v, "backoff_max_ms", o.backoff_max_ms, 1, kHourMs,
             "Longest such pause. A longer one recovers later and troubles a dead peer less.");
  fields::Count(v, "dispatchers", o.dispatchers, 0, 64,
                "How many threads submit without sharing a lock; 0: one a core, at most 8. Each that is used has a "
                "thread and connections of its own.");
  fields::Us(v, "spin_us", o.spin_us, 0, 1'000'000,
             "How long waiting polls before it blocks. A longer spin answers sooner and costs a core meanwhile.");
  v.Flag({"verify_registrations",
          "Whether the plugin is asked as well and compared with the engine's own ledger; costs a call per slice."},
         o.verify_registrations);
}

template <typename V, Describes<TlsOptions> O>
void DescribeFields(V& v, O& o) {
  v.Text(TextField{{"certificate_file", "Certificate of this node, PEM; empty: no TLS."}, TextRule::kPathOrEmpty},
         o.certificate_file);
  v.Text(TextField{{"key_file", "Private key of that certificate, PEM."}, TextRule::kPathOrEmpty}, o.key_file);
  v.Text(TextField{{"ca_file", "What peers' certificates are checked against, PEM; empty: what the system trusts."},
                   TextRule::kPathOrEmpty},
         o.ca_file);
}

template <typename V, Describes<ControlOptions> O>
void DescribeFields(V& v, O& o) {
  using fields::kHourMs;
  v.Text(TextField{{"listen",
                    "Where peers reach this node, HOST:PORT or [V6]:PORT; port 0: any free one; empty: nowhere. "
                    "Anything but a loopback address needs secret_file."},
                   TextRule::kListenAddress},
         o.listen);
  v.Text(TextField{{"secret_file", "File that holds the secret shared by all nodes, readable by its owner alone."},
                   TextRule::kPathOrEmpty},
         o.secret_file);
  v.Nested({"tls", "Encryption of the control connections."}, o.tls);
  fields::Ms(v, "request_timeout_ms", o.request_timeout_ms, 1, kHourMs,
             "Bound on one control request, from first byte to last, and on one reply. A longer one lets a slow peer "
             "hold a connection longer.");
  fields::Ms(v, "idle_timeout_ms", o.idle_timeout_ms, 1, 24 * kHourMs,
             "How long a control connection without a request is kept. A longer one keeps more connections open.");
  fields::Count(v, "max_connections", o.max_connections, 1, 65'536,
                "Most control connections at once; further ones are closed. A larger limit costs descriptors and "
                "memory.");
  fields::Bytes(v, "max_body_bytes", o.max_body_bytes, 4 * fields::kKiB, int64_t{1} << 30,
                "Longest control request or reply. A larger limit lets each connection take that much memory.");
  fields::Count(v, "max_segments", o.max_segments, 1, 1'000'000,
                "Most segments published or opened at once. A larger limit costs memory per segment.");
}

template <typename V, Describes<StoreSegmentUse> O>
void DescribeFields(V& v, O& o) {
  v.Text(TextField{{"name", "What the segment is called. Required."}, TextRule::kEngineName}, o.name);
  fields::Bytes(v, "bytes", o.bytes, 0, fields::kMaxBytes,
                "How long it is; 0 with a file: as long as that is. A larger one holds more objects and takes its size "
                "of memory as it fills.");
  v.Text(TextField{{"file", "The file that is mapped, made where there is none; empty: memory of the process."},
                   TextRule::kPathOrEmpty},
         o.file);
  v.Text(TextField{{"transport", "The transport in whose own memory for segments it lies; empty: none."},
                   TextRule::kPluginNameOrEmpty},
         o.transport);
}

template <typename V, Describes<StoreOptions> O>
void DescribeFields(V& v, O& o) {
  using fields::kHourMs;
  v.Text(TextField{{"connect",
                    "The node whose store this process uses, HOST:PORT of its control listener; empty: a store of its "
                    "own."},
                   TextRule::kListenAddress},
         o.connect);
  fields::Bytes(v, "bytes", o.bytes, 0, fields::kMaxBytes,
                "Length of the one segment that there is when segments is empty; 0: none. A larger one holds more "
                "objects and takes its size of memory as it fills.");
  v.Segments(SegmentsField{{"segments", "The segments that are mounted when the store is opened."}, 256}, o.segments);
  fields::Percent(v, "high_watermark_percent", o.high_watermark_percent,
                  "How full the segments may become before objects are evicted. A larger one keeps more and leaves "
                  "less room to find space in.");
  fields::Percent(v, "low_watermark_percent", o.low_watermark_percent,
                  "Down to where objects are evicted then. A larger one evicts less at a time, and more often.");
  fields::Count(v, "replicas", o.replicas, 1, 4,
                "In how many segments an object lies, unless its write says otherwise. More survive more losses and "
                "take as much more space.");
  v.Flag({"checksums", "Whether chunks get a checksum when they are written, unless the write says otherwise."},
         o.checksums);
  v.Flag({"verify_reads", "Whether checksums are compared when objects are read, unless the read says otherwise."},
         o.verify_reads);
  fields::Bytes(v, "chunk_bytes", o.chunk_bytes, 4 * fields::kKiB, int64_t{1} << 30,
                "What one checksum is of. Larger chunks take less memory for checksums and make reading a small range "
                "verify more.");
  fields::Count(v, "copy_threads", o.copy_threads, 0, 64,
                "Threads that copy long values within this process, the caller's included; 0: one a core, at most 4. "
                "More copy faster as far as memory does, and take the cores meanwhile.");
  fields::Bytes(v, "parallel_bytes", o.parallel_bytes, 64 * fields::kKiB, fields::kTiB,
                "From which length on a value is copied by several threads. A larger one leaves more of them to one.");
  fields::Ms(v, "deadline_ms", o.deadline_ms, 1, 7 * 24 * kHourMs,
             "Deadline of a call without one. A longer one reports a dead peer later.");
  fields::Ms(v, "lease_ms", o.lease_ms, 100, kHourMs,
             "How long another process may hold space or a value without having committed or released it; also bounds "
             "its calls. A longer one allows longer transfers and keeps what a dead process held for longer.");
  fields::Count(v, "max_clients", o.max_clients, 1, 65'536,
                "Most connections of other processes to this store at once. A larger limit costs a thread each.");
}

template <typename V, Describes<Options> O>
void DescribeFields(V& v, O& o) {
  v.Text(TextField{{"name", "Marks this engine in logs, in metrics and to peers."}, TextRule::kEngineName}, o.name);
  v.TextList(
      TextListField{{"plugin_path", "Folders that plugins are looked for in, in order, before the built-in one."},
                    TextRule::kPath,
                    64},
      o.plugin_path);
  v.Nested({"log", "What is logged, and where."}, o.log);
  v.Plugins(PluginsField{{"transports", "The transports to load, in order of preference."}, PluginRole::kTransport, 32},
            o.transports);
  v.Plugins(PluginsField{{"memory_providers", "The kinds of memory besides the host's that the engine understands."},
                         PluginRole::kMemoryProvider,
                         32},
            o.memory_providers);
  v.Nested({"memory", "Pinning and staging."}, o.memory);
  v.Nested({"transfer", "Slicing, routing, limits and waits of transfers."}, o.transfer);
  v.Nested({"control", "The endpoint through which nodes find each other's segments."}, o.control);
  v.Nested({"store", "The object store, where it is used."}, o.store);
}

}  // namespace slipway

#endif  // SLIPWAY_OPTIONS_FIELDS_HPP_
