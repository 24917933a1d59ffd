// Endpoints, and the messages by which two instances agree who may touch what.
#include <poll.h>

#include "transport.h"

namespace ucx {
namespace {

constexpr unsigned kMessageId = 1;
constexpr size_t kClientsMax = 1024, kInboxMax = 4096, kClaimsMax = 65536;

struct Sent {
  Message message;
  std::string payload;
};

void SendDone(void* request, ucs_status_t, void* user_data) {
  delete static_cast<Sent*>(user_data);
  ucp_request_free(request);
}

void CloseDone(void* request, ucs_status_t, void* user_data) {
  --static_cast<UcxInstance*>(user_data)->closing;
  ucp_request_free(request);
}

void EndFailed(void* arg, ucp_ep_h, ucs_status_t status) {
  End& end = *static_cast<End*>(arg);
  end.failed = true;
  end.reason = status;
}

}  // namespace

slipway_status UcxInstance::OpenEnd(End& end, std::string_view worker_address) {
  ucp_ep_params_t params{};
  params.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(worker_address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = EndFailed;
  params.err_handler.arg = &end;
  const ucs_status_t status = ucp_ep_create(worker, &params, &end.ep);
  if (status != UCS_OK) end.ep = nullptr;
  return status == UCS_OK ? SLIPWAY_OK : StatusOf(status);
}

void UcxInstance::CloseEnd(End& end) {
  if (end.ep == nullptr) return;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  param.cb.send = CloseDone;
  param.user_data = this;
  ++closing;
  const ucs_status_ptr_t request = ucp_ep_close_nbx(end.ep, &param);
  if (!UCS_PTR_IS_PTR(request)) --closing;
  end.ep = nullptr;
}

void UcxInstance::Send(const End& end, Kind kind, uint64_t link, uint64_t value, std::string_view payload) {
  if (end.failed || end.ep == nullptr) return;
  Sent* const sent = new Sent{{kind, link, value}, std::string(payload)};
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.flags = UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = SendDone;
  param.user_data = sent;
  const ucs_status_ptr_t request = ucp_am_send_nbx(end.ep, kMessageId, &sent->message, sizeof(Message),
                                                   sent->payload.data(), sent->payload.size(), &param);
  if (!UCS_PTR_IS_PTR(request)) delete sent;  // done at once, or the endpoint's error handler tells the rest
}

// Only takes down what came: it is looked at when UCX is left.
ucs_status_t UcxInstance::Receive(void* arg, const void* header, size_t header_length, void* data, size_t length,
                                  const ucp_am_recv_param_t* param) {
  UcxInstance& i = *static_cast<UcxInstance*>(arg);
  const bool whole = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0;
  if (!whole || header_length != sizeof(Message) || length > kAddressBytesMax || i.inbox_.size() >= kInboxMax) {
    return UCS_OK;
  }
  Received r;
  std::memcpy(&r.message, header, sizeof(Message));
  r.payload.assign(static_cast<const char*>(data), length);
  i.inbox_.push_back(std::move(r));
  return UCS_OK;
}

void UcxInstance::Progress() {
  constexpr int kRounds = 64;  // then others get the lock
  for (int round = 0; round < kRounds && ucp_worker_progress(worker) != 0; ++round) {
  }
  std::vector<Received> inbox;
  inbox.swap(inbox_);
  for (const Received& r : inbox) Handle(r.message, r.payload);
  for (auto& [link, peer] : peers) {
    if (!peer->end.failed) continue;
    peer->Fail(SLIPWAY_E_PEER, ucs_status_string(peer->end.reason));
    CloseEnd(peer->end);  // what UCX still holds completes now
  }
  ReapClients();
}

void UcxInstance::ReapClients() {
  for (auto it = clients.begin(); it != clients.end();) {
    if (!it->second->end.failed) {
      ++it;
      continue;
    }
    CloseEnd(it->second->end);
    it = clients.erase(it);
  }
}

void UcxInstance::Run() {
  while (!stopping_.load()) {
    bool sleep = false, busy = false;
    {
      slipway::MutexLock lock(mutex);
      Progress();
      sleep = ucp_worker_arm(worker) == UCS_OK;
      busy = inflight > 0;
    }
    // Some of UCX's transports do not signal that there is room again, hence the short wait.
    pollfd fd = {wake_fd_, POLLIN, 0};
    if (sleep) poll(&fd, 1, busy ? 1 : 100);
  }
}

// ---- messages --------------------------------------------------------------------------------------------------

void UcxInstance::Greet(const Message& m, std::string_view payload) {
  Address from;
  std::string_view worker_address;
  if (!Unpack(payload, kAddressBytesMax, from, worker_address)) return;
  if (clients.size() >= kClientsMax || clients.count(m.link) != 0) return;
  auto client = std::make_unique<Client>(*this);
  if (OpenEnd(client->end, worker_address) != SLIPWAY_OK) return;
  Send(client->end, m.value == id_ && !quiesced ? kWelcome : kWrong, m.link, 0);
  clients[m.link] = std::move(client);
}

bool UcxInstance::HandleAsTarget(const Message& m, std::string_view payload) {
  if (m.kind == kHello) {
    Greet(m, payload);
    return true;
  }
  const auto it = clients.find(m.link);
  if (it == clients.end() ||
      (m.kind != kClaim && m.kind != kRelease && m.kind != kReleased && m.kind != kByeReleased)) {
    return false;
  }
  Client& client = *it->second;
  if (m.kind == kClaim) {
    const bool granted = !quiesced && registrations.count(m.value) != 0 && client.keys.size() < kClaimsMax;
    if (granted) client.keys.insert(m.value);
    Send(client.end, granted ? kGranted : kDenied, m.link, m.value);
  } else if (m.kind == kByeReleased) {
    client.keys.clear();
    client.awaiting.clear();
  } else {
    client.keys.erase(m.value);
    client.awaiting.erase(m.value);
  }
  return true;
}

void UcxInstance::HandleAsInitiator(UcxPeer& peer, const Message& m) {
  if (m.kind == kWelcome) peer.welcome = true;
  if (m.kind == kWrong) peer.Fail(SLIPWAY_E_PEER, "the peer's instance is gone");
  if (m.kind == kBye) {
    peer.Fail(SLIPWAY_E_PEER, "the peer is shutting down");
    peer.bye_due = peer.inflight > 0;
    if (!peer.bye_due) Send(peer.end, kByeReleased, peer.link, 0);
  }
  if (m.kind != kGranted && m.kind != kDenied && m.kind != kRevoke) return;
  const auto it = peer.claims.find(m.value);
  if (it == peer.claims.end()) {
    if (m.kind != kDenied) Send(peer.end, kReleased, peer.link, m.value);
    return;
  }
  Claim& claim = it->second;
  if (m.kind == kGranted && claim.state == Claim::kAsking) {
    claim.state = Claim::kHeld;
    while (Op* op = claim.waiting.Pop()) Issue(op, claim);
  } else if (m.kind != kGranted) {
    claim.state = Claim::kGone;
    peer.FailWaiting(claim, SLIPWAY_E_STALE_REMOTE);
    claim.release_due = m.kind == kRevoke;
    LetGo(peer, m.value, claim);
  }
}

void UcxInstance::Handle(const Message& m, std::string_view payload) {
  if (HandleAsTarget(m, payload)) return;
  const auto it = peers.find(m.link);
  if (it != peers.end()) HandleAsInitiator(*it->second, m);
}

// ---- a peer ----------------------------------------------------------------------------------------------------

void UcxPeer::FailWaiting(Claim& claim, slipway_status with) {
  while (Op* op = claim.waiting.Pop()) {
    op->status = with;
    end.owner.Finish(op);
  }
}

void UcxPeer::Fail(slipway_status with, const char* reason) {
  if (status != SLIPWAY_OK) return;
  status = with;
  why = std::string("connection to the peer lost: ") + reason + ". Connect again to its present address";
  for (auto& [key, claim] : claims) FailWaiting(claim, with);
}

UcxPeer::~UcxPeer() {
  slipway::MutexLock lock(end.owner.mutex);
  end.owner.peers.erase(link);
  if (!end.owner.stopped) end.owner.CloseEnd(end);
}

slipway_status UcxPeer::Ready(sdk::Error& err) {
  slipway::MutexLock lock(end.owner.mutex);
  if (status == SLIPWAY_OK && !welcome) {
    if (end.owner.host().NowNs() < deadline_ns) return SLIPWAY_IN_PROGRESS;
    Fail(SLIPWAY_E_PEER, "it does not answer");
  }
  return status == SLIPWAY_OK ? SLIPWAY_OK : err.Fail(status, why);
}

slipway_status UcxPeer::ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  Key key;
  std::string_view packed;
  if (!Unpack(blob, kKeyBytesMax, key, packed) || key.length == 0 || key.access > SLIPWAY_ACCESS_ALL) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "not a registration of ucx, or damaged");
  }
  if (key.instance != address.instance) return err.Fail(SLIPWAY_E_STALE_REMOTE, "of another instance than this peer");
  slipway::MutexLock lock(end.owner.mutex);
  if (status != SLIPWAY_OK || end.failed) return err.Fail(SLIPWAY_E_PEER, "the peer is gone");
  ucp_rkey_h rkey = nullptr;
  const ucs_status_t unpacked = ucp_ep_rkey_unpack(end.ep, packed.data(), &rkey);
  if (unpacked != UCS_OK) return err.Fail(SLIPWAY_E_PROTOCOL, ucs_status_string(unpacked), {}, unpacked);
  Claim& claim = claims[key.key];
  if (claim.remotes++ == 0) end.owner.Send(end, kClaim, link, key.key);
  out = std::make_unique<UcxRemote>(*this, key, rkey);
  return SLIPWAY_OK;
}

