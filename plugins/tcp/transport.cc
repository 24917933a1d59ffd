#include "plugins/tcp/transport.h"

#include <algorithm>
#include <bit>
#include <thread>

#include "plugins/tcp/session.h"

namespace slipway::tcp {
namespace {

constexpr uint32_t kRemoteAccess = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;
constexpr uint32_t kSubmitBatchMax = 64;
constexpr std::chrono::milliseconds kDeregisterGrace{1000};
constexpr std::chrono::milliseconds kDeregisterForced{500};

// Often enough that every time limit is kept within an eighth of itself.
uint32_t TickMs(const Config& c) {
  const uint32_t shortest = std::min({c.peer_timeout_ms, c.connect_timeout_ms, c.handshake_timeout_ms});
  return std::clamp(shortest / 8, 5u, 1000u);
}

}  // namespace

void FillAttrs(const Config& config, slipway_attrs* a) {
  a->max_slice_bytes = config.max_slice_bytes;
  a->preferred_slice_bytes = config.preferred_slice_bytes;
  a->max_channels = kChannelsMax;
  a->max_inflight_per_channel = config.max_inflight;
  a->max_submit_batch = kSubmitBatchMax;
  a->pins_per_reg = 0;
  if (!config.poll_receives) a->caps &= ~SLIPWAY_CAP_EVENT_FD;
  a->peer_timeout_ms = config.peer_timeout_ms;
  a->address_bytes_max = kAddressBlobBytesMax;
  a->mr_blob_bytes_max = kRegistrationBlobBytes;
  a->latency_ns = 25'000;
}

slipway_status TcpTransport::Probe(sdk::Host, std::string_view json, slipway_attrs& out, sdk::Error& err) {
  Config config;
  const slipway_status s = ParseConfig(json, &config, err);
  if (s == SLIPWAY_OK) FillAttrs(config, &out);
  return s;
}

slipway_status TcpTransport::Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                                    sdk::Error& err) {
  Config config;
  const slipway_status s = ParseConfig(json, &config, err);
  if (s != SLIPWAY_OK) return s;
  slipway_attrs attrs = sdk::DefaultAttrs(kInfo);
  FillAttrs(config, &attrs);
  return TcpInstance::Make(host, attrs, std::move(config), out, err);
}

// ---- life ----------------------------------------------------------------------------------------------------------

TcpInstance::TcpInstance(sdk::Host host, const slipway_attrs& attrs, Config config)
    : sdk::Instance(host, attrs), config_(std::move(config)) {}

TcpInstance::~TcpInstance() { Stop(); }

slipway_status TcpInstance::Make(sdk::Host host, const slipway_attrs& attrs, Config config,
                                 std::unique_ptr<sdk::Instance>& out, sdk::Error& err) {
  std::unique_ptr<TcpInstance> instance(new TcpInstance(host, attrs, std::move(config)));
  const slipway_status s = instance->Start(err);
  if (s == SLIPWAY_OK) out = std::move(instance);
  return s;
}

slipway_status TcpInstance::Start(sdk::Error& err) {
  if (!RandomKey(&id_)) return err.Fail(SLIPWAY_E_IO, "the system has no random numbers to give", {}, errno);
  std::vector<Socket> sockets;
  std::vector<SocketAddress> bound;
  for (size_t i = 0; i < config_.listen.size(); ++i) {
    const std::string where = "/listen/" + std::to_string(i);
    std::vector<SocketAddress> resolved;
    if (const slipway_status s = Resolve(config_.listen[i], where, 0, true, &resolved, err); s != SLIPWAY_OK) return s;
    for (const SocketAddress& address : resolved) {
      bound.emplace_back();
      sockets.emplace_back();
      const slipway_status s = Listen(address, where, config_, &sockets.back(), &bound.back(), err);
      if (s != SLIPWAY_OK) return s;
    }
  }
  if (const slipway_status s = ResolveAdvertised(bound, err); s != SLIPWAY_OK) return s;
  if (const int error = direct_.Open(); error != 0) {
    return err.FailRetryable(SLIPWAY_E_IO, "cannot make an epoll set: " + ErrnoText(error), {}, error);
  }
  loops_running_.store(true);
  for (uint32_t i = 0; i < config_.io_threads; ++i) {
    loops_.push_back(std::make_unique<IoLoop>(host(), TickMs(config_), config_.busy_poll_us));
    if (const int error = loops_.back()->Start(); error != 0) {
      return err.FailRetryable(SLIPWAY_E_IO, "cannot start an io thread: " + ErrnoText(error), {}, error);
    }
  }
  int error = 0;
  for (Socket& s : sockets) {
    listeners_.push_back(std::make_unique<Listener>(this, loops_[0].get(), std::move(s)));
    loops_[0]->Run([&] { error = error != 0 ? error : listeners_.back()->Start(); });
  }
  if (error != 0) return err.Fail(SLIPWAY_E_IO, "cannot watch a listening socket: " + ErrnoText(error), {}, error);
  return SLIPWAY_OK;
}

