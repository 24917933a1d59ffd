#include "plugins/rdma-verbs/transport.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

namespace slipway::rdma {
namespace {

constexpr uint32_t kSubmitBatchMax = 64;
constexpr uint64_t kStopNs = 5'000'000'000, kChannelNs = 30'000'000'000;
constexpr std::chrono::milliseconds kSettleStep{5};

// Often enough that every time limit is kept within an eighth of itself.
uint32_t TickMs(const Config& c) {
  const uint32_t shortest = std::min({c.peer_timeout_ms, c.connect_timeout_ms, 2 * c.link_down_grace_ms});
  return std::clamp(shortest / 8, 5u, 1000u);
}

// What an instance with this configuration on these devices offers.
void FillAttrs(const Config& config, const Devices& devices, slipway_attrs* a) {
  const auto least = [&](uint64_t start, auto&& of) {
    for (const auto& d : devices) start = std::min<uint64_t>(start, of(*d));
    return start;
  };
  const auto all = [&](auto&& is) { return std::all_of(devices.begin(), devices.end(), is); };
  if (!all([](const auto& d) { return d->takes_dmabuf(); })) {
    a->caps &= ~SLIPWAY_CAP_DMABUF;
    a->mem_kinds = SLIPWAY_MEM_HOST;
  }
  a->numa_node = devices[0]->numa_node();
  a->max_slice_bytes = least(config.max_slice_bytes, [](const Device& d) { return d.message_bytes_max(); });
  a->preferred_slice_bytes = std::min(config.preferred_slice_bytes, a->max_slice_bytes);
  a->max_mr_bytes = least(std::numeric_limits<uint64_t>::max(), [](const Device& d) { return d.attr().max_mr_size; });
  if (a->max_mr_bytes >= uint64_t{1} << 62) a->max_mr_bytes = 0;
  a->max_mrs = static_cast<uint32_t>(
      least(std::numeric_limits<uint32_t>::max(), [](const Device& d) { return std::max(1, d.attr().max_mr); }));
  if (config.max_registrations != 0) a->max_mrs = std::min(a->max_mrs, config.max_registrations);
  a->max_channels = kChannelsMax;
  a->max_inflight_per_channel = static_cast<uint32_t>(
      least(config.max_inflight, [](const Device& d) { return std::max(1, d.attr().max_cqe / 2); }));
  a->max_submit_batch = kSubmitBatchMax;
  a->reg_granularity = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
  a->pins_per_reg = config.on_demand_paging ? 0 : static_cast<uint32_t>(devices.size());
  a->peer_timeout_ms = config.peer_timeout_ms;
  a->address_bytes_max = kAddressBlobBytesMax;
  a->mr_blob_bytes_max = kRegistrationBlobBytesMax;
  a->latency_ns = 3'000;
  a->bandwidth_bytes_per_s = 0;
  std::string names;
  for (const auto& d : devices) {
    a->bandwidth_bytes_per_s += d->bytes_per_s();
    names += (names.empty() ? "" : " ") + d->name() + ":" + std::to_string(d->port());
  }
  sdk::detail::CopyText(a->device, sizeof(a->device), names);
}

slipway_status PrepareForForks(const Verbs& verbs, const Config& config, sdk::Error& err) {
  if (!config.fork_safe) return SLIPWAY_OK;
  if (verbs.is_fork_initialized != nullptr && verbs.is_fork_initialized() != IBV_FORK_DISABLED) return SLIPWAY_OK;
  const int error = verbs.fork_init();
  if (error == 0) return SLIPWAY_OK;
  return err.Fail(
      SLIPWAY_E_CONFIG,
      "fork_safe must be set before this process registers memory with any RDMA library: " + ErrnoText(error),
      "/fork_safe", error);
}

}  // namespace

slipway_status RdmaTransport::Probe(sdk::Host, std::string_view json, slipway_attrs& out, sdk::Error& err) {
  Config config;
  Verbs verbs;
  Devices devices;
  slipway_status s = ReadConfig(json, &config, err);
  if (s == SLIPWAY_OK) s = verbs.Load(err);
  if (s == SLIPWAY_OK) s = OpenDevices(verbs, config, &devices, err);
  if (s == SLIPWAY_OK) FillAttrs(config, devices, &out);
  return s;
}

slipway_status RdmaTransport::Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                                     sdk::Error& err) {
  return RdmaInstance::Make(host, json, out, err);
}

