#include "core/control/connections.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/control/address.h"
#include "core/control/quiet_thread.h"

namespace slipway {
namespace {

// Ids of connections begin above these.
constexpr uint64_t kListenerId = 0, kWakeId = 1, kFirstConnectionId = 2;

// While there are connections the loop looks at the clock this often; their timeouts are coarser.
constexpr int kClockLookMs = 500;
// How long the loop leaves the listener alone when the process has no descriptor left for what waits there.
constexpr int kAcceptPauseMs = 100;
constexpr uint64_t kPauseLogNs = 60'000'000'000;
constexpr int kAcceptBurst = 64;  // so that a flood of connections does not keep others waiting

constexpr std::string_view kBusyReply =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "
    "114\r\n\r\n"
    R"({"error":{"status":"E_AGAIN","message":"all connections are in use; try again, or raise control.max_connections"}})";

}  // namespace

Connections::Connections(UniqueFd listener, const ConnectionLimits& limits, Serve serve, const Clock& clock,
                         Logger& logger)
    : listener_(std::move(listener)),
      limits_(limits),
      serve_(std::move(serve)),
      clock_(clock),
      logger_(logger),
      next_id_(kFirstConnectionId),
      workers_(limits.max_connections) {}

Status Connections::Start() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event on_listener{}, on_wake{};
  on_listener.events = on_wake.events = EPOLLIN;
  on_listener.data.u64 = kListenerId;
  on_wake.data.u64 = kWakeId;
  if (!epoll_.valid() || !wake_.valid() || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &on_listener) != 0 ||
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &on_wake) != 0) {
    return Status(SLIPWAY_E_IO, std::string("control server: ") + std::strerror(errno) +
                                    "; raise the limit of open files (ulimit -n)");
  }
  try {
    loop_ = QuietThread([this] { Loop(); });
  } catch (const std::system_error&) {
    return Status(SLIPWAY_E_NOMEM, "control server: no thread; raise the limit of processes (ulimit -u)");
  }
  return Status::Ok();
}

Connections::~Connections() {
  stopping_ = true;
  const uint64_t one = 1;
  if (wake_.valid()) (void)!write(wake_.get(), &one, sizeof one);
  if (loop_.joinable()) loop_.join();
  {
    MutexLock lock(mutex_);
    for (auto& [id, entry] : entries_) entry.connection->channel.Interrupt();
  }
  workers_.Stop();
}

void Connections::Loop() {
  std::array<epoll_event, 64> events;
  while (!stopping_) {
    const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), LoopTimeoutMs());
    if (accept_paused_) {
      epoll_event again{};
      again.events = EPOLLIN;
      again.data.u64 = kListenerId;
      accept_paused_ = epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &again) != 0;
    }
    for (int i = 0; i < ready && !stopping_; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id == kListenerId) AcceptAll();
      if (id >= kFirstConnectionId) Dispatch(id);
    }
    CloseOverdue();
  }
}

int Connections::LoopTimeoutMs() const {
  if (accept_paused_) return kAcceptPauseMs;
  MutexLock lock(mutex_);
  return entries_.empty() ? -1 : kClockLookMs;
}

void Connections::AcceptAll() {
  for (int i = 0; i < kAcceptBurst; ++i) {
    Address peer;
    peer.length = sizeof peer.storage;
    UniqueFd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.length,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int error = errno;
    if (fd.valid()) {
      try {
        Admit(std::move(fd), peer.Text());
      } catch (const std::exception&) {
        // Out of memory for one more connection: it is closed, the others go on.
      }
      continue;
    }
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
      epoll_event none{};
      none.data.u64 = kListenerId;
      accept_paused_ = epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &none) == 0;
      const uint64_t now_ns = clock_.NowNs();
      if (last_pause_log_ns_ == 0 || now_ns - last_pause_log_ns_ > kPauseLogNs) {
        last_pause_log_ns_ = now_ns;
        logger_.Warning(std::string("control server: a connection waits: ") + std::strerror(error) +
                        "; raise the limit of open files (ulimit -n)");
      }
      return;
    }
    if (error == EAGAIN || error == EWOULDBLOCK) return;
    // Everything else is about that one connection, which ended before it was taken.
  }
}

