#include "plugins/rdma-verbs/lane.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugins/rdma-verbs/peer.h"
#include "plugins/rdma-verbs/transport.h"

namespace slipway::rdma {
namespace {

constexpr uint64_t kMsNs = 1'000'000;
// The connection manager refuses a queue pair's number for a while after its last use.
constexpr uint64_t kStaleRetryNs = 20 * kMsNs;
constexpr uint32_t kStaleAttemptsMax = 50;
// The device gives a peer up by itself when its retries are over. Where it does not, as much silence does: completions
// of a queue pair come one slice after the other, and on the slowest link worth the name a long one takes its time.
constexpr uint64_t kSlowestBytesPerS = 1 << 20;

// Reasons of the connection manager (InfiniBand architecture, table 110).
constexpr int kNobodyListens = 8, kStaleConnection = 10, kByConsumer = 28;

slipway_status StatusOf(Refusal why) {
  switch (why) {
    case Refusal::kEpoch:
      return SLIPWAY_E_STALE_REMOTE;
    case Refusal::kProof:
      return SLIPWAY_E_ACCESS;
    case Refusal::kVersion:
    case Refusal::kMalformed:
      return SLIPWAY_E_PROTOCOL;
    case Refusal::kFull:
    case Refusal::kResources:
      return SLIPWAY_E_PEER;
  }
  return SLIPWAY_E_PEER;
}

const char* TextOf(Refusal why) {
  switch (why) {
    case Refusal::kEpoch:
      return "another instance listens there now: get the peer's address again";
    case Refusal::kProof:
      return "the peer does not accept the secret of its address: get the peer's address again";
    case Refusal::kVersion:
      return "the peer speaks another version of the protocol: upgrade the older side";
    case Refusal::kMalformed:
      return "the peer cannot read the request";
    case Refusal::kFull:
      return "the peer has as many connections as its max_connections allows";
    case Refusal::kResources:
      return "the peer has no resources for another queue pair";
  }
  return "refused";
}

}  // namespace

Lane::Lane(RdmaPeer* peer, RdmaChannel* channel, uint32_t number)
    : peer_(peer), instance_(peer->owner()), channel_(channel), number_(number) {}

Lane::~Lane() {
  if (state_ != State::kEnded && state_ != State::kIdle) {
    end_status_ = SLIPWAY_E_CANCELED;
    TakeDown();
  }
}

void Lane::LookSoon() { instance_->loop().Schedule(this); }

// ---- connecting ----------------------------------------------------------------------------------------------------

void Lane::Connect() {
  instance_->loop().Enter(this);
  attempt_ = stale_attempts_ = 0;
  TryNext();
}

void Lane::TryNext() {
  const auto& devices = instance_->devices();
  const auto& endpoints = peer_->address().endpoints;
  const auto total = static_cast<uint32_t>(devices.size() * endpoints.size());
  for (; attempt_ < total; ++attempt_) {
    // Lanes are spread over the devices; each tries the endpoints from the one that is most alike its own address.
    local_device_ = static_cast<uint32_t>((number_ + attempt_ / endpoints.size()) % devices.size());
    const Device& device = *devices[local_device_];
    std::vector<uint32_t> order(endpoints.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>((i + number_) % order.size());
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return CommonPrefixBits(endpoints[a], device.address()) > CommonPrefixBits(endpoints[b], device.address());
    });
    remote_device_ = order[attempt_ % order.size()];
    const SocketAddress& to = endpoints[remote_device_];
    if (to.family != device.address().family || !device.link_up()) {
      if (last_error_.empty()) last_error_ = to.ToString() + ": not from " + device.name() + ", whose link is down";
      continue;
    }
    const auto& loop = instance_->loop();
    const uint32_t ms = std::max(instance_->config().connect_timeout_ms / total, 1u);
    deadline_ns_ = loop.now_ns() + ms * kMsNs;
    instance_->stats().Add(Counter::connects_started);
    sockaddr_storage from, peer;
    ToSockaddr(device.address(), &from);
    ToSockaddr(to, &peer);
    const Verbs& v = instance_->verbs();
    state_ = State::kAddress;
    if (v.create_id(loop.cm_channel(), &id_, static_cast<CmHandler*>(this), RDMA_PS_TCP) != 0) {
      id_ = nullptr;
    } else if (v.resolve_addr(id_, reinterpret_cast<sockaddr*>(&from), reinterpret_cast<sockaddr*>(&peer),
                              static_cast<int>(ms)) == 0) {
      return;
    }
    const int error = errno;
    instance_->stats().Add(Counter::connects_failed);
    last_error_ = to.ToString() + ": " + ErrnoText(error);
    last_native_ = error;
    TakeDown();
  }
  // Also where every endpoint was passed over.
  state_ = State::kEnded;
  instance_->loop().Leave(this);
  peer_->OnLaneLost(this, last_status_, "cannot reach the peer: " + last_error_, last_native_);
}