// ---- life ----------------------------------------------------------------------------------------------------------

RdmaInstance::RdmaInstance(sdk::Host host, const slipway_attrs& attrs, std::unique_ptr<Verbs> verbs, Config config,
                           Devices devices)
    : sdk::Instance(host, attrs),
      verbs_(std::move(verbs)),
      config_(std::move(config)),
      devices_(std::move(devices)),
      loop_(std::make_unique<Loop>(host, *verbs_, TickMs(config_))),
      target_(std::make_unique<Target>(this)) {}

RdmaInstance::~RdmaInstance() { Stop(); }

slipway_status RdmaInstance::Make(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                                  sdk::Error& err) {
  Config config;
  auto verbs = std::make_unique<Verbs>();
  Devices devices;
  if (const slipway_status s = ReadConfig(json, &config, err); s != SLIPWAY_OK) return s;
  if (const slipway_status s = verbs->Load(err); s != SLIPWAY_OK) return s;
  if (const slipway_status s = PrepareForForks(*verbs, config, err); s != SLIPWAY_OK) return s;
  if (const slipway_status s = OpenDevices(*verbs, config, &devices, err); s != SLIPWAY_OK) return s;
  slipway_attrs attrs = sdk::DefaultAttrs(RdmaTransport::kInfo);
  FillAttrs(config, devices, &attrs);
  std::unique_ptr<RdmaInstance> made(
      new RdmaInstance(host, attrs, std::move(verbs), std::move(config), std::move(devices)));
  const slipway_status s = made->Start(err);
  if (s == SLIPWAY_OK) out = std::move(made);
  return s;
}

slipway_status RdmaInstance::Start(sdk::Error& err) {
  if (!RandomBytes(id_.data(), id_.size()) || !RandomBytes(secret_.data(), secret_.size())) {
    return err.Fail(SLIPWAY_E_IO, "the system has no random numbers to give", {}, errno);
  }
  for (const auto& device : devices_) {
    controls_.emplace_back();
    const uint32_t entries = 4096 + 2 * config_.max_connections;
    if (const slipway_status s = ControlQueue::Make(*device, entries, &controls_.back(), err); s != SLIPWAY_OK) {
      return s;
    }
  }
  std::function<void()> busy;
  if (config_.completion == Config::Completion::kPolling) {
    busy = [this] {
      for (RdmaChannel* c : channels_) {
        if (c != nullptr) c->DrainIfFree();
      }
    };
  }
  slipway_status s = loop_->Start(
      devices_, [this](Device* d, const ibv_async_event& e) { OnDeviceEvent(d, e); }, std::move(busy), err);
  if (s != SLIPWAY_OK) return s;
  loop_->Run([&] { s = target_->Listen(loop_->cm_channel(), &endpoints_, err); });
  return s;
}

bool RdmaInstance::AllEnded() const {
  return target_->empty() && std::all_of(peers_.begin(), peers_.end(), [](const RdmaPeer* p) { return p->ended(); });
}

void RdmaInstance::EndAll(const std::string& why) {
  loop_->Run([&] {
    for (RdmaPeer* peer : peers_) {
      peer->Fail(SLIPWAY_E_CANCELED, why, 0);
      peer->OnScheduled();
    }
    target_->Close();
  });
}