slipway_status TcpInstance::ResolveAdvertised(const std::vector<SocketAddress>& bound, sdk::Error& err) {
  for (size_t i = 0; i < config_.advertise.size(); ++i) {
    const std::string where = "/advertise/" + std::to_string(i);
    if (const slipway_status s = Resolve(config_.advertise[i], where, bound[0].port, false, &advertised_, err);
        s != SLIPWAY_OK) {
      return s;
    }
  }
  if (config_.advertise.empty()) advertised_ = bound;
  if (advertised_.size() > kAddressesMax) advertised_.resize(kAddressesMax);
  for (const SocketAddress& a : advertised_) {
    if (a.bytes == std::array<uint8_t, 16>{}) {
      return err.Fail(SLIPWAY_E_CONFIG,
                      "peers cannot connect to the wildcard address " + a.ToString() +
                          ": say what to advertise, an address or name of this host",
                      "/advertise");
    }
    if (a.port == 0) return err.Fail(SLIPWAY_E_CONFIG, "port 0 cannot be advertised", "/advertise");
  }
  return SLIPWAY_OK;
}

void TcpInstance::Stop() noexcept {
  if (!loops_running_.load()) return;
  CloseTarget();
  std::vector<TcpPeer*> peers;
  {
    MutexLock lock(peers_mutex_);
    peers = peers_;
  }
  for (TcpPeer* peer : peers) peer->EndNow(SLIPWAY_E_CANCELED, "the instance is being destroyed");
  for (auto& loop : loops_) loop->Stop();
  loops_running_.store(false);
  listeners_.clear();
}

void TcpInstance::CloseTarget() {
  if (!loops_.empty()) {
    loops_[0]->Run([&] {
      for (auto& listener : listeners_) listener->Close();
    });
  }
  ForEachSession([](Session* s) { s->Close(Counter::connections_closed, "the instance ends", SLIPWAY_E_PEER); });
}

slipway_status TcpInstance::Quiesce(uint64_t /*timeout_ns*/, sdk::Error&) {
  CloseTarget();
  std::vector<TcpPeer*> peers;
  {
    MutexLock lock(peers_mutex_);
    peers = peers_;
  }
  for (TcpPeer* peer : peers) peer->EndNow(SLIPWAY_E_CANCELED, "the instance was quiesced");
  return SLIPWAY_OK;
}

template <typename Visit>
void TcpInstance::ForEachSession(Visit&& visit) {
  for (auto& loop : loops_) {
    loop->Run([&] {
      for (Pollable* p : loop->owned()) visit(static_cast<Session*>(p));
    });
  }
}

// ---- registrations -------------------------------------------------------------------------------------------------

slipway_status TcpInstance::RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                           sdk::Error& err) {
  Key key;
  if (!RandomKey(&key)) return err.FailRetryable(SLIPWAY_E_IO, "the system has no random numbers to give", {}, errno);
  auto r = std::make_unique<Registration>(range, key);
  if (table_.Add(r.get()) != SLIPWAY_OK) return err.FailRetryable(SLIPWAY_E_NOMEM, "no registration id is left");
  out = std::move(r);
  return SLIPWAY_OK;
}

