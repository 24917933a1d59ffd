// Another instance, as this one reaches it: its lanes, and the registrations imported from it.
#ifndef SLIPWAY_PLUGINS_TCP_PEER_H_
#define SLIPWAY_PLUGINS_TCP_PEER_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "plugins/tcp/lane.h"
#include "plugins/tcp/wire.h"

namespace slipway::tcp {

class TcpPeer;

class TcpRemote : public sdk::Remote {
 public:
  TcpRemote(TcpPeer* owner, const RemoteRegistration& r)
      : sdk::Remote(r.length, r.access & (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE)),
        peer(owner),
        id(r.id),
        key(r.key) {}

  TcpPeer* const peer;
  const uint64_t id;
  const Key key;
};

// A peer fails as a whole and for good: when a lane that was ready breaks, or the first cannot be made.
class TcpPeer : public sdk::Peer {
 public:
  TcpPeer(TcpInstance* owner, InstanceAddress address);
  ~TcpPeer() override;

  // [control] Begins to connect; the rest happens on the io threads.
  void Start();

  slipway_status Ready(sdk::Error& err) override;
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;
  slipway_status Disconnect() override;

  // [any] Queues a request on the lane that has least to do. OK: *lane is to be told to Send. E_AGAIN: no lane has
  // room. Otherwise why the peer cannot be used.
  slipway_status Enqueue(const Request& request, Lane** lane);
  bool Cancel(const TcpChannel* channel, uint64_t token, WakeSet* wakes);

  // [any] The first reason stays. All lanes end soon, on their threads, and complete what they have with `status`.
  void Fail(slipway_status status, const std::string& why, int native);
  // [control] Ends all lanes now, everything outstanding completing with `status`. Idempotent.
  void EndNow(slipway_status status, const std::string& why);

  bool failed() const { return status_.load(std::memory_order_acquire) < 0; }
  slipway_status status() const { return status_.load(std::memory_order_acquire); }
  TcpInstance* owner() const { return owner_; }
  const Key& instance_id() const { return address_.instance; }
  size_t address_count() const { return address_.addresses.size(); }
  const SocketAddress& address(size_t i) const { return address_.addresses[i]; }
  size_t first_address() const { return good_address_.load(std::memory_order_relaxed); }

  // The longest slice that the peer takes, in bytes; no bound until it has greeted.
  uint64_t slice_bytes_max() const { return slice_bytes_max_.load(std::memory_order_relaxed); }

  // [loop] By a lane.
  void OnLaneReady(const Lane* lane, size_t address, uint64_t slice_bytes_max);
  void OnLaneLost(Lane* lane, slipway_status status, const std::string& why, int native);

 private:
  void SettleOne();

  TcpInstance* const owner_;
  const InstanceAddress address_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // constant after Start

  std::atomic<slipway_status> status_{SLIPWAY_IN_PROGRESS};
  std::atomic<size_t> good_address_{0};  // the first one worth trying
  std::atomic<uint64_t> slice_bytes_max_{~uint64_t{0}};
  std::atomic<uint32_t> unsettled_;  // lanes that are still connecting

  Mutex mutex_;
  std::string why_ SLIPWAY_GUARDED_BY(mutex_);
  int native_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  bool ended_ = false;  // [control]
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_PEER_H_
