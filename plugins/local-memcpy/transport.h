// The transport's objects; see the base classes for their contracts.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_TRANSPORT_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_TRANSPORT_H_

#include <bitset>
#include <memory>
#include <set>
#include <string>

#include "plugins/local-memcpy/config.h"
#include "plugins/local-memcpy/exchange.h"
#include "plugins/local-memcpy/memory.h"
#include "plugins/local-memcpy/progress.h"
#include "plugins/local-memcpy/shared.h"
#include "slipway/sdk/plugin.hpp"

namespace slipway::local_memcpy {

class LocalInstance;

class LocalRegistration final : public sdk::Registration {
 public:
  LocalRegistration(LocalInstance& owner, const slipway_range& range);
  ~LocalRegistration() override;

  // After it no peer touches the memory. False when one still did after the time that deregister_memory has; nothing
  // has changed then.
  bool Revoke();

  const std::shared_ptr<Grant> grant;
  const uint64_t id;

 private:
  bool revoked_ = false;
  LocalInstance& owner_;
};

// An instance of this process.
class LocalPeer final : public sdk::Peer {
 public:
  // `mem_kinds`: what can be copied here.
  LocalPeer(std::shared_ptr<Endpoint> endpoint, uint64_t mem_kinds)
      : endpoint_(std::move(endpoint)), mem_kinds_(mem_kinds) {}
  slipway_status Ready(sdk::Error& err) override;
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;

 private:
  const std::shared_ptr<Endpoint> endpoint_;
  const uint64_t mem_kinds_;
};

// An instance of another process.
class ForeignPeer final : public sdk::Peer {
 public:
  ForeignPeer(Exchange& exchange, std::shared_ptr<Neighbour> neighbour, const AddressBlob& address)
      : exchange_(exchange), neighbour_(std::move(neighbour)), address_(address) {}
  ~ForeignPeer() override { exchange_.Disconnect(neighbour_); }
  slipway_status Ready(sdk::Error& err) override { return neighbour_->Ready(err); }
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;

 private:
  Exchange& exchange_;
  const std::shared_ptr<Neighbour> neighbour_;
  const AddressBlob address_;
};

// A registration of a peer's: `grant` in this process, `import` in another.
class LocalRemote final : public sdk::Remote {
 public:
  LocalRemote(std::shared_ptr<Endpoint> endpoint, std::shared_ptr<Grant> grant)
      : Remote(grant->length, grant->access), endpoint_(std::move(endpoint)), grant_(std::move(grant)) {}
  explicit LocalRemote(std::shared_ptr<Import> import)
      : Remote(import->blob.length, import->blob.access), import_(std::move(import)) {}

  // How it is reached is not known yet: slices wait.
  bool pending() const { return import_ != nullptr && import_->pending(); }
  // Where it lies for this process; NULL: nowhere, it is another's private memory. Not while it is pending.
  char* base() const { return import_ == nullptr ? grant_->addr : import_->base; }
  bool in_this_process() const { return import_ == nullptr; }
  // Of this process.
  Grant& grant() const { return *grant_; }
  bool gone() const { return endpoint_->closed(); }
  // Of another's private memory.
  pid_t pid() const { return import_->neighbour->pid(); }
  uint64_t address() const { return import_->address; }

  // Before and after a piece is copied, by the copier of that lane (wire.h). False: the memory cannot be reached any
  // more, or the peer is gone.
  bool Enter(uint32_t lane) {
    if (import_ == nullptr) return !endpoint_->closed() && grant_->Enter();
    return import_->state.load(std::memory_order_acquire) != Import::kRefused &&
           import_->neighbour->Enter(lane, *import_);
  }
  void Leave(uint32_t lane) {
    if (import_ == nullptr) return grant_->Leave();
    import_->neighbour->Leave(lane);
  }
  slipway_status WhyGone() const {
    if (import_ == nullptr) return endpoint_->closed() ? SLIPWAY_E_PEER : SLIPWAY_E_STALE_REMOTE;
    if (import_->state.load(std::memory_order_acquire) == Import::kRefused) return import_->why;
    return import_->neighbour->alive() ? SLIPWAY_E_STALE_REMOTE : SLIPWAY_E_PEER;
  }

 private:
  const std::shared_ptr<Endpoint> endpoint_;
  const std::shared_ptr<Grant> grant_;
  const std::shared_ptr<Import> import_;
};

class LocalInstance final : public sdk::Instance {
 public:
  LocalInstance(sdk::Host host, const slipway_attrs& attrs, const Config& config);
  ~LocalInstance() override = default;
  // Throws std::system_error when the system refuses a thread.
  slipway_status Start(sdk::Error& err);

  slipway_status Quiesce(uint64_t timeout_ns, sdk::Error& err) override;
  void Stop() noexcept override;
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override;
  slipway_status DeregisterMemory(sdk::Registration& mr) override;
  slipway_status ExportAddress(std::string& out, sdk::Error& err) override;
  slipway_status ExportMr(sdk::Registration& mr, std::string& out, sdk::Error& err) override;
  slipway_status Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override;
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) override;
  slipway_status StatsJson(std::string& out) override;

  void Forget(LocalChannel& channel) SLIPWAY_EXCLUDES(mutex_);
  // Lets other processes use the registration, where they can.
  void Admit(Grant& grant, uint64_t id, uint64_t mem_kind);

  const Config config;
  const std::shared_ptr<Endpoint> endpoint;
  SharedMemory shared;
  Counters counters;
  Pool pool;
  std::unique_ptr<Exchange> exchange;  // NULL: this process only

 private:
  slipway_status ConnectElsewhere(const AddressBlob& address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err);

  bool TakeLane(uint32_t& lane) SLIPWAY_EXCLUDES(mutex_);

  Mutex mutex_;
  std::bitset<kChannelLanes> lanes_ SLIPWAY_GUARDED_BY(mutex_);  // that channels have
  std::set<LocalChannel*> channels_ SLIPWAY_GUARDED_BY(mutex_);
  LocalChannel::Direct closed_direct_ SLIPWAY_GUARDED_BY(mutex_);  // of channels that are gone
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_TRANSPORT_H_
