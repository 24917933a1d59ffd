// Everything that configures an engine, as types. The same table (options_fields.hpp) drives the JSON reader, the
// writer, the reference configuration and the JSON Schema for editors, so that none can differ from another.
//
// Each member is documented in that table: what it changes, its unit, its range and what a larger value costs.
#ifndef SLIPWAY_OPTIONS_HPP_
#define SLIPWAY_OPTIONS_HPP_

#include <cstdint>
#include <string>
#include <vector>

namespace slipway {

enum class LogLevelOption { kError, kWarning, kInfo, kDebug, kTrace };
enum class PinPolicy { kOff, kOnDemand, kWholeRegion };
enum class RoutePolicy { kConfigured, kFastest };

// One transport to load and create, or one memory provider.
struct PluginUse {
  std::string name;                 // of the transport or provider, as its plugin calls it
  std::string plugin;               // file to load it from: libslipway-PLUGIN.so; empty: as `name`
  bool required = false;            // a failure stops the engine instead of being a warning
  int64_t priority = -1;            // routing order, lower first; -1: its place in the list. Transports only
  std::string options_json = "{}";  // the plugin's own configuration object, as JSON text
};

struct LogOptions {
  LogLevelOption level = LogLevelOption::kWarning;
  std::string file;  // empty: standard error
};

struct StagingOptions {
  uint64_t bytes = 64u << 20;       // the pool; 0: no staging
  uint64_t chunk_bytes = 1u << 20;  // largest single staging buffer
  uint64_t share_per_batch_percent = 50;
  uint64_t copy_threads = 1;  // threads that copy between user memory and staging
};

// What is pinned on demand.
struct CacheOptions {
  uint64_t chunk_bytes = 16u << 20;  // what is pinned as one; a power of two
  uint64_t pin_from_bytes = 0;       // requests from this length on pin at their first touch; 0: by measured costs
  uint64_t window_ms = 10'000;       // within which a second touch counts as one
  uint64_t room_wait_ms = 20;        // for pinning and for room in the budget; then the slice is staged
  uint64_t ttl_ms = 30'000;          // idle for longer: unpinned
  uint64_t high_watermark_percent = 90;
  uint64_t low_watermark_percent = 75;
  uint64_t reap_interval_ms = 100;
};

struct MemoryOptions {
  PinPolicy pin_policy = PinPolicy::kOnDemand;
  uint64_t budget_bytes = 0;  // cap on pinned bytes; 0: only what the system allows
  CacheOptions cache;
  StagingOptions staging;
};

struct TransferOptions {
  RoutePolicy route_policy = RoutePolicy::kConfigured;
  uint64_t slice_bytes = 0;  // cut requests at this size; 0: as each transport prefers
  uint64_t max_request_bytes = uint64_t{1} << 40;
  uint64_t max_batch_requests = 1u << 20;
  uint64_t max_inflight_requests = 1u << 20;  // of the engine; beyond: E_AGAIN
  uint64_t max_inflight_slices_per_peer = 1024;
  uint64_t bulk_share_percent = 75;            // of the in-flight slices, when small requests wait
  uint64_t bulk_threshold_bytes = 256u << 10;  // requests of at least this size are bulk
  uint64_t default_deadline_ms = 60'000;       // of a batch submitted without one
  uint64_t connect_timeout_ms = 5'000;
  uint64_t completion_grace_ms = 10'000;  // past deadline or cancel, before a transport counts as stuck
  uint64_t backoff_initial_ms = 100;
  uint64_t backoff_max_ms = 5'000;
  uint64_t dispatchers = 0;           // threads that submit without sharing a lock; 0: one a core, at most 8
  uint64_t spin_us = 50;              // wait() polls this long before it blocks
  bool verify_registrations = false;  // ask the plugin as well, and compare with the ledger (always in debug builds)
};

struct TlsOptions {
  std::string certificate_file;  // PEM; empty: no TLS
  std::string key_file;
  std::string ca_file;  // what peers' certificates are checked against; empty: the system's
};

struct ControlOptions {
  std::string listen = "127.0.0.1:0";  // host:port, [v6]:port; port 0: any free one; empty: do not listen
  std::string secret_file;             // shared secret; required to listen beyond loopback
  TlsOptions tls;
  uint64_t request_timeout_ms = 5'000;  // one request, from first byte to last, and one reply
  uint64_t idle_timeout_ms = 60'000;    // a kept-alive connection without a request
  uint64_t max_connections = 256;
  uint64_t max_body_bytes = 4u << 20;
  uint64_t max_segments = 4096;
};

// One segment of memory that this node contributes to its store.
struct StoreSegmentUse {
  std::string name;
  uint64_t bytes = 0;     // 0 with `file`: as long as it is
  std::string file;       // mapped; empty: memory of the process
  std::string transport;  // empty; or whose memory for segments it lies in
};

struct StoreOptions {
  std::string connect;                    // host:port of the node whose store this is a client of; empty: its own
  uint64_t bytes = uint64_t{1} << 30;     // of the one segment there is when `segments` is empty; 0: none
  std::vector<StoreSegmentUse> segments;  // mounted when the store is opened
  uint64_t high_watermark_percent = 95;
  uint64_t low_watermark_percent = 90;
  uint64_t replicas = 1;
  bool checksums = true;
  bool verify_reads = true;
  uint64_t chunk_bytes = 256u << 10;  // that each checksum is of
  uint64_t copy_threads = 0;          // 0: one a core, at most 4
  uint64_t parallel_bytes = 4u << 20;
  uint64_t deadline_ms = 60'000;  // of a call without one
  uint64_t lease_ms = 30'000;     // of what other processes hold
  uint64_t max_clients = 64;
};

struct Options {
  std::string name = "slipway";          // marks this engine in logs and to peers
  std::vector<std::string> plugin_path;  // folders; searched in order, before the built-in one
  std::vector<PluginUse> transports;
  std::vector<PluginUse> memory_providers;
  LogOptions log;
  MemoryOptions memory;
  TransferOptions transfer;
  ControlOptions control;
  StoreOptions store;
};

}  // namespace slipway

#endif  // SLIPWAY_OPTIONS_HPP_
