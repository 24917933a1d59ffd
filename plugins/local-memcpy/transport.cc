#include "plugins/local-memcpy/transport.h"

#include <algorithm>

#include "plugins/local-memcpy/copy.h"
#include "plugins/local-memcpy/device_copies.h"

namespace slipway::local_memcpy {
namespace {

constexpr uint32_t kRemoteAccess = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;
// How long deregister_memory waits for copies in progress.
constexpr uint64_t kRevokeNs = 1'000'000'000;
// No timeout is longer, so that adding it to the time of day does not overflow.
constexpr uint64_t kLongestNs = uint64_t{3600} * 1'000'000'000;

}  // namespace

// ---- registration ----------------------------------------------------------------------------------------------

LocalRegistration::LocalRegistration(LocalInstance& owner, const slipway_range& range)
    : grant(std::make_shared<Grant>(range, range.access & kRemoteAccess, RandomKey())),
      id(owner.endpoint->Add(grant)),
      owner_(owner) {
  owner.Admit(*grant, id, range.mem_kind);
}

LocalRegistration::~LocalRegistration() {
  if (revoked_) return;
  // The instance is being destroyed with the registration alive: its memory may be freed as soon as this returns, so
  // copies in progress are waited for. None takes longer than copying one slice. Those of other processes have been
  // waited for when the instance was stopped.
  grant->Revoke(owner_.host(), std::numeric_limits<uint64_t>::max());
}

bool LocalRegistration::Revoke() {
  const uint64_t deadline_ns = owner_.host().NowNs() + kRevokeNs;
  if (!grant->Revoke(owner_.host(), deadline_ns)) return false;
  const uint32_t slot = grant->slot.load();
  if (slot != kNoSlot && !owner_.exchange->Revoke(slot, id, deadline_ns)) {
    grant->Reopen();
    return false;
  }
  revoked_ = true;
  return true;
}

// ---- peer ------------------------------------------------------------------------------------------------------

slipway_status LocalPeer::Ready(sdk::Error& err) {
  if (endpoint_->closed()) {
    return err.Fail(SLIPWAY_E_PEER, "the peer's instance was shut down: connect to its new address");
  }
  return SLIPWAY_OK;
}

slipway_status LocalPeer::ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  MrBlob mr;
  if (!Decode(blob, mr)) return err.Fail(SLIPWAY_E_PROTOCOL, "not a registration of local-memcpy, or damaged");
  if (!(mr.process == Process::Get().id())) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration is of another process than this peer");
  }
  if (mr.endpoint != endpoint_->id) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration is of another instance than this peer");
  }
  std::shared_ptr<Grant> grant = endpoint_->Find(mr.registration);
  if (grant == nullptr || endpoint_->closed()) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration was revoked: ask the peer for its present one");
  }
  if (mr.key != grant->key || mr.length != grant->length || mr.access != grant->access) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the registration's key, length or access is not what the peer exported");
  }
  // Another engine of this process may know memory that this one does not.
  if ((grant->mem_kind & mem_kinds_) == 0) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED,
                    "the peer's memory is a device's, and nobody here copies that: configure its memory provider");
  }
  out = std::make_unique<LocalRemote>(endpoint_, std::move(grant));
  return SLIPWAY_OK;
}

slipway_status ForeignPeer::ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  MrBlob mr;
  if (!Decode(blob, mr)) return err.Fail(SLIPWAY_E_PROTOCOL, "not a registration of local-memcpy, or damaged");
  if (!(mr.process == address_.process) || mr.endpoint != address_.endpoint) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration is of another instance than this peer");
  }
  std::shared_ptr<Import> import;
  const slipway_status s = exchange_.Ask(*neighbour_, mr, import, err);
  if (s == SLIPWAY_OK) out = std::make_unique<LocalRemote>(std::move(import));
  return s;
}

// ---- instance --------------------------------------------------------------------------------------------------

LocalInstance::LocalInstance(sdk::Host host, const slipway_attrs& attrs, const Config& config)
    : Instance(host, attrs), config(config), endpoint(Process::Get().Open()), pool(config, host, counters) {}