void Lane::AttemptFailed(slipway_status status, const std::string& why, int native) {
  instance_->stats().Add(Counter::connects_failed);
  last_error_ = peer_->address().endpoints[remote_device_].ToString() + ": " + why;
  last_status_ = status;
  last_native_ = native;
  TakeDown();
  ++attempt_;
  TryNext();
}

void Lane::OnAddress() {
  const Device& device = *instance_->devices()[local_device_];
  const Verbs& v = instance_->verbs();
  if (id_->verbs == nullptr || device.name() != v.get_device_name(id_->verbs->device)) {
    return AttemptFailed(SLIPWAY_E_PEER, "the route there is not through " + device.name(), 0);
  }
  auto traffic_class = static_cast<uint8_t>(instance_->config().traffic_class);
  if (traffic_class != 0) {
    v.set_option(id_, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &traffic_class, sizeof(traffic_class));
  }
  state_ = State::kRoute;
  const auto ms = static_cast<int>(instance_->config().connect_timeout_ms);
  if (v.resolve_route(id_, ms) != 0) AttemptFailed(SLIPWAY_E_PEER, "no route: " + ErrnoText(errno), errno);
}

void Lane::OnRoute() {
  const Device& device = *instance_->devices()[local_device_];
  const Config& config = instance_->config();
  ControlQueue* control = instance_->control(local_device_);
  int error = qp_.Make(device, channel_ == nullptr ? control->cq() : channel_->cq(local_device_), control->cq(),
                       config.queue_depth, config.inline_bytes);
  if (error != 0) return AttemptFailed(SLIPWAY_E_PEER, "no queue pair: " + ErrnoText(error), error);
  ConnectRequest request;
  request.mtu = static_cast<uint8_t>(device.mtu());
  request.epoch = EpochOf(peer_->address().instance);
  request.initiator = instance_->id();
  if (!RandomBytes(&request.nonce, sizeof(request.nonce))) {
    return AttemptFailed(SLIPWAY_E_IO, "the system has no random numbers to give", errno);
  }
  request_ = EncodeRequest(request, peer_->address().secret);
  rdma_conn_param param{};
  param.private_data = request_.data();
  param.private_data_len = static_cast<uint8_t>(request_.size());
  param.responder_resources = 0;
  param.initiator_depth = instance_->ReadsOut(device);
  param.retry_count = static_cast<uint8_t>(config.retry_count);
  param.rnr_retry_count = static_cast<uint8_t>(config.rnr_retry_count);
  param.qp_num = qp_.number();
  state_ = State::kConnecting;
  if (instance_->verbs().connect(id_, &param) != 0) {
    AttemptFailed(SLIPWAY_E_PEER, "cannot connect: " + ErrnoText(errno), errno);
  }
}

