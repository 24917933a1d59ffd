// What other processes hold of this node's store: space that they fill and values that they read, until they say so or
// their time is over.
#ifndef SLIPWAY_CORE_STORE_LEASES_H_
#define SLIPWAY_CORE_STORE_LEASES_H_

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/metrics/counters.h"
#include "core/store/directory.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

// Thread-safe.
class Leases {
 public:
  static constexpr size_t kMost = 1u << 20;  // at once; what a client asks for beyond is refused

  // `write_grace_ns`: how long after its time a transfer may still write.
  Leases(Directory& directory, uint64_t write_grace_ns, Counters& counters, const Clock& clock)
      : directory_(directory), write_grace_ns_(write_grace_ns), counters_(counters), clock_(clock) {}
  ~Leases();  // ends all of them: nobody writes any more

  // Keeps the ticket for `lease_ns`; what it is known by.
  uint64_t Add(Ticket ticket, bool writes, uint64_t lease_ns) SLIPWAY_EXCLUDES(mutex_);
  // Takes it back; nothing where there is none of that kind, or its time is over.
  std::optional<Ticket> Take(uint64_t id, bool writes) SLIPWAY_EXCLUDES(mutex_);
  // Ends those whose time is over. Called by whoever needs space, and now and then.
  void Sweep() SLIPWAY_EXCLUDES(mutex_);
  size_t count() const SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Lease {
    Ticket ticket;
    bool writes = false;
    uint64_t expires_ns = 0;
  };
  uint64_t EndOf(const Lease& lease) const {
    return lease.writes ? DeadlineAfter(lease.expires_ns, write_grace_ns_) : lease.expires_ns;
  }

  Directory& directory_;
  const uint64_t write_grace_ns_;
  Counters& counters_;
  const Clock& clock_;
  mutable Mutex mutex_;
  uint64_t next_ SLIPWAY_GUARDED_BY(mutex_) = 1;
  std::unordered_map<uint64_t, Lease> leases_ SLIPWAY_GUARDED_BY(mutex_);
  std::set<std::pair<uint64_t, uint64_t>> ends_ SLIPWAY_GUARDED_BY(mutex_);  // when, which
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_LEASES_H_