slipway_status LocalInstance::Start(sdk::Error& err) {
  pool.Start();
  if ((attrs().caps & SLIPWAY_CAP_CROSS_PROCESS) == 0) return SLIPWAY_OK;
  std::string why;
  exchange = Exchange::Make(
      config, host(), *endpoint, shared, [this] { pool.LookAtWaiting(); }, why);
  if (exchange == nullptr) return err.FailRetryable(SLIPWAY_E_NOMEM, why + ": or set \"cross_process\" to false");
  exchange->Start();
  return SLIPWAY_OK;
}

void LocalInstance::Stop() noexcept {
  endpoint->Close();
  Process::Get().Close(*endpoint);
  pool.Stop();
  if (exchange != nullptr) exchange->Stop();
  MutexLock lock(mutex_);
  for (LocalChannel* channel : channels_) channel->AbandonDevices(host().NowNs() + kRevokeNs);
}

slipway_status LocalInstance::Quiesce(uint64_t timeout_ns, sdk::Error& err) {
  const uint64_t deadline_ns = host().NowNs() + std::min(timeout_ns, kLongestNs);
  endpoint->Close();
  if (exchange != nullptr) exchange->Close();
  bool idle = pool.Close(timeout_ns);
  {
    MutexLock lock(mutex_);
    for (LocalChannel* channel : channels_) {
      channel->WaitForSubmit();
      idle = channel->FinishDevices(deadline_ns) && idle;
    }
  }
  return idle ? SLIPWAY_OK : err.Fail(SLIPWAY_E_TIMEOUT, "a long slice is still being copied: call again");
}

slipway_status LocalInstance::RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                             sdk::Error&) {
  out = std::make_unique<LocalRegistration>(*this, range);
  return SLIPWAY_OK;
}

slipway_status LocalInstance::DeregisterMemory(sdk::Registration& mr) {
  LocalRegistration& local = static_cast<LocalRegistration&>(mr);
  if (!local.Revoke()) return SLIPWAY_E_BUSY;
  endpoint->Remove(local.id);
  return SLIPWAY_OK;
}

void LocalInstance::Admit(Grant& grant, uint64_t id, uint64_t mem_kind) {
  if (exchange == nullptr || grant.access == 0 || mem_kind != SLIPWAY_MEM_HOST) return;
  const uint32_t slot = exchange->Admit(id);
  if (slot == kNoSlot) return;
  const std::shared_ptr<const SharedBlock> block = shared.Find(grant.addr, grant.length);
  // What may only be read is given away for reading only; where the system cannot do that, as private memory.
  const bool whole = block != nullptr && ((grant.access & SLIPWAY_ACCESS_REMOTE_WRITE) != 0 || block->reading);
  grant.reach = whole ? Grant::Reach::kShared : Grant::Reach::kPrivate;
  grant.slot.store(slot);
}

slipway_status LocalInstance::ExportAddress(std::string& out, sdk::Error&) {
  out = Encode(AddressBlob{Process::Get().id(), endpoint->id, exchange == nullptr ? Key{} : exchange->name()});
  return SLIPWAY_OK;
}

slipway_status LocalInstance::ExportMr(sdk::Registration& mr, std::string& out, sdk::Error&) {
  const LocalRegistration& local = static_cast<LocalRegistration&>(mr);
  const Grant& grant = *local.grant;
  out = Encode(MrBlob{Process::Get().id(), endpoint->id, local.id, grant.length, grant.access, grant.reach, grant.key});
  return SLIPWAY_OK;
}

slipway_status LocalInstance::Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) {
  AddressBlob blob;
  if (!Decode(address, blob)) return err.Fail(SLIPWAY_E_PROTOCOL, "not an address of local-memcpy, or damaged");
  if (!(blob.process == Process::Get().id())) {
    return ConnectElsewhere(blob, out, err);
  }
  std::shared_ptr<Endpoint> target = Process::Get().Find(blob.endpoint);
  if (target == nullptr) return err.Fail(SLIPWAY_E_PEER, "the peer's instance is gone: ask for its new address");
  out = std::make_unique<LocalPeer>(std::move(target), attrs().mem_kinds);
  return SLIPWAY_OK;
}

