#include "plugins/tcp/channel.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <thread>

#include "plugins/tcp/transport.h"

namespace slipway::tcp {

TcpChannel::TcpChannel(TcpInstance* owner, uint32_t index, void* cookie, uint32_t inflight_max)
    : owner_(owner), index_(index), cookie_(cookie), mask_(std::bit_ceil(inflight_max) - 1), ring_(size_t{mask_} + 1) {}

TcpChannel::~TcpChannel() {
  // The last completion may have been polled before the thread that queued it called the core.
  while (waking_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  owner_->ForgetChannel(index_);
  if (event_fd_ >= 0) close(event_fd_);
  if (bell_fd_ >= 0) close(bell_fd_);
}

int TcpChannel::OpenEventFd() {
  event_fd_ = epoll_create1(EPOLL_CLOEXEC);
  bell_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd_ < 0 || bell_fd_ < 0) return errno;
  for (const int fd : {bell_fd_, owner_->direct().fd()}) {
    epoll_event ev{};
    ev.events = EPOLLIN;
    if (epoll_ctl(event_fd_, EPOLL_CTL_ADD, fd, &ev) != 0) return errno;
  }
  return 0;
}

void TcpChannel::Push(uint64_t token, slipway_status status, uint64_t bytes, int32_t native, WakeSet* wakes) {
  MutexLock lock(mutex_);
  const uint32_t n = ready_.load(std::memory_order_relaxed);
  ring_[(head_ + n) & mask_] = {token, bytes, status, native};
  ready_.store(n + 1, std::memory_order_release);
  if (n != 0) return;
  if (wakes->Add(index_)) waking_.fetch_add(1, std::memory_order_relaxed);
}

void TcpChannel::Ring() {
  if (rung_.exchange(true)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(bell_fd_, &one, sizeof(one));
}

void TcpChannel::WakeCore() {
  if (event_fd_ >= 0) {
    Ring();
  } else {
    owner_->host().Wake(cookie_);
  }
  waking_.fetch_sub(1, std::memory_order_release);
}

void TcpChannel::NeedNotWake() { waking_.fetch_sub(1, std::memory_order_release); }

slipway_status TcpChannel::Poll(sdk::Completions& out) {
  // What is there already is taken first; who finds more than one call takes comes again, and then looks for others.
  if (event_fd_ >= 0 && ready_.load(std::memory_order_acquire) < out.room()) {
    // Before the completions are looked at: what comes later rings again. Who rings may not have written yet; then the
    // bell stays rung for the next time.
    uint64_t count;
    if (rung_.load(std::memory_order_acquire) && read(bell_fd_, &count, sizeof(count)) > 0) rung_.store(false);
    owner_->direct().Poll(this);
  }
  if (ready_.load(std::memory_order_acquire) == 0) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  uint32_t n = ready_.load(std::memory_order_relaxed);
  while (n > 0 && !out.full()) {
    const Entry& e = ring_[head_++ & mask_];
    out.Put(e.token, e.status, e.bytes, e.native);
    --n;
  }
  ready_.store(n, std::memory_order_release);
  lock.Unlock();
  if (n > 0 && event_fd_ >= 0) Ring();
  return SLIPWAY_OK;
}

}  // namespace slipway::tcp