slipway_status RdmaInstance::Quiesce(uint64_t timeout_ns, sdk::Error& err) {
  EndAll("the instance was quiesced");
  if (Settle([this] { return AllEnded(); }, timeout_ns)) return SLIPWAY_OK;
  return err.Fail(SLIPWAY_E_TIMEOUT, "a connection takes longer to end than the time given: quiesce again");
}

void RdmaInstance::Stop() noexcept {
  if (loop_->running()) {
    EndAll("the instance is being destroyed");
    Settle([this] { return AllEnded(); }, kStopNs);
    loop_->Stop();
  }
  // Nobody else is left to do anything; what did not end in time ends here.
  for (RdmaPeer* peer : peers_) peer->DropLanes();
  peers_.clear();
  target_->Close();
}

bool RdmaInstance::Settle(const std::function<bool()>& done, uint64_t timeout_ns) {
  const uint64_t start_ns = host().NowNs();
  for (;;) {
    uint64_t seen = 0;
    {
      MutexLock lock(settled_mutex_);
      seen = settled_;
    }
    bool yes = false;
    if (!loop_->Run([&] { yes = done(); }) || yes) return true;
    if (host().NowNs() - start_ns >= timeout_ns) return false;
    MutexLock lock(settled_mutex_);
    if (settled_ == seen) settled_cv_.WaitFor(settled_mutex_, kSettleStep);
  }
}

void RdmaInstance::NoteSettled() {
  MutexLock lock(settled_mutex_);
  ++settled_;
  settled_cv_.NotifyAll();
}

// ---- registrations, names ------------------------------------------------------------------------------------------

slipway_status RdmaInstance::RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                            sdk::Error& err) {
  const slipway_status s = Registration::Make(devices_, config_, range, out, err);
  if (s == SLIPWAY_OK) stats_.Add(Counter::registrations);
  return s;
}

slipway_status RdmaInstance::DeregisterMemory(sdk::Registration& mr) {
  const slipway_status s = static_cast<Registration&>(mr).Release();
  if (s == SLIPWAY_OK) stats_.Add(Counter::deregistrations);
  return s;
}

slipway_status RdmaInstance::ExportAddress(std::string& out, sdk::Error&) {
  InstanceAddress address;
  address.instance = id_;
  address.secret = secret_;
  address.endpoints = endpoints_;
  out = EncodeAddress(address);
  return SLIPWAY_OK;
}

slipway_status RdmaInstance::ExportMr(sdk::Registration& mr, std::string& out, sdk::Error&) {
  const auto& r = static_cast<const Registration&>(mr);
  out = EncodeRegistration({id_, r.wire_base(), r.length(), r.access(), r.rkeys()});
  return SLIPWAY_OK;
}

// ---- peers, channels -----------------------------------------------------------------------------------------------

slipway_status RdmaInstance::Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) {
  std::optional<InstanceAddress> decoded = DecodeAddress(address);
  if (!decoded) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "these bytes are no exported address of this protocol, or were damaged");
  }
  if (decoded->protocol_min > kProtocolVersion || decoded->protocol_max < kProtocolVersion) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the peer speaks another version of the protocol: upgrade the older side");
  }
  auto peer = std::make_unique<RdmaPeer>(this, *std::move(decoded));
  loop_->Run([&] { peers_.push_back(peer.get()); });
  peer->Start();
  out = std::move(peer);
  return SLIPWAY_OK;
}

void RdmaInstance::ForgetPeer(RdmaPeer* peer) {
  loop_->Run([&] {
    std::erase(peers_, peer);
    loop_->Leave(peer);
    peer->DropLanes();
  });
}

slipway_status RdmaInstance::OpenChannel(void*, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) {
  for (uint32_t i = 0; i < kChannelsMax; ++i) {
    if ((channels_taken_ >> i & 1) != 0) continue;
    std::unique_ptr<RdmaChannel> channel;
    const slipway_status s = RdmaChannel::Make(this, i, &channel, err);
    if (s != SLIPWAY_OK) return s;
    channels_taken_ |= 1u << i;
    loop_->Run([&] { channels_[i] = channel.get(); });
    out = std::move(channel);
    return SLIPWAY_OK;
  }
  return err.FailRetryable(SLIPWAY_E_NOMEM, "as many channels are open as there may be: close one first");
}