UcxRemote::~UcxRemote() {
  UcxInstance& owner = peer.end.owner;
  slipway::MutexLock lock(owner.mutex);
  ucp_rkey_destroy(rkey);
  const auto it = peer.claims.find(key.key);
  if (--it->second.remotes > 0) return;
  if (!owner.stopped) owner.Send(peer.end, kRelease, peer.link, key.key);
  peer.claims.erase(it);
}

// ---- taking memory back ----------------------------------------------------------------------------------------

template <typename Until>
bool UcxInstance::ProgressUntil(uint64_t deadline_ns, Until&& until) {
  for (;;) {
    {
      slipway::MutexLock lock(mutex);
      Progress();
      if (until()) return true;
    }
    if (host().NowNs() >= deadline_ns) return false;
    std::this_thread::yield();
  }
}

bool UcxInstance::Revoke(uint64_t key, uint64_t deadline_ns) {
  {
    slipway::MutexLock lock(mutex);
    for (auto& [link, client] : clients) {
      if (key != 0 && client->keys.count(key) == 0) continue;
      Send(client->end, key == 0 ? kBye : kRevoke, link, key);
      client->awaiting.insert(key);
    }
  }
  return ProgressUntil(deadline_ns, [&] {
    for (const auto& [link, client] : clients) {
      if (client->awaiting.count(key) != 0) return false;
    }
    return true;
  });
}

