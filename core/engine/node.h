// One engine: builds the parts from the options, wires them together, and takes them down in the reverse order.
#ifndef SLIPWAY_CORE_ENGINE_NODE_H_
#define SLIPWAY_CORE_ENGINE_NODE_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/helpers.h"
#include "core/base/log.h"
#include "core/control/client.h"
#include "core/control/server.h"
#include "core/engine/kinds.h"
#include "core/engine/published.h"
#include "core/engine/segment_heap.h"
#include "core/loader/host.h"
#include "core/loader/registry.h"
#include "core/memory/copier.h"
#include "core/memory/host_pins.h"
#include "core/memory/pin_budget.h"
#include "core/memory/pin_cache.h"
#include "core/memory/provider_pinner.h"
#include "core/memory/providers.h"
#include "core/memory/regions.h"
#include "core/memory/staging_pool.h"
#include "core/metrics/counters.h"
#include "core/transfer/dispatchers.h"
#include "core/transfer/transport.h"
#include "core/transfer/transport_pinner.h"
#include "slipway/options.hpp"
#include "slipway/status.hpp"

namespace slipway {

class StoreInstance;

// Thread-safe once created.
class Node final : public SegmentSource {
 public:
  // `source` names the configuration in messages.
  static Result<std::shared_ptr<Node>> Create(Options options, const std::string& source);
  ~Node() override;
  // Stops everything; bounded. Calls after it fail with E_CLOSED or find nothing.
  void Shutdown();

  std::string ControlAddress() const SLIPWAY_EXCLUDES(address_mutex_);  // host:port; empty: does not listen

  Status Declare(void* addr, uint64_t length, uint32_t flags);  // SLIPWAY_DECLARE_*
  Status Undeclare(void* addr, uint64_t length, uint64_t timeout_ns);
  // Memory for segments; see slipway_memory_allocate.
  Result<void*> Allocate(uint64_t bytes, int32_t numa, const std::string& transport);
  Status Free(void* address);
  Status Publish(const std::string& name, std::span<const Span> spans, uint32_t access);
  Status Withdraw(const std::string& name);
  Result<std::unique_ptr<SharedSegment>> Open(const std::string& url, uint64_t timeout_ms);
  uint64_t KindOf(const void* addr, uint64_t length) const { return providers_.Classify(addr, length).kind; }
  // For the requests of one submission; used while the node is.
  KindLookup Kinds() const { return KindLookup(providers_, *regions_); }

  Dispatchers& dispatchers() { return *dispatchers_; }
  std::string_view TransportName(size_t number) const { return transports_[number]->name(); }
  Result<std::string> ExplainJson(const RequestSpec& spec);

  const Options& options() const { return options_; }
  Counters& counters() { return counters_; }
  Helpers& helpers() { return helpers_; }
  bool has_transports() const { return !transports_.empty(); }
  // The store of this node, while somebody uses it; `make` is called where nobody does.
  Result<std::shared_ptr<StoreInstance>> OwnStore(const std::function<Result<std::shared_ptr<StoreInstance>>()>& make)
      SLIPWAY_EXCLUDES(store_mutex_);

  // SegmentSource
  Result<SegmentDescriptor> OpenSegment(const std::string& name, const std::vector<ProtocolRange>& protocols) override;
  std::vector<SegmentSummary> ListSegments() override;
  std::string DescribeJson() override;
  std::string MetricsText() override;
  Result<Stream> OpenStream(const std::string& protocol) override SLIPWAY_EXCLUDES(store_mutex_);
  Result<std::unique_ptr<Channel>> ConnectStream(const std::string& address, const std::string& protocol,
                                                 uint64_t timeout_ms);

 private:
  // What the core lends to the instance of one transport or provider.
  class Services;
  struct Failure {
    std::string name, reason;
  };
  // What is done about a segment of host memory, so that devices copy it at full rate.
  struct SegmentPins {
    std::vector<HostPin> pins;    // for as long as it is published
    std::vector<Span> on_demand;  // declared to the cache
  };