slipway_status TcpInstance::DeregisterMemory(sdk::Registration& mr) {
  auto* r = static_cast<Registration*>(&mr);
  table_.Revoke(r);
  if (!table_.WaitIdle(r, kDeregisterGrace)) {
    // A peer that does not finish may not keep the memory: its connection ends.
    ForEachSession([r](Session* s) {
      if (!s->Uses(r)) return;
      s->Close(Counter::connections_killed_by_deregister, "it held on to memory that was deregistered", SLIPWAY_E_PEER);
    });
    if (!table_.WaitIdle(r, kDeregisterForced)) {
      table_.Restore(r);
      return SLIPWAY_E_BUSY;
    }
  }
  table_.Remove(r);
  return SLIPWAY_OK;
}

slipway_status TcpInstance::QueryRegistered(const slipway_range& range, slipway_reg_info& out) {
  // Local access needs no registration, so it does not matter whether one grants it.
  const uint32_t remote = range.access & kRemoteAccess;
  return QueryIndex(range, remote != 0 ? remote : range.access, out);
}

// ---- names, peers, channels ----------------------------------------------------------------------------------------

slipway_status TcpInstance::ExportAddress(std::string& out, sdk::Error&) {
  InstanceAddress address;
  address.instance = id_;
  address.addresses = advertised_;
  out = EncodeAddress(address);
  return SLIPWAY_OK;
}

slipway_status TcpInstance::ExportMr(sdk::Registration& mr, std::string& out, sdk::Error&) {
  const auto& r = static_cast<const Registration&>(mr);
  out = EncodeRegistration({id_, table_.IdOf(r), r.key, r.bytes, r.granted});
  return SLIPWAY_OK;
}

slipway_status TcpInstance::Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) {
  std::optional<InstanceAddress> decoded = DecodeAddress(address);
  if (!decoded) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "these bytes are no exported address of this protocol, or were damaged");
  }
  if (decoded->protocol_min > kProtocolVersion || decoded->protocol_max < kProtocolVersion) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the peer speaks another version of the protocol: upgrade the older side");
  }
  auto peer = std::make_unique<TcpPeer>(this, *std::move(decoded));
  {
    MutexLock lock(peers_mutex_);
    peers_.push_back(peer.get());
  }
  peer->Start();
  out = std::move(peer);
  return SLIPWAY_OK;
}

slipway_status TcpInstance::OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) {
  for (uint32_t i = 0; i < kChannelsMax; ++i) {
    if (channels_[i].load() != nullptr) continue;
    auto channel = std::make_unique<TcpChannel>(this, i, cookie, config_.max_inflight);
    const int error = config_.poll_receives ? channel->OpenEventFd() : 0;
    if (error != 0) {
      return err.FailRetryable(SLIPWAY_E_NOMEM, "no descriptors for a channel: " + ErrnoText(error), {}, error);
    }
    channels_[i].store(channel.get());
    out = std::move(channel);
    return SLIPWAY_OK;
  }
  return err.FailRetryable(SLIPWAY_E_NOMEM, "as many channels are open as there may be: close one first");
}

slipway_status TcpInstance::StatsJson(std::string& out) {
  out = "{";
#define SLIPWAY_TCP_PRINT(name) out += "\"" #name "\":" + std::to_string(stats_.Get(Counter::name)) + ",";
  SLIPWAY_TCP_COUNTERS(SLIPWAY_TCP_PRINT)
#undef SLIPWAY_TCP_PRINT
  out += "\"connections_open\":" + std::to_string(connections_.load()) + "}";
  return SLIPWAY_OK;
}

// ---- for its parts -------------------------------------------------------------------------------------------------

IoLoop* TcpInstance::NextLoop() { return loops_[next_loop_.fetch_add(1) % loops_.size()].get(); }

void TcpInstance::Wake(WakeSet* wakes, const TcpChannel* poller) {
  for (uint64_t bits = wakes->Take(); bits != 0; bits &= bits - 1) {
    TcpChannel* const channel = channels_[static_cast<size_t>(std::countr_zero(bits))].load();
    channel == poller ? channel->NeedNotWake() : channel->WakeCore();
  }
}

void TcpInstance::LogOnce(uint32_t level, Counter kind, const std::string& message) {
  if (!host().LogEnabled(level) || !stats_.FirstTime(kind)) return;
  host().Log(level, "tcp: " + message + " (said once; see the counters)");
}