void RdmaInstance::ForgetChannel(RdmaChannel* channel) {
  loop_->Run([&] {
    if (channels_[channel->index()] == channel) channels_[channel->index()] = nullptr;
    for (RdmaPeer* peer : peers_) peer->DropChannel(channel);
  });
  const auto gone = [&] {
    return std::none_of(peers_.begin(), peers_.end(), [&](const RdmaPeer* p) { return p->ServesChannel(channel); });
  };
  if (!Settle(gone, kChannelNs)) LogOnce(SLIPWAY_LOG_ERROR, Counter::device_errors, "a channel does not close");
  channels_taken_ &= ~(1u << channel->index());
}

// ---- for its parts -------------------------------------------------------------------------------------------------

uint8_t RdmaInstance::ReadsOut(const Device& device) const {
  return static_cast<uint8_t>(
      std::clamp<uint32_t>(config_.max_reads, 1, std::clamp(device.attr().max_qp_init_rd_atom, 1, 255)));
}

void RdmaInstance::LogOnce(uint32_t level, Counter kind, const std::string& message) {
  if (!stats_.FirstTime(kind)) return;
  host().Log(level, "rdma-verbs: " + message + " (counter " + CounterName(kind) + ", said once)");
}

void RdmaInstance::DeviceFailed(const std::string& why) {
  stats_.Add(Counter::device_errors);
  LogOnce(SLIPWAY_LOG_ERROR, Counter::device_errors, why);
  device_failed_.store(true);
  loop_->Schedule(this);
}

void RdmaInstance::OnScheduled() {
  if (!device_failed_.load()) return;
  for (RdmaPeer* peer : peers_) peer->Fail(SLIPWAY_E_DEVICE, "the device failed: restart the engine", 0);
}

void RdmaInstance::OnDeviceEvent(Device* device, const ibv_async_event& event) {
  const auto index = [&] {
    uint32_t i = 0;
    while (devices_[i].get() != device) ++i;
    return i;
  };
  switch (event.event_type) {
    case IBV_EVENT_PORT_ERR:
    case IBV_EVENT_PORT_ACTIVE: {
      if (static_cast<uint32_t>(event.element.port_num) != device->port()) return;
      const bool up = event.event_type == IBV_EVENT_PORT_ACTIVE;
      device->SetLink(up, loop_->now_ns());
      if (up) return;
      stats_.Add(Counter::link_down_events);
      loop_->HurryTick(config_.link_down_grace_ms);
      return LogOnce(SLIPWAY_LOG_WARNING, Counter::link_down_events, "the link of " + device->name() + " went down");
    }
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
      return target_->OnQueuePairEvent(index(), event.element.qp->qp_num, event.event_type);
    case IBV_EVENT_CQ_ERR:
    case IBV_EVENT_DEVICE_FATAL:
      return DeviceFailed(device->name() + ": " + verbs_->event_type_str(event.event_type));
    default:
      return;
  }
}

slipway_status RdmaInstance::StatsJson(std::string& out) {
  out = "{";
  for (uint32_t i = 0; i < kCounters; ++i) {
    const auto c = static_cast<Counter>(i);
    out += std::string("\"") + CounterName(c) + "\":" + std::to_string(stats_.Get(c)) + ",";
  }
  size_t sessions = 0;
  loop_->Run([&] { sessions = target_->session_count(); });
  out += "\"connections_open\":" + std::to_string(sessions) + ",\"links_down\":" +
         std::to_string(std::count_if(devices_.begin(), devices_.end(), [](const auto& d) { return !d->link_up(); })) +
         "}";
  return SLIPWAY_OK;
}

}  // namespace slipway::rdma
