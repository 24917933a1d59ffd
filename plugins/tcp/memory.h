// Registrations as peers name them: an id, a key that cannot be guessed, and what was granted.
#ifndef SLIPWAY_PLUGINS_TCP_MEMORY_H_
#define SLIPWAY_PLUGINS_TCP_MEMORY_H_

#include <chrono>
#include <vector>

#include "plugins/tcp/stats.h"
#include "plugins/tcp/wire.h"
#include "slipway/sdk/transport.hpp"

namespace slipway::tcp {

class Registration : public sdk::Registration {
 public:
  Registration(const slipway_range& range, const Key& secret)
      : base(static_cast<uint8_t*>(range.addr)), bytes(range.length), granted(range.access), key(secret) {}

  uint8_t* const base;
  const uint64_t bytes;
  const uint32_t granted;  // SLIPWAY_ACCESS_*
  const Key key;

 private:
  friend class RegistrationTable;
  uint64_t id_ = 0;       // constant once it is in the table
  uint32_t users_ = 0;    // accesses by peers under way; guarded by the table's mutex
  bool revoked_ = false;  // guarded by the table's mutex
};

// What a peer may touch. Thread-safe; the lock is held for a few loads at a time.
class RegistrationTable {
 public:
  // A peer's access, granted until Release().
  struct Grant {
    slipway_status status = SLIPWAY_OK;  // E_STALE_REMOTE or E_ACCESS otherwise
    Counter refusal = Counter::kCount;   // which kind, when refused
    Registration* registration = nullptr;
    uint8_t* addr = nullptr;
  };

  // E_NOMEM when all ids are taken. The caller owns `r` and keeps it until Remove.
  slipway_status Add(Registration* r);
  uint64_t IdOf(const Registration& r) const { return r.id_; }

  // Checks everything that came over the wire: id, key, access and range, in this order.
  Grant Acquire(const Frame& request);
  void Release(Registration* r);

  // No new access is granted from here on; those under way go on.
  void Revoke(Registration* r);
  void Restore(Registration* r);
  // Waits until no access is under way. False: there still is after `timeout`.
  bool WaitIdle(Registration* r, std::chrono::milliseconds timeout);
  // Revoked and idle: forgets it.
  void Remove(Registration* r);

 private:
  // An id is a slot's number and how often it was used, so that an old id never means a new registration.
  struct Slot {
    Registration* registration = nullptr;
    uint32_t uses = 0;
  };

  Mutex mutex_;
  CondVar idle_;
  std::vector<Slot> slots_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_MEMORY_H_