void Lane::OnReply(const CmEvent& event) {
  const std::string_view request(reinterpret_cast<const char*>(request_.data()), request_.size());
  const auto reply = DecodeReply(event.private_data(), request, peer_->address().secret);
  if (!reply) return AttemptFailed(SLIPWAY_E_PROTOCOL, "the answer is not from who knows the address's secret", 0);
  const Device& device = *instance_->devices()[local_device_];
  ConnectionLimits limits;
  limits.mtu = std::min(device.mtu(), static_cast<ibv_mtu>(reply->mtu));
  limits.reads_out = std::min(instance_->ReadsOut(device), event.conn.initiator_depth);
  if (limits.reads_out == 0) limits.reads_out = 1;
  int error = qp_.Connect(id_, instance_->config(), limits);
  if (error != 0) return AttemptFailed(SLIPWAY_E_PEER, "cannot set the queue pair up: " + ErrnoText(error), error);
  ControlQueue* control = instance_->control(local_device_);
  control_id_ = control->Add(this);
  for (int i = 0; i < 2 && error == 0; ++i) error = qp_.Receive(control_id_);
  if (error == 0 && instance_->verbs().establish(id_) != 0) error = errno;
  if (error != 0) return AttemptFailed(SLIPWAY_E_PEER, "cannot finish the connection: " + ErrnoText(error), error);
  state_ = State::kReady;
  instance_->stats().Add(Counter::lanes_ready);
  last_error_.clear();
  if (channel_ != nullptr) {
    queue_ = std::make_unique<SendQueue>(this, channel_->sink(), instance_->config(), local_device_, remote_device_);
    channel_->Attach(peer_->outbox(channel_->index()), queue_.get(), qp_.qp(), qp_.depth(), qp_.inline_bytes());
    attached_ = true;
  }
  peer_->OnLaneReady(std::min(reply->slice_bytes_max, device.message_bytes_max()));
}

void Lane::OnRefused(const CmEvent& event) {
  if (event.status == kStaleConnection && stale_attempts_ < kStaleAttemptsMax) {
    // Another queue pair has another number, as a rule.
    ++stale_attempts_;
    TakeDown();
    retry_ns_ = instance_->loop().now_ns() + kStaleRetryNs;
    state_ = State::kIdle;
    return instance_->loop().HurryTick(kStaleRetryNs / kMsNs);
  }
  const auto refusal = event.status == kByConsumer ? DecodeRefusal(event.private_data()) : std::nullopt;
  if (refusal) return AttemptFailed(StatusOf(*refusal), TextOf(*refusal), event.status);
  AttemptFailed(SLIPWAY_E_PEER,
                event.status == kNobodyListens
                    ? "nobody listens there; the peer may have ended"
                    : "the connection manager there refuses, reason " + std::to_string(event.status),
                event.status);
}

