#include "core/control/client_pool.h"

namespace slipway {

std::unique_ptr<Channel> ClientPool::Take(const std::string& node) {
  std::list<Idle> closed;  // destroyed after the lock is released
  MutexLock lock(mutex_);
  const uint64_t now_ns = clock_.NowNs();
  for (auto it = idle_.end(); it != idle_.begin();) {
    --it;
    if (it->node != node) continue;
    const auto next = std::next(it);
    closed.splice(closed.end(), idle_, it);
    it = next;
    Idle& candidate = closed.back();
    if (now_ns - candidate.since_ns < kMaxIdleNs && candidate.channel->IsQuiet()) return std::move(candidate.channel);
  }
  return nullptr;
}

void ClientPool::Put(const std::string& node, std::unique_ptr<Channel> channel) {
  std::list<Idle> added, closed;
  added.push_back({node, std::move(channel), clock_.NowNs()});
  MutexLock lock(mutex_);
  idle_.splice(idle_.end(), added);
  size_t of_node = 0;
  for (auto it = idle_.end(); it != idle_.begin();) {
    --it;
    if (it->node != node || ++of_node <= kMaxPerNode) continue;
    const auto next = std::next(it);
    closed.splice(closed.end(), idle_, it);
    it = next;
  }
  while (idle_.size() > kMaxIdle || (!idle_.empty() && clock_.NowNs() - idle_.front().since_ns >= kMaxIdleNs)) {
    closed.splice(closed.end(), idle_, idle_.begin());
  }
}

size_t ClientPool::size() const {
  MutexLock lock(mutex_);
  return idle_.size();
}

}  // namespace slipway
