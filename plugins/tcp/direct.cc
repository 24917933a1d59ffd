#include "plugins/tcp/direct.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "plugins/tcp/lane.h"

namespace slipway::tcp {
namespace {

// So many are looked at without asking the system first which of them have something.
constexpr size_t kLookedAt = 4;
constexpr int kEventsMax = 16;

}  // namespace

DirectLanes::~DirectLanes() {
  if (fd_ >= 0) close(fd_);
}

int DirectLanes::Open() {
  fd_ = epoll_create1(EPOLL_CLOEXEC);
  return fd_ >= 0 ? 0 : errno;
}

bool DirectLanes::Add(Lane* lane, int socket) {
  MutexLock lock(mutex_);
  epoll_event ev{};
  ev.events = EPOLLIN;  // by level: what a poller leaves there makes the descriptor readable still
  ev.data.ptr = lane;
  lanes_.reserve(lanes_.size() + 1);
  if (epoll_ctl(fd_, EPOLL_CTL_ADD, socket, &ev) != 0) return false;
  lanes_.push_back(lane);
  count_.store(static_cast<uint32_t>(lanes_.size()), std::memory_order_relaxed);
  return true;
}

void DirectLanes::Remove(Lane* lane, int socket) {
  MutexLock lock(mutex_);
  if (std::erase(lanes_, lane) == 0) return;
  epoll_ctl(fd_, EPOLL_CTL_DEL, socket, nullptr);
  count_.store(static_cast<uint32_t>(lanes_.size()), std::memory_order_relaxed);
}

void DirectLanes::Receive(Lane* lane, const TcpChannel* poller) {
  if (lane->ReceiveDirect(poller)) return;
  // Something is wrong, which is the io thread's business; until it comes, nobody is to look again and again.
  epoll_ctl(fd_, EPOLL_CTL_DEL, lane->socket_fd(), nullptr);
}

void DirectLanes::Poll(const TcpChannel* poller) {
  if (count_.load(std::memory_order_relaxed) == 0 || !mutex_.TryLock()) return;
  bool busy = false;
  if (lanes_.size() <= kLookedAt) {
    for (Lane* lane : lanes_) {
      if (lane->queued_bytes() == 0) continue;
      busy = true;
      Receive(lane, poller);
    }
  }
  if (!busy) {
    epoll_event events[kEventsMax];
    const int n = epoll_wait(fd_, events, kEventsMax, 0);
    for (int i = 0; i < n; ++i) Receive(static_cast<Lane*>(events[i].data.ptr), poller);
  }
  mutex_.Unlock();
}

}  // namespace slipway::tcp