void Connections::Admit(UniqueFd fd, std::string peer) {
  const int on = 1;
  (void)setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int raw_fd = fd.get();
  std::unique_ptr<Connection> evicted;  // closed outside of the lock
  {
    MutexLock lock(mutex_);
    ++counts_.accepted;
    if (entries_.size() >= limits_.max_connections) {
      evicted = TakeLongestIdle();
      if (evicted == nullptr) {
        ++counts_.refused;
        (void)send(raw_fd, kBusyReply.data(), kBusyReply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
      }
      ++counts_.evicted;
    }
    auto connection = std::make_unique<Connection>(std::move(fd), clock_, std::move(peer));
    const Id id = next_id_++;
    Entry& entry = entries_[id];
    entry.connection = std::move(connection);
    MakeIdle(id, entry);
    // Armed with the lock held, so that whoever is told of an event finds the entry complete.
    if (!Watch(id, raw_fd, EPOLL_CTL_ADD)) {
      idle_.erase(entry.in_idle);
      entries_.erase(id);
    }
  }
}

bool Connections::Watch(Id id, int fd, int operation) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
  event.data.u64 = id;
  return epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
}

void Connections::MakeIdle(Id id, Entry& entry) {
  entry.in_idle = idle_.insert(idle_.end(), id);
  entry.idle = true;
  entry.idle_since_ns = clock_.NowNs();
}

std::unique_ptr<Connection> Connections::TakeLongestIdle() {
  if (idle_.empty()) return nullptr;
  const auto found = entries_.find(idle_.front());
  std::unique_ptr<Connection> taken = std::move(found->second.connection);
  entries_.erase(found);
  idle_.pop_front();
  return taken;
}

void Connections::Dispatch(Id id) {
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end() || !found->second.idle) return;  // closed since the event was collected
    found->second.idle = false;
    idle_.erase(found->second.in_idle);
    ++counts_.busy;
  }
  bool submitted = false;
  try {
    submitted = workers_.Submit([this, id] { Work(id); });
  } catch (const std::exception&) {
    // Out of memory: this connection is closed.
  }
  if (!submitted) Finish(id, /*keep=*/false);
}

void Connections::Work(Id id) {
  Connection* connection = nullptr;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;          // Submit failed after all
    connection = found->second.connection.get();  // stays: only Finish removes what is busy
  }
  const bool keep = serve_(*connection);
  Finish(id, keep);
}

void Connections::Finish(Id id, bool keep) {
  std::unique_ptr<Connection> closed;  // destroyed after the lock is released
  MutexLock lock(mutex_);
  --counts_.busy;
  const auto found = entries_.find(id);
  if (keep && !stopping_) {
    try {
      MakeIdle(id, found->second);
      if (Watch(id, found->second.connection->channel.fd(), EPOLL_CTL_MOD)) return;
      idle_.pop_back();
    } catch (const std::bad_alloc&) {
      // Closed, for want of the list's node.
    }
  }
  closed = std::move(found->second.connection);
  entries_.erase(found);
}

void Connections::CloseOverdue() {
  const uint64_t now_ns = clock_.NowNs();
  for (;;) {
    std::unique_ptr<Connection> closed;
    MutexLock lock(mutex_);
    if (idle_.empty()) return;
    const Entry& longest = entries_.find(idle_.front())->second;
    if (now_ns < DeadlineAfter(longest.idle_since_ns, limits_.idle_timeout_ns)) return;
    closed = TakeLongestIdle();
    ++counts_.idle_closed;
  }
}

ConnectionCounts Connections::counts() const {
  MutexLock lock(mutex_);
  ConnectionCounts out = counts_;
  out.open = entries_.size();
  return out;
}

}  // namespace slipway