void TcpInstance::Adopt(Socket socket, const SocketAddress& from) {
  // Strangers that never greet may fill a part of the room only; the rest is for peers.
  const uint32_t strangers_max = std::max(1u, config_.max_connections - config_.max_connections / 4);
  if (connections_.fetch_add(1) >= config_.max_connections || strangers_.load() >= strangers_max) {
    connections_.fetch_sub(1);
    stats_.Add(Counter::connections_refused_full);
    LogOnce(SLIPWAY_LOG_WARNING, Counter::connections_refused_full,
            "connection from " + from.ToString() + " refused: max_connections are open");
    Frame goodbye;
    goodbye.op = Op::kGoodbye;
    goodbye.status = SLIPWAY_E_PEER;
    uint8_t header[kHeaderBytes];
    EncodeHeader(goodbye, header);
    [[maybe_unused]] const ssize_t n = send(socket.fd(), header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  strangers_.fetch_add(1);
  stats_.Add(Counter::connections_accepted);
  IoLoop* loop = NextLoop();
  loop->Adopt(new Session(this, loop, std::move(socket), from.ToString()));
}

void TcpInstance::OnSessionGone(bool greeted) {
  if (!greeted) strangers_.fetch_sub(1);
  connections_.fetch_sub(1);  // last: who sees that none is open finds all the room there is
}

void TcpInstance::ForgetPeer(TcpPeer* peer) {
  MutexLock lock(peers_mutex_);
  std::erase(peers_, peer);
}

bool TcpInstance::CancelAnywhere(const TcpChannel* channel, uint64_t token) {
  WakeSet wakes;
  bool found = false;
  {
    MutexLock lock(peers_mutex_);
    found = std::any_of(peers_.begin(), peers_.end(), [&](TcpPeer* p) { return p->Cancel(channel, token, &wakes); });
  }
  Wake(&wakes);
  return found;
}

// ---- submission ----------------------------------------------------------------------------------------------------

slipway_status TcpChannel::Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) {
  Lane* touched[kSubmitBatchMax];
  uint32_t lanes = 0;
  slipway_status status = SLIPWAY_OK;
  TcpPeer* peer = nullptr;
  for (accepted = 0; accepted < slices.size(); ++accepted) {
    const slipway_slice& s = slices[accepted];
    auto* remote = static_cast<TcpRemote*>(reinterpret_cast<sdk::Remote*>(s.remote));
    Request r;
    r.channel = this;
    r.remote = remote;
    r.mr = reinterpret_cast<sdk::Registration*>(s.local_mr);
    r.token = s.token;
    r.local = static_cast<uint8_t*>(s.local_addr);
    r.length = s.length;
    r.offset = s.remote_offset;
    r.registration = remote->id;
    r.key = remote->key;
    r.write = s.op == SLIPWAY_OP_WRITE;
    peer = remote->peer;
    if (s.length > peer->slice_bytes_max()) {
      status =
          err.Fail(SLIPWAY_E_INVALID, "submit: longer than the peer's max_slice_bytes: configure both sides alike");
      break;
    }
    // Before it is queued: it may complete before Enqueue returns.
    r.remote->Use();
    if (r.mr != nullptr) r.mr->Use();
    Lane* lane = nullptr;
    status = peer->Enqueue(r, &lane);
    if (status != SLIPWAY_OK) {
      r.remote->Unuse();
      if (r.mr != nullptr) r.mr->Unuse();
      break;
    }
    if (std::find(touched, touched + lanes, lane) == touched + lanes) touched[lanes++] = lane;
  }
  for (uint32_t i = 0; i < lanes; ++i) touched[i]->SendInline(owner_->config().inline_send_bytes / lanes);
  if (status == SLIPWAY_OK || status == SLIPWAY_E_AGAIN || status == SLIPWAY_E_INVALID) return status;
  return peer->Ready(err);
}

slipway_status TcpChannel::Cancel(uint64_t token) {
  owner_->CancelAnywhere(this, token);
  return SLIPWAY_OK;
}

}  // namespace slipway::tcp
