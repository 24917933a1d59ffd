#include "plugins/tcp/peer.h"

#include <algorithm>

#include "plugins/tcp/transport.h"

namespace slipway::tcp {
namespace {

// Lanes are told apart by what they have queued only beyond this: small slices stay together and share system calls.
constexpr int kLaneGranularityLog2 = 20;

}  // namespace

TcpPeer::TcpPeer(TcpInstance* owner, InstanceAddress address)
    : owner_(owner), address_(std::move(address)), unsettled_(owner->config().lanes) {
  for (uint32_t i = 0; i < owner->config().lanes; ++i) {
    lanes_.push_back(std::make_unique<Lane>(this, owner->NextLoop(), i, owner->config().max_inflight));
  }
}

TcpPeer::~TcpPeer() {
  owner_->ForgetPeer(this);
  EndNow(SLIPWAY_E_CANCELED, "disconnected");
}

void TcpPeer::Start() {
  for (auto& lane : lanes_) {
    lane->loop()->Run([&] { lane->loop()->Enter(lane.get()); });
  }
  lanes_[0]->loop()->Schedule(lanes_[0].get());
}

slipway_status TcpPeer::Ready(sdk::Error& err) {
  const slipway_status status = status_.load(std::memory_order_acquire);
  if (status >= 0) return status;
  MutexLock lock(mutex_);
  return err.Fail(status, why_, address_.addresses[0].ToString(), native_);
}

slipway_status TcpPeer::ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  const std::optional<RemoteRegistration> r = DecodeRegistration(blob);
  if (!r) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "these bytes are no exported registration of this protocol, or were damaged");
  }
  if (!EqualConstantTime(r->instance, address_.instance)) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration is of another instance than this peer: export it again");
  }
  out = std::make_unique<TcpRemote>(this, *r);
  return SLIPWAY_OK;
}

slipway_status TcpPeer::Disconnect() {
  EndNow(SLIPWAY_E_CANCELED, "disconnected");
  return SLIPWAY_OK;
}

slipway_status TcpPeer::Enqueue(const Request& request, Lane** lane) {
  if (failed()) return status();
  // By ascending load, the first lane while none is ready. A full lane is passed over.
  uint32_t tried = 0;
  for (size_t attempt = 0; attempt < lanes_.size(); ++attempt) {
    Lane* best = nullptr;
    uint64_t best_load = 0;
    for (auto& candidate : lanes_) {
      if ((tried >> candidate->index() & 1) != 0 || (!candidate->ready() && candidate->index() != 0)) continue;
      const uint64_t load = candidate->queued_bytes() >> kLaneGranularityLog2;
      if (best != nullptr && load >= best_load) continue;
      best = candidate.get();
      best_load = load;
    }
    if (best == nullptr) break;
    bool ended = false;
    if (best->Enqueue(request, &ended)) {
      *lane = best;
      return SLIPWAY_OK;
    }
    if (ended && failed()) return status();
    tried |= 1u << best->index();
  }
  return failed() ? status() : static_cast<slipway_status>(SLIPWAY_E_AGAIN);
}

bool TcpPeer::Cancel(const TcpChannel* channel, uint64_t token, WakeSet* wakes) {
  return std::any_of(lanes_.begin(), lanes_.end(), [&](auto& lane) { return lane->Cancel(channel, token, wakes); });
}

void TcpPeer::Fail(slipway_status status, const std::string& why, int native) {
  {
    MutexLock lock(mutex_);
    if (failed()) return;
    why_ = why;
    native_ = native;
    status_.store(status, std::memory_order_release);
  }
  owner_->stats().Add(Counter::peers_failed);
  for (auto& lane : lanes_) lane->loop()->Schedule(lane.get());
}

void TcpPeer::EndNow(slipway_status status, const std::string& why) {
  {
    MutexLock lock(mutex_);
    if (!failed()) {
      why_ = why;
      status_.store(status, std::memory_order_release);
    }
  }
  if (std::exchange(ended_, true)) return;
  for (auto& lane : lanes_) {
    const auto end = [&] {
      lane->End(status);
      lane->loop()->Leave(lane.get());
    };
    if (owner_->loops_running()) {
      lane->loop()->Run(end);
    } else {
      end();
    }
  }
}

void TcpPeer::OnLaneReady(const Lane* lane, size_t address, uint64_t slice_bytes_max) {
  slice_bytes_max_.store(slice_bytes_max, std::memory_order_relaxed);
  if (lane->index() == 0) {
    good_address_.store(address, std::memory_order_relaxed);
    for (size_t i = 1; i < lanes_.size(); ++i) lanes_[i]->loop()->Schedule(lanes_[i].get());
  }
  SettleOne();
}

void TcpPeer::OnLaneLost(Lane* lane, slipway_status status, const std::string& why, int native) {
  if (lane->index() == 0) {
    Fail(status, why, native);
  } else {
    owner_->LogOnce(SLIPWAY_LOG_WARNING, Counter::connects_failed, "a further lane could not be made: " + why);
  }
  lane->End(status);
  SettleOne();
}

void TcpPeer::SettleOne() {
  if (unsettled_.fetch_sub(1) != 1) return;
  slipway_status expected = SLIPWAY_IN_PROGRESS;
  status_.compare_exchange_strong(expected, SLIPWAY_OK);
}

}  // namespace slipway::tcp