slipway_status UcxInstance::DeregisterMemory(sdk::Registration& r) {
  UcxRegistration& mr = static_cast<UcxRegistration&>(r);
  {
    slipway::MutexLock lock(mutex);
    registrations.erase(mr.key.key);
  }
  if (Revoke(mr.key.key, host().NowNs() + 1'000'000'000)) return SLIPWAY_OK;
  slipway::MutexLock lock(mutex);
  registrations[mr.key.key] = &mr;
  return SLIPWAY_E_BUSY;
}

slipway_status UcxInstance::Quiesce(uint64_t timeout_ns, sdk::Error& err) {
  const uint64_t deadline_ns = host().NowNs() + timeout_ns;
  {
    slipway::MutexLock lock(mutex);
    quiesced = true;
    for (auto& [link, peer] : peers) {
      for (auto& [key, claim] : peer->claims) peer->FailWaiting(claim, SLIPWAY_E_CANCELED);
    }
  }
  const bool idle = ProgressUntil(deadline_ns, [&] { return inflight == 0; }) && Revoke(0, deadline_ns);
  return idle ? SLIPWAY_OK : err.Fail(SLIPWAY_E_TIMEOUT, "a slice is still with UCX: call again");
}

void UcxInstance::Stop() noexcept {
  constexpr uint64_t kPatienceNs = 1'000'000'000;
  sdk::Error none(nullptr);
  if (worker == nullptr) return;
  Quiesce(kPatienceNs, none);
  stopping_.store(true);
  ucp_worker_signal(worker);
  if (thread_.joinable()) thread_.join();
  {
    slipway::MutexLock lock(mutex);
    for (auto& [link, peer] : peers) CloseEnd(peer->end);
    for (auto& [link, client] : clients) CloseEnd(client->end);
    clients.clear();
    stopped = true;
  }
  ProgressUntil(host().NowNs() + kPatienceNs, [&] { return closing == 0 && inflight == 0; });
}

slipway_status UcxInstance::Open(const Config& config, sdk::Error& err) {
  ucp_config_t* ucp_config = nullptr;
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &ucp_config);
  if (status != UCS_OK) return err.Fail(SLIPWAY_E_IO, ucs_status_string(status), {}, status);
  ucp_config_modify(ucp_config, "TLS", config.tls.c_str());
  ucp_config_modify(ucp_config, "KEEPALIVE_INTERVAL", "1s");
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_RMA | UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  status = ucp_init(&params, ucp_config, &context);
  ucp_config_release(ucp_config);
  if (status != UCS_OK) {
    context = nullptr;
    return err.Fail(SLIPWAY_E_CONFIG, std::string("UCX finds no device for these: ") + ucs_status_string(status),
                    "/tls", status);
  }
  ucp_worker_params_t worker_params{};
  worker_params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  worker_params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  status = ucp_worker_create(context, &worker_params, &worker);
  if (status != UCS_OK) {
    worker = nullptr;
    return err.FailRetryable(SLIPWAY_E_IO, ucs_status_string(status), {}, status);
  }
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kMessageId;
  handler.cb = Receive;
  handler.arg = this;
  ucp_address_t* address = nullptr;
  size_t length = 0;
  if ((status = ucp_worker_set_am_recv_handler(worker, &handler)) != UCS_OK ||
      (status = ucp_worker_get_efd(worker, &wake_fd_)) != UCS_OK ||
      (status = ucp_worker_get_address(worker, &address, &length)) != UCS_OK) {
    return err.Fail(SLIPWAY_E_IO, ucs_status_string(status), {}, status);
  }
  worker_address_.assign(reinterpret_cast<const char*>(address), length);
  ucp_worker_release_address(worker, address);
  id_ = Random();
  thread_ = std::thread([this] { Run(); });
  return SLIPWAY_OK;
}

UcxInstance::~UcxInstance() {
  if (worker != nullptr) ucp_worker_destroy(worker);
  if (context != nullptr) ucp_cleanup(context);
}

slipway_status UcxInstance::ExportAddress(std::string& out, sdk::Error&) {
  out = Pack(Address{.instance = id_, .process = ProcessId()}, worker_address_);
  return SLIPWAY_OK;
}

slipway_status UcxInstance::Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) {
  auto peer = std::make_unique<UcxPeer>(*this);
  std::string_view worker_address;
  if (!Unpack(address, kAddressBytesMax, peer->address, worker_address)) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "not an address of ucx, or damaged");
  }
  std::string mine;
  ExportAddress(mine, err);
  peer->link = Random();
  peer->deadline_ns = host().NowNs() + uint64_t{attrs().peer_timeout_ms} * 1'000'000;
  {
    slipway::MutexLock lock(mutex);
    const slipway_status s = OpenEnd(peer->end, worker_address);
    if (s != SLIPWAY_OK) return err.Fail(s, "UCX cannot reach the peer: no transport in common?");
    peers[peer->link] = peer.get();
    Send(peer->end, kHello, peer->link, peer->address.instance, mine);
  }
  ucp_worker_signal(worker);
  out = std::move(peer);
  return SLIPWAY_OK;
}

