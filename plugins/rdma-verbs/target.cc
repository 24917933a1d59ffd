#include "plugins/rdma-verbs/target.h"

#include <algorithm>
#include <cerrno>

#include "plugins/rdma-verbs/transport.h"

namespace slipway::rdma {
namespace {

constexpr int kBacklog = 128;
constexpr uint64_t kMsNs = 1'000'000;

Counter CounterOf(Refusal why) {
  switch (why) {
    case Refusal::kVersion:
      return Counter::connections_refused_version;
    case Refusal::kEpoch:
      return Counter::connections_refused_epoch;
    case Refusal::kProof:
      return Counter::connections_refused_proof;
    case Refusal::kFull:
      return Counter::connections_refused_full;
    case Refusal::kResources:
      return Counter::connections_refused_resources;
    case Refusal::kMalformed:
      break;
  }
  return Counter::connections_refused_malformed;
}

}  // namespace

// ---- a connection --------------------------------------------------------------------------------------------------

Session::Session(Target* target, uint32_t device, rdma_cm_id* id) : target_(target), device_(device), id_(id) {
  id_->context = static_cast<CmHandler*>(this);
}

Session::~Session() { Close(Counter::connections_closed); }

std::optional<Refusal> Session::Accept(const CmEvent& event, const ConnectRequest& request) {
  RdmaInstance* instance = target_->instance();
  const Device& device = *instance->devices()[device_];
  const Verbs& v = instance->verbs();
  ControlQueue* control = instance->control(device_);
  if (id_->verbs == nullptr || device.name() != v.get_device_name(id_->verbs->device)) return Refusal::kResources;
  if (qp_.Make(device, control->cq(), control->cq(), 2, 0) != 0) return Refusal::kResources;
  ConnectionLimits limits;
  limits.mtu = std::min(device.mtu(), static_cast<ibv_mtu>(request.mtu));
  limits.access = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  const int reads_in = std::min(device.attr().max_qp_rd_atom, 255);
  limits.reads_in = std::min(event.conn.responder_resources, static_cast<uint8_t>(reads_in));
  if (limits.reads_in == 0) limits.reads_in = 1;
  limits.reads_out = 1;
  if (qp_.Connect(id_, instance->config(), limits) != 0) return Refusal::kResources;
  control_id_ = control->Add(this);
  ConnectReply reply;
  reply.mtu = static_cast<uint8_t>(limits.mtu);
  reply.slice_bytes_max = device.message_bytes_max();
  const auto bytes = EncodeReply(reply, event.private_data().substr(0, kRequestBytes), instance->secret());
  rdma_conn_param param{};
  param.private_data = bytes.data();
  param.private_data_len = static_cast<uint8_t>(bytes.size());
  param.responder_resources = limits.reads_in;
  param.initiator_depth = 0;
  param.rnr_retry_count = static_cast<uint8_t>(instance->config().rnr_retry_count);
  param.qp_num = qp_.number();
  if (v.accept(id_, &param) != 0) return Refusal::kResources;
  deadline_ns_ = instance->loop().now_ns() + instance->config().connect_timeout_ms * kMsNs;
  return std::nullopt;
}

void Session::OnCmEvent(const CmEvent& event) {
  switch (event.type) {
    case RDMA_CM_EVENT_ESTABLISHED:
      established_ = true;
      deadline_ns_ =
          target_->instance()->loop().now_ns() + uint64_t{target_->instance()->config().keepalive_s} * 1000 * kMsNs;
      return;
    case RDMA_CM_EVENT_DISCONNECTED:
      return Close(Counter::connections_closed);
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
      return Close(Counter::connections_lost);
    default:
      return;
  }
}

void Session::OnTick(uint64_t now_ns) {
  if (closed_ || now_ns < deadline_ns_) return;
  if (!established_) return Close(Counter::connections_lost);
  deadline_ns_ = now_ns + uint64_t{target_->instance()->config().keepalive_s} * 1000 * kMsNs;
  if (probing_) return;  // the device says when its retries are over
  target_->instance()->stats().Add(Counter::keepalives_sent);
  probing_ = qp_.Probe(control_id_) == 0;
}

void Session::OnControl(const ibv_wc& wc) {
  probing_ = false;
  if (wc.status != IBV_WC_SUCCESS) Close(Counter::connections_lost);
}

void Session::Close(Counter why) {
  if (std::exchange(closed_, true)) return;
  RdmaInstance* instance = target_->instance();
  instance->stats().Add(why);
  if (control_id_ != 0) instance->control(device_)->Remove(control_id_);
  if (id_ != nullptr) {
    if (established_) instance->verbs().disconnect(id_);
    qp_.Destroy();
    instance->verbs().destroy_id(id_);
  }
  target_->OnSessionClosed();
}

// ---- all of them ---------------------------------------------------------------------------------------------------

Target::~Target() { Close(); }

slipway_status Target::Listen(rdma_event_channel* channel, std::vector<SocketAddress>* endpoints, sdk::Error& err) {
  const Verbs& v = instance_->verbs();
  for (uint32_t i = 0; i < instance_->devices().size(); ++i) {
    SocketAddress address = instance_->devices()[i]->address();
    address.port = static_cast<uint16_t>(instance_->config().listen_port);
    listeners_.push_back(std::make_unique<Listener>(this, i));
    Listener& l = *listeners_.back();
    sockaddr_storage storage;
    ToSockaddr(address, &storage);
    int rc = v.create_id(channel, &l.id, static_cast<CmHandler*>(&l), RDMA_PS_TCP);
    if (rc == 0) rc = v.bind_addr(l.id, reinterpret_cast<sockaddr*>(&storage));
    if (rc == 0) rc = v.listen(l.id, kBacklog);
    if (rc != 0) {
      const int error = errno;
      return err.Fail(
          error == EADDRNOTAVAIL || error == EACCES ? SLIPWAY_E_CONFIG : SLIPWAY_E_IO,
          "cannot listen on " + address.ToString() + " of " + instance_->devices()[i]->name() + ": " +
              ErrnoText(error) +
              (error == EADDRINUSE ? "; another process has the port: choose another listen_port, or 0" : ""),
          "/listen_port", error, error == EADDRINUSE ? SLIPWAY_ERR_RETRYABLE : 0);
    }
    address.port = ntohs(v.get_src_port(l.id));
    endpoints->push_back(address);
  }
  return SLIPWAY_OK;
}

void Target::Close() {
  for (auto& l : listeners_) {
    if (l->id != nullptr) instance_->verbs().destroy_id(std::exchange(l->id, nullptr));
  }
  for (auto& s : sessions_) s->Close(Counter::connections_closed);
  Reap();
}

void Target::Reap() {
  const size_t before = sessions_.size();
  std::erase_if(sessions_, [](const auto& s) { return s->closed(); });
  if (sessions_.size() == before) return;
  if (sessions_.empty()) instance_->loop().Leave(this);  // there is nothing to look after
  instance_->NoteSettled();
}

void Target::OnSessionClosed() { instance_->loop().Schedule(this); }

void Target::OnTick(uint64_t now_ns) {
  for (uint32_t i = 0; i < instance_->devices().size(); ++i) instance_->control(i)->Poll();
  for (auto& s : sessions_) s->OnTick(now_ns);
  Reap();
}

void Target::OnQueuePairEvent(uint32_t device, uint32_t queue_pair, ibv_event_type type) {
  for (auto& s : sessions_) {
    if (s->closed() || s->device() != device || s->queue_pair() != queue_pair) continue;
    const bool access = type == IBV_EVENT_QP_ACCESS_ERR || type == IBV_EVENT_QP_REQ_ERR;
    s->Close(access ? Counter::access_violations : Counter::connections_lost);
  }
}

void Target::Refuse(const CmEvent& event, Refusal why) {
  instance_->LogOnce(SLIPWAY_LOG_WARNING, CounterOf(why),
                     why == Refusal::kProof
                         ? "a connection was refused: whoever asked does not know the secret of this "
                           "instance's address"
                         : "a connection was refused");
  const auto bytes = EncodeRefusal(why);
  instance_->verbs().reject(event.id, bytes.data(), static_cast<uint8_t>(bytes.size()));
}

void Target::OnConnectRequest(uint32_t device, const CmEvent& event) {
  ConnectRequest request;
  std::optional<Refusal> refusal = CheckRequest(event.private_data(), instance_->id(), instance_->secret(), &request);
  if (!refusal && sessions_.size() >= instance_->config().max_connections) refusal = Refusal::kFull;
  if (refusal) {
    instance_->stats().Add(CounterOf(*refusal));
    Refuse(event, *refusal);
    event.id->context = nullptr;
    instance_->verbs().destroy_id(event.id);
    return;
  }
  auto session = std::make_unique<Session>(this, device, event.id);
  refusal = session->Accept(event, request);
  if (refusal) {
    instance_->stats().Add(CounterOf(*refusal));
    Refuse(event, *refusal);
    return;  // the session closes
  }
  instance_->stats().Add(Counter::connections_accepted);
  if (sessions_.empty()) instance_->loop().Enter(this);
  sessions_.push_back(std::move(session));
}

}  // namespace slipway::rdma
