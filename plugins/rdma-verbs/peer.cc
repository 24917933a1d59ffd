#include "plugins/rdma-verbs/peer.h"

#include <algorithm>

#include "plugins/rdma-verbs/transport.h"

namespace slipway::rdma {
namespace {

constexpr uint32_t kAnyLane = 1u << kChannelsMax;  // lanes for every channel, or one to see that the peer is there
constexpr uint64_t kDisconnectNs = 2'000'000'000;

}  // namespace

RdmaPeer::RdmaPeer(RdmaInstance* owner, InstanceAddress address) : owner_(owner), address_(std::move(address)) {
  for (Outbox& box : outboxes_) box.peer = this;
}

RdmaPeer::~RdmaPeer() { owner_->ForgetPeer(this); }

void RdmaPeer::Start() {
  wanted_.store(kAnyLane);
  owner_->loop().Schedule(this);
}

void RdmaPeer::WantLanes(uint32_t channel) {
  wanted_.fetch_or(1u << channel);
  owner_->loop().Schedule(this);
}

slipway_status RdmaPeer::Ready(sdk::Error& err) {
  const slipway_status s = status();
  if (s >= 0) return s;
  MutexLock lock(mutex_);
  return err.Fail(s, why_, address_.endpoints[0].ToString(), native_);
}

slipway_status RdmaPeer::ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  const std::optional<RemoteRegistration> r = DecodeRegistration(blob);
  if (!r) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "these bytes are no exported registration of this protocol, or were damaged");
  }
  if (!EqualConstantTime(r->instance, address_.instance)) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration is of another instance than this peer: export it again");
  }
  if (r->rkeys.size() != address_.endpoints.size()) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the registration has keys for other devices than the peer's address names");
  }
  out = std::make_unique<RdmaRemote>(this, *r);
  return SLIPWAY_OK;
}

slipway_status RdmaPeer::Disconnect() {
  Fail(SLIPWAY_E_CANCELED, "disconnected", 0);
  return owner_->Settle([this] { return ended(); }, kDisconnectNs) ? SLIPWAY_OK : SLIPWAY_E_BUSY;
}

void RdmaPeer::Fail(slipway_status status, const std::string& why, int native) {
  {
    MutexLock lock(mutex_);
    if (failed()) return;
    why_ = why;
    native_ = native;
    status_.store(status, std::memory_order_release);
  }
  if (status != SLIPWAY_E_CANCELED) owner_->stats().Add(Counter::peers_failed);
  owner_->loop().Schedule(this);
}

// ---- the loop's thread ---------------------------------------------------------------------------------------------

bool RdmaPeer::ServesChannel(const RdmaChannel* channel) const {
  return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) { return lane->channel() == channel; });
}

void RdmaPeer::MakeLanes(RdmaChannel* channel) {
  if (ServesChannel(channel)) return;
  const uint32_t count = channel == nullptr ? 1 : owner_->config().lanes;
  const size_t first = lanes_.size();
  for (uint32_t i = 0; i < count; ++i) lanes_.push_back(std::make_unique<Lane>(this, channel, i));
  for (size_t i = first; i < lanes_.size(); ++i) lanes_[i]->Connect();
}

void RdmaPeer::OnScheduled() {
  const uint32_t wanted = wanted_.exchange(0);
  bool any = false;
  for (uint32_t i = 0; i < kChannelsMax && !failed(); ++i) {
    RdmaChannel* channel = owner_->channel(i);
    if (channel == nullptr || (wanted & (kAnyLane | 1u << i)) == 0) continue;
    MakeLanes(channel);
    any = true;
  }
  if ((wanted & kAnyLane) != 0 && !any && !failed()) MakeLanes(nullptr);
  if (failed()) {
    for (size_t i = 0; i < lanes_.size(); ++i) lanes_[i]->End(status());
    for (uint32_t i = 0; i < kChannelsMax; ++i) {
      if (RdmaChannel* channel = owner_->channel(i)) channel->FailWaiting(&outboxes_[i], status());
    }
  }
  const size_t before = lanes_.size();
  std::erase_if(lanes_, [](const auto& lane) { return lane->ended(); });
  if (lanes_.size() != before || failed()) owner_->NoteSettled();
}

void RdmaPeer::DropChannel(RdmaChannel* channel) {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i]->channel() == channel) lanes_[i]->End(SLIPWAY_E_CANCELED);
  }
  outboxes_[channel->index()].lanes_wanted = false;
}

void RdmaPeer::OnLaneReady(uint64_t slice_bytes_max) {
  if (slice_bytes_max < slice_bytes_max_.load(std::memory_order_relaxed)) {
    slice_bytes_max_.store(slice_bytes_max, std::memory_order_relaxed);
  }
  slipway_status expected = SLIPWAY_IN_PROGRESS;
  status_.compare_exchange_strong(expected, SLIPWAY_OK);
}

void RdmaPeer::OnLaneEnded() { owner_->loop().Schedule(this); }

void RdmaPeer::OnLaneLost(Lane* lane, slipway_status status, const std::string& why, int native) {
  const bool others = std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& other) {
    return other.get() != lane && other->channel() == lane->channel() && !other->ended();
  });
  if (others) {
    owner_->LogOnce(SLIPWAY_LOG_WARNING, Counter::connects_failed, "a further lane could not be made: " + why);
  } else {
    Fail(status, why, native);
  }
  OnLaneEnded();
}

}  // namespace slipway::rdma