slipway_status UcxInstance::RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                           sdk::Error& err) {
  ucp_mem_map_params_t params{};
  params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
  params.address = range.addr;
  params.length = range.length;
  auto mr = std::make_unique<UcxRegistration>();
  slipway::MutexLock lock(mutex);
  const ucs_status_t status = ucp_mem_map(context, &params, &mr->memh);
  if (status != UCS_OK) {
    mr->memh = nullptr;
    return err.FailRetryable(SLIPWAY_E_NOMEM, std::string("UCX cannot map it: ") + ucs_status_string(status), {},
                             status);
  }
  mr->owner = this;
  mr->key = Key{.instance = id_,
                .key = ++last_key_,
                .addr = reinterpret_cast<uintptr_t>(range.addr),
                .length = range.length,
                .access = range.access & (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE)};
  registrations[mr->key.key] = mr.get();
  out = std::move(mr);
  return SLIPWAY_OK;
}

UcxRegistration::~UcxRegistration() {
  if (owner == nullptr) return;
  slipway::MutexLock lock(owner->mutex);
  owner->registrations.erase(key.key);
  ucp_mem_unmap(owner->context, memh);
}

slipway_status UcxInstance::ExportMr(sdk::Registration& r, std::string& out, sdk::Error& err) {
  const UcxRegistration& mr = static_cast<UcxRegistration&>(r);
  void* packed = nullptr;
  size_t length = 0;
  slipway::MutexLock lock(mutex);
  const ucs_status_t status = ucp_rkey_pack(context, mr.memh, &packed, &length);
  if (status != UCS_OK) return err.Fail(SLIPWAY_E_IO, ucs_status_string(status), {}, status);
  out = Pack(mr.key, std::string_view(static_cast<const char*>(packed), length));
  ucp_rkey_buffer_release(packed);
  return SLIPWAY_OK;
}

}  // namespace ucx
