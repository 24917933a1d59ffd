#include "core/store/leases.h"

namespace slipway {

Leases::~Leases() {
  MutexLock lock(mutex_);
  for (auto& [id, lease] : leases_) {
    if (lease.writes) {
      directory_.Abort(lease.ticket, false);
    } else {
      directory_.Release({&lease.ticket, 1});
    }
  }
}

uint64_t Leases::Add(Ticket ticket, bool writes, uint64_t lease_ns) {
  Lease lease{std::move(ticket), writes, DeadlineAfter(clock_.NowNs(), lease_ns)};
  MutexLock lock(mutex_);
  const uint64_t id = next_++;
  ends_.emplace(EndOf(lease), id);
  leases_.emplace(id, std::move(lease));
  return id;
}

std::optional<Ticket> Leases::Take(uint64_t id, bool writes) {
  const uint64_t now_ns = clock_.NowNs();
  MutexLock lock(mutex_);
  const auto found = leases_.find(id);
  // Past its time the space waits for whatever may still be on its way to it.
  if (found == leases_.end() || found->second.writes != writes || now_ns >= found->second.expires_ns) {
    return std::nullopt;
  }
  ends_.erase({EndOf(found->second), id});
  Ticket ticket = std::move(found->second.ticket);
  leases_.erase(found);
  return ticket;
}

void Leases::Sweep() {
  const uint64_t now_ns = clock_.NowNs();
  std::vector<Lease> over;
  {
    MutexLock lock(mutex_);
    while (!ends_.empty() && ends_.begin()->first <= now_ns) {
      const auto found = leases_.find(ends_.begin()->second);
      over.push_back(std::move(found->second));
      leases_.erase(found);
      ends_.erase(ends_.begin());
    }
  }
  counters_.Add(Counter::kStoreExpired, over.size());
  for (Lease& lease : over) {
    if (lease.writes) {
      directory_.Abort(lease.ticket, false);
    } else {
      directory_.Release({&lease.ticket, 1});
    }
  }
}

size_t Leases::count() const {
  MutexLock lock(mutex_);
  return leases_.size();
}

}  // namespace slipway
