// One configured transport: the plugin's instance, what it can do, its registrations and what was observed of it.
#ifndef SLIPWAY_CORE_TRANSFER_TRANSPORT_H_
#define SLIPWAY_CORE_TRANSFER_TRANSPORT_H_

#include <atomic>
#include <memory>
#include <string>

#include "core/memory/ledger.h"
#include "core/transfer/route.h"
#include "core/transfer/slicer.h"
#include "slipway/abi/direct.h"
#include "slipway/abi/transport.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

// How to create one.
struct TransportConfig {
  const slipway_transport* table = nullptr;  // outlives the transport
  std::string options_json = "{}";
  int64_t priority = 0;
  std::string json_pointer;  // of its place in the configuration, for messages: "/transports/0/options"
};

// Thread-safe, except where it says otherwise.
class Transport final : public Registrar {
 public:
  // `host` outlives it. E_PLUGIN_CONFIG with the JSON path where the plugin refuses its options; otherwise what it
  // said.
  static Result<std::unique_ptr<Transport>> Create(const TransportConfig& config, const slipway_host* host,
                                                   PinBudget& budget, Counters& counters);
  ~Transport() override;  // Shutdown
  // Destroys the instance, and with it all that was made of it. Only names and attributes may be asked for then.
  void Shutdown();

  const std::string& name() const { return name_; }
  const slipway_transport& table() const { return *table_; }
  slipway_instance* instance() const { return instance_; }
  const slipway_attrs& attrs() const { return attrs_; }
  int64_t priority() const { return priority_; }
  Ledger& ledger() { return *ledger_; }
  const slipway_direct* direct() const { return direct_; }  // null: it has no such extension
  bool Has(uint64_t cap) const { return (attrs_.caps & cap) != 0; }

  // Serialises the plugin's [control] calls. Held across calls that may block, so the dispatcher only ever tries it.
  Mutex& control_mutex() SLIPWAY_TSA(lock_returned(control_mutex_)) { return control_mutex_; }

  // Registrar. Take the control mutex themselves where the plugin needs that.
  Result<slipway_mr*> RegisterMemory(const slipway_range& range) override;
  Status DeregisterMemory(slipway_mr* mr) override;

  Result<std::string> ExportAddress();
  Result<std::string> ExportRegistration(slipway_mr* mr);
  // The plugin's counters as a JSON object; "{}" where it has none.
  std::string StatsJson();
  // Whether the plugin's own answer about the range agrees with `cover`, which is the ledger's.
  bool AgreesWith(const LocalCover& cover, uint64_t addr, uint32_t access, uint64_t mem_kind);

  // Out of service for good, with the first reason. Whoever calls this first gets true.
  bool MarkFailed(const Status& why);
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  Status failure() const;

  // Adds one observation, exponentially weighted; 0 is ignored.
  void Observe(uint64_t bandwidth_bytes_per_s, uint64_t latency_ns);
  RouteFacts Facts() const;
  SliceLimits Limits(uint64_t local_kind, uint64_t slice_bytes_option, uint64_t staging_chunk_bytes) const;

 private:
  Transport(const TransportConfig& config, slipway_instance* instance, const slipway_attrs& attrs, PinBudget& budget,
            Counters& counters);

  const slipway_transport* const table_;
  const std::string name_;
  const int64_t priority_;
  slipway_instance* instance_;
  const slipway_attrs attrs_;
  const slipway_direct* const direct_;
  std::unique_ptr<Ledger> ledger_;
  Mutex control_mutex_;

  std::atomic<bool> failed_{false};
  mutable Mutex failure_mutex_;
  Status failure_ SLIPWAY_GUARDED_BY(failure_mutex_);
  std::atomic<uint64_t> bandwidth_bytes_per_s_, latency_ns_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_TRANSPORT_H_
