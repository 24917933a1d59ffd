#include "plugins/tcp/channel.h"

#include <bit>
#include <thread>

#include "plugins/tcp/transport.h"

namespace slipway::tcp {

TcpChannel::TcpChannel(TcpInstance* owner, uint32_t index, void* cookie, uint32_t inflight_max)
    : owner_(owner), index_(index), cookie_(cookie), mask_(std::bit_ceil(inflight_max) - 1), ring_(size_t{mask_} + 1) {}

TcpChannel::~TcpChannel() {
  // The last completion may have been polled before the thread that queued it called the core.
  while (waking_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  owner_->ForgetChannel(index_);
}

void TcpChannel::Push(uint64_t token, slipway_status status, uint64_t bytes, int32_t native, WakeSet* wakes) {
  MutexLock lock(mutex_);
  const uint32_t n = ready_.load(std::memory_order_relaxed);
  ring_[(head_ + n) & mask_] = {token, bytes, status, native};
  ready_.store(n + 1, std::memory_order_release);
  if (n != 0) return;
  if (wakes->Add(index_)) waking_.fetch_add(1, std::memory_order_relaxed);
}

void TcpChannel::WakeCore() {
  owner_->host().Wake(cookie_);
  waking_.fetch_sub(1, std::memory_order_release);
}

slipway_status TcpChannel::Poll(sdk::Completions& out) {
  if (ready_.load(std::memory_order_acquire) == 0) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  uint32_t n = ready_.load(std::memory_order_relaxed);
  while (n > 0 && !out.full()) {
    const Entry& e = ring_[head_++ & mask_];
    out.Put(e.token, e.status, e.bytes, e.native);
    --n;
  }
  ready_.store(n, std::memory_order_release);
  return SLIPWAY_OK;
}

}  // namespace slipway::tcp
