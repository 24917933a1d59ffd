// Accepts connections and keeps the idle ones without a thread: one epoll waits for all of them, and a connection on
// which something arrives goes to a worker until it is idle again.
#ifndef SLIPWAY_CORE_CONTROL_CONNECTIONS_H_
#define SLIPWAY_CORE_CONTROL_CONNECTIONS_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/control/channel.h"
#include "core/control/http_head.h"
#include "core/control/unique_fd.h"
#include "core/control/worker_pool.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

struct Connection {
  Connection(UniqueFd fd, const Clock& clock, std::string peer_text)
      : channel(std::move(fd), clock), peer(std::move(peer_text)) {}

  Channel channel;
  Inbox inbox;
  const std::string peer;  // numeric address and port
};

struct ConnectionLimits {
  size_t max_connections = 0;
  uint64_t idle_timeout_ns = 0;
};

struct ConnectionCounts {
  uint64_t accepted = 0;
  uint64_t refused = 0;      // at the limit, with no idle connection to close instead
  uint64_t evicted = 0;      // idle, closed for a new one
  uint64_t idle_closed = 0;  // idle for too long
  uint64_t open = 0;         // now
  uint64_t busy = 0;         // now: with a worker
};

class Connections {
 public:
  // Serves what arrived on a connection, on a worker. True: keep it. Must not throw.
  using Serve = std::function<bool(Connection&)>;

  Connections(UniqueFd listener, const ConnectionLimits& limits, Serve serve, const Clock& clock, Logger& logger);
  // Stop accepting, cut what is under way, wait for its workers.
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Once. E_IO or E_NOMEM when the system refuses what is needed.
  Status Start();

  ConnectionCounts counts() const;  // thread-safe
  size_t threads() const { return workers_.threads(); }

 private:
  using Id = uint64_t;
  struct Entry {
    std::unique_ptr<Connection> connection;
    bool idle = false;
    uint64_t idle_since_ns = 0;
    std::list<Id>::iterator in_idle;  // where idle
  };

  void Loop();
  int LoopTimeoutMs() const;
  void AcceptAll();
  void Admit(UniqueFd fd, std::string peer);
  void Dispatch(Id id);
  void Work(Id id);
  void Finish(Id id, bool keep);
  void CloseOverdue();
  bool Watch(Id id, int fd, int operation);
  void MakeIdle(Id id, Entry& entry) SLIPWAY_REQUIRES(mutex_);
  std::unique_ptr<Connection> TakeLongestIdle() SLIPWAY_REQUIRES(mutex_);

  const UniqueFd listener_;
  const ConnectionLimits limits_;
  const Serve serve_;
  const Clock& clock_;
  Logger& logger_;
  UniqueFd epoll_, wake_;  // constant after Start
  std::atomic<bool> stopping_{false};
  bool accept_paused_ = false;  // the loop's own
  uint64_t last_pause_log_ns_ = 0;

  mutable Mutex mutex_;
  std::unordered_map<Id, Entry> entries_ SLIPWAY_GUARDED_BY(mutex_);
  std::list<Id> idle_ SLIPWAY_GUARDED_BY(mutex_);  // the longest idle first
  ConnectionCounts counts_ SLIPWAY_GUARDED_BY(mutex_);
  Id next_id_ SLIPWAY_GUARDED_BY(mutex_);

  WorkerPool workers_;
  std::thread loop_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_CONNECTIONS_H_