void Lane::OnCmEvent(const CmEvent& event) {
  if (event.id != id_) return;
  switch (event.type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
      return OnAddress();
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
      return OnRoute();
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
      return OnReply(event);
    case RDMA_CM_EVENT_REJECTED:
      return OnRefused(event);
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
      if (state_ == State::kReady || state_ == State::kFlushing) return;
      return AttemptFailed(SLIPWAY_E_PEER,
                           std::string(instance_->verbs().event_str(event.type)) + ": " + ErrnoText(-event.status),
                           -event.status);
    case RDMA_CM_EVENT_DISCONNECTED:
      return OnGone("the peer closed the connection");
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
      return OnGone("the device was removed");
    default:
      return;
  }
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Lane::OnGone(const std::string& why) {
  if (state_ != State::kReady) return;
  // A target that refused a slice closes the connection too: what the slice came to says which of both it was.
  if (channel_ != nullptr) {
    channel_->Drain(queue_.get());
    if (channel_->PulseOf(queue_.get()).fault == SendQueue::Fault::kSlice) return OnScheduled();
  }
  peer_->Fail(SLIPWAY_E_PEER, why, 0);
}

void Lane::End(slipway_status status) {
  switch (state_) {
    case State::kEnded:
      return;
    case State::kFlushing:
      if (status < 0) end_status_ = status;
      return;
    case State::kReady:
      break;
    default:
      end_status_ = status < 0 ? status : static_cast<slipway_status>(SLIPWAY_E_PEER);
      TakeDown();
      state_ = State::kEnded;
      instance_->loop().Leave(this);
      return peer_->OnLaneEnded();
  }
  end_status_ = status;
  state_ = State::kFlushing;
  deadline_ns_ = instance_->loop().now_ns() + FlushNs(instance_->config().peer_timeout_ms);
  if (channel_ != nullptr) channel_->Close(queue_.get());
  qp_.Break();
  instance_->verbs().disconnect(id_);
  OnTick(instance_->loop().now_ns());
}

// Releases what an attempt or a connection holds. What was posted and has not completed goes its way.
void Lane::TakeDown() {
  if (control_id_ != 0) instance_->control(local_device_)->Remove(std::exchange(control_id_, 0));
  qp_.Destroy();
  if (id_ != nullptr) instance_->verbs().destroy_id(std::exchange(id_, nullptr));
  if (std::exchange(attached_, false)) {
    channel_->Detach(peer_->outbox(channel_->index()), queue_.get(), end_status_);
    queue_.reset();
  }
}

void Lane::OnScheduled() {
  if (state_ != State::kReady || channel_ == nullptr) return;
  if (peer_->failed()) return End(peer_->status());
  if (channel_->PulseOf(queue_.get()).fault != SendQueue::Fault::kSlice) return;
  instance_->stats().Add(Counter::lanes_rebuilt);
  End(SLIPWAY_OK);
}

void Lane::OnTick(uint64_t now_ns) {
  switch (state_) {
    case State::kIdle:
      if (retry_ns_ != 0 && now_ns >= retry_ns_) {
        retry_ns_ = 0;
        TryNext();
      } else {
        instance_->loop().HurryTick(kStaleRetryNs / kMsNs);
      }
      return;
    case State::kAddress:
    case State::kRoute:
    case State::kConnecting:
      if (now_ns >= deadline_ns_) AttemptFailed(SLIPWAY_E_PEER, "no answer within connect_timeout_ms", 0);
      return;
    case State::kReady:
      return Watch(now_ns);
    case State::kFlushing:
      if (channel_ != nullptr && channel_->Drain(queue_.get()) > 0 && now_ns < deadline_ns_) {
        return instance_->loop().HurryTick(1);
      }
      TakeDown();
      state_ = State::kEnded;
      instance_->loop().Leave(this);
      if (end_status_ == SLIPWAY_OK && !peer_->failed()) return Connect();
      return peer_->OnLaneEnded();
    case State::kEnded:
      return;
  }
}

void Lane::Watch(uint64_t now_ns) {
  instance_->control(local_device_)->Poll();
  const Device& device = *instance_->devices()[local_device_];
  const uint64_t grace_ns = instance_->config().link_down_grace_ms * kMsNs;
  if (!device.link_up() && now_ns - device.link_changed_ns() >= grace_ns) {
    return peer_->Fail(SLIPWAY_E_PEER, "the link of " + device.name() + " is down: see ip link", 0);
  }
  if (channel_ == nullptr) return;
  RdmaChannel::Pulse pulse = channel_->PulseOf(queue_.get());
  const uint64_t give_up_ns = GiveUpNs(instance_->config().peer_timeout_ms);
  const auto end_ns = [&] {
    return pulse.progress_ns + std::max(give_up_ns, pulse.next_bytes * 1'000'000 / (kSlowestBytesPerS / 1000));
  };
  if (pulse.outstanding > 0 && now_ns >= end_ns()) {
    // What completed and was not polled is no silence: nobody may have run here for a while.
    channel_->Drain(queue_.get());
    pulse = channel_->PulseOf(queue_.get());
  }
  if (pulse.fault == SendQueue::Fault::kSlice) return OnScheduled();
  if (pulse.outstanding == 0) return;
  if (now_ns < end_ns()) return instance_->loop().HurryTick((end_ns() - now_ns + kMsNs - 1) / kMsNs);
  instance_->stats().Add(Counter::peers_timed_out);
  peer_->Fail(SLIPWAY_E_PEER, "no completion for as long as peer_timeout_ms allows", 0);
}

void Lane::OnControl(const ibv_wc& wc) {
  // A probe of the target's has come; the next one needs a place, too.
  if (wc.status == IBV_WC_SUCCESS && state_ == State::kReady) qp_.Receive(control_id_);
}

}  // namespace slipway::rdma