  Node(Options options, std::string source);
  Status Start();
  Status LoadTransports();
  Status LoadProviders();
  Result<std::unique_ptr<Transport>> LoadTransport(size_t index);
  Status LoadProvider(size_t index);
  const slipway_host* MakeHost(const std::string& name);
  Status StartStaging(Dispatcher::Parts* parts);
  Status CheckBudget() const;
  void RegisterPool(Dispatcher::Parts* parts);
  void PinPool();
  void UnpinPool();
  void PinSegment(const std::string& name, std::span<const Span> spans, uint64_t kind)
      SLIPWAY_REQUIRES(segments_mutex_);
  void UnpinSegment(const std::string& name) SLIPWAY_REQUIRES(segments_mutex_);
  void UnpinSegments() SLIPWAY_EXCLUDES(segments_mutex_);
  void PinRegion(void* addr, uint64_t length) SLIPWAY_EXCLUDES(region_pins_mutex_);
  void UnpinRegion(void* addr, uint64_t length) SLIPWAY_EXCLUDES(region_pins_mutex_);
  void UnpinRegions() SLIPWAY_EXCLUDES(region_pins_mutex_);
  void StartCache(Dispatcher::Parts* parts);
  template <typename PinnerT>
  uint32_t AddPinner(std::unique_ptr<PinnerT> pinner);
  Status StartDispatcher();
  Status StartControl();
  void Warn(const std::vector<std::string>& warnings);
  std::vector<ProtocolRange> Protocols() const;

  const Options options_;
  const std::string source_;
  const Clock& clock_;
  std::shared_ptr<Logger> log_;
  Counters counters_;
  std::unique_ptr<PinBudget> budget_;
  std::unique_ptr<PluginRegistry> registry_;
  std::vector<std::unique_ptr<Services>> services_;
  std::vector<std::unique_ptr<HostTable>> hosts_;
  std::unique_ptr<StagingPool> pool_;  // goes after everyone who may write to it
  Providers providers_;
  std::unique_ptr<CopyService> copies_;  // null: no provider
  std::unique_ptr<HostPins> pins_;
  std::vector<std::unique_ptr<Transport>> transports_;
  std::vector<Failure> failures_;                               // of plugins that are not required
  std::vector<std::vector<Registration*>> pool_registrations_;  // per transport
  std::vector<HostPin> pool_pins_;
  Mutex segments_mutex_;  // held while a segment is published or withdrawn
  std::map<std::string, SegmentPins> segment_pins_ SLIPWAY_GUARDED_BY(segments_mutex_);
  Mutex region_pins_mutex_;
  // Of declared regions, where the policy is to pin all: by address and length.
  std::map<std::pair<void*, uint64_t>, std::vector<HostPin>> region_pins_ SLIPWAY_GUARDED_BY(region_pins_mutex_);
  std::vector<std::unique_ptr<Pinner>> pinners_;  // by their numbers with the cache
  std::unique_ptr<PinCache> cache_;               // null: nothing is pinned on demand
  std::atomic<PinCache*> room_{nullptr};          // cache_, once plugins may ask it for room
  std::unique_ptr<Dispatchers> dispatchers_;
  std::atomic<Dispatchers*> wakes_{nullptr};  // dispatchers_, once they can be woken
  std::unique_ptr<Regions> regions_;
  std::unique_ptr<Published> published_;
  std::unique_ptr<SegmentHeap> segment_memory_;
  std::string instance_id_;
  ProcessIdentity process_;
  std::unique_ptr<ControlClient> client_;
  std::unique_ptr<ControlServer> server_;  // its threads run from before this is set until after it is not
  mutable Mutex address_mutex_;
  std::string control_address_ SLIPWAY_GUARDED_BY(address_mutex_);
  Mutex store_mutex_;
  std::weak_ptr<StoreInstance> store_ SLIPWAY_GUARDED_BY(store_mutex_);
  std::atomic<bool> closed_{false};
  Helpers helpers_{Helpers::Fitting()};
};

// Where plugins lie when the configuration says nothing: slipway/plugins beside libslipway.so.
std::string BuiltInPluginFolder();

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_NODE_H_