slipway_status LocalInstance::ConnectElsewhere(const AddressBlob& address, std::unique_ptr<sdk::Peer>& out,
                                               sdk::Error& err) {
  const Key here = Process::Get().id().boot;
  if (here == Key{} || address.process.boot != here) {
    return err.Fail(SLIPWAY_E_PEER, "the peer is on another host: use a transport that crosses hosts");
  }
  if (exchange == nullptr || address.socket == Key{}) {
    return err.Fail(SLIPWAY_E_PEER, std::string(exchange == nullptr ? "this process" : "the peer's process") +
                                        " keeps to itself (\"cross_process\"): use a transport that crosses processes");
  }
  std::shared_ptr<Neighbour> neighbour;
  const slipway_status s = exchange->Connect(address, neighbour, err);
  if (s == SLIPWAY_OK) out = std::make_unique<ForeignPeer>(*exchange, std::move(neighbour), address);
  return s;
}

slipway_status LocalInstance::OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) {
  std::unique_ptr<DeviceCopies> devices;
  if (attrs().mem_kinds != SLIPWAY_MEM_HOST) {
    if (const slipway_status s = DeviceCopies::Open(host(), cookie, devices, err); s != SLIPWAY_OK) return s;
  }
  uint32_t lane = 0;
  if (!TakeLane(lane)) return err.Fail(SLIPWAY_E_NOMEM, "too many channels");
  auto channel = std::make_unique<LocalChannel>(*this, cookie, lane, std::move(devices));
  MutexLock lock(mutex_);
  channels_.insert(channel.get());
  out = std::move(channel);
  return SLIPWAY_OK;
}

bool LocalInstance::TakeLane(uint32_t& lane) {
  MutexLock lock(mutex_);
  for (lane = 0; lane < kChannelLanes && lanes_[lane];) ++lane;
  if (lane < kChannelLanes) lanes_.set(lane);
  return lane < kChannelLanes;
}

void LocalInstance::Forget(LocalChannel& channel) {
  MutexLock lock(mutex_);
  channels_.erase(&channel);
  closed_direct_.brief += channel.direct.brief;
  closed_direct_.held += channel.direct.held;
  closed_direct_.bytes_read += channel.direct.bytes_read;
  closed_direct_.bytes_written += channel.direct.bytes_written;
  lanes_.reset(channel.lane());
}

slipway_status LocalInstance::StatsJson(std::string& out) {
  const auto field = [&](const char* name, uint64_t value) {
    out += std::string(out.empty() ? "{" : ",") + "\"" + name + "\":" + std::to_string(value);
  };
  uint64_t brief = 0, held = 0, read = 0, written = 0;
  {
    MutexLock lock(mutex_);
    const auto add = [&](const LocalChannel::Direct& d) {
      brief += d.brief.load();
      held += d.held.load();
      read += d.bytes_read.load();
      written += d.bytes_written.load();
    };
    add(closed_direct_);
    for (const LocalChannel* channel : channels_) add(channel->direct);
  }
  field("slices", counters.slices + brief + held);
  field("inline_slices", counters.inline_slices + brief);
  field("device_slices", counters.device_slices + held);
  field("pieces", counters.pieces);
  field("bytes_read", counters.bytes_read + read);
  field("bytes_written", counters.bytes_written + written);
  field("canceled", counters.canceled);
  field("failed", counters.failed);
  out += ",\"peer_processes\":" + std::to_string(exchange == nullptr ? 0 : exchange->visitors());
  out += ",\"shared_bytes\":" + std::to_string(shared.bytes());
  out +=
      ",\"threads\":" + std::to_string(config.threads) + ",\"streaming\":\"" + StreamingName(BestStreaming()) + "\"}";
  return SLIPWAY_OK;
}

}  // namespace slipway::local_memcpy
