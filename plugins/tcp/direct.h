// Lanes whose answers are received by whoever polls, on that thread: the answer to a short request then wakes no io
// thread in between, and who waits for it may look, or sleep, at the socket itself.
//
// A lane is here while its io thread has left it to pollers: what comes on its socket is received by a poller that
// holds the set's lock, and by nobody else. The io thread takes it back by removing it.
#ifndef SLIPWAY_PLUGINS_TCP_DIRECT_H_
#define SLIPWAY_PLUGINS_TCP_DIRECT_H_

#include <atomic>
#include <vector>

#include "slipway/sdk/mutex.hpp"

namespace slipway::tcp {

class Lane;
class TcpChannel;

class DirectLanes {
 public:
  DirectLanes() = default;
  ~DirectLanes();
  DirectLanes(const DirectLanes&) = delete;
  DirectLanes& operator=(const DirectLanes&) = delete;

  // 0, or errno.
  int Open();
  bool open() const { return fd_ >= 0; }
  // Readable while a lane has something to receive.
  int fd() const { return fd_; }

  // [loop] False: the system does not watch the socket, and the lane stays the io thread's.
  bool Add(Lane* lane, int socket) SLIPWAY_EXCLUDES(mutex_);
  // [loop] Afterwards no poller is in the lane. Idempotent.
  void Remove(Lane* lane, int socket) SLIPWAY_EXCLUDES(mutex_);

  // [any] Receives what has come, unless another thread is just doing so. `poller`: need not be woken.
  void Poll(const TcpChannel* poller) SLIPWAY_EXCLUDES(mutex_);

 private:
  void Receive(Lane* lane, const TcpChannel* poller) SLIPWAY_REQUIRES(mutex_);

  int fd_ = -1;
  std::atomic<uint32_t> count_{0};
  Mutex mutex_;
  std::vector<Lane*> lanes_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_DIRECT_H_
