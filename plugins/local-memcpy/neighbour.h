// The initiator's side of a connection to an instance in another process: what is known of it, and its registrations.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_NEIGHBOUR_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_NEIGHBOUR_H_

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "plugins/local-memcpy/poller.h"
#include "plugins/local-memcpy/shared.h"
#include "plugins/local-memcpy/wire.h"
#include "slipway/sdk/host.hpp"

namespace slipway::local_memcpy {

class Neighbour;

// A registration of a neighbour's. How it is reached is asked for when it is imported; until the answer is here it is
// pending, and slices wait. Everything but `state` is constant once that is not kPending any more.
struct Import {
  enum State : uint32_t { kPending, kMapped, kPrivate, kRefused };

  bool pending() const { return state.load(std::memory_order_acquire) == kPending; }

  std::atomic<uint32_t> state{kPending};
  char* base = nullptr;             // kMapped: where it lies here
  uint64_t address = 0;             // kPrivate: where it lies there
  uint32_t slot = 0;                // on the neighbour's board
  slipway_status why = SLIPWAY_OK;  // kRefused
  std::shared_ptr<const Mapping> mapping;

  MrBlob blob;
  std::shared_ptr<Neighbour> neighbour;
  uint64_t asked_ns = 0;
};

// Thread-safe. The functions that begin with On are called by the exchange's thread alone.
class Neighbour : public std::enable_shared_from_this<Neighbour> {
 public:
  // `socket` is connected to a process whose user is one of those allowed.
  Neighbour(const sdk::Host& host, Poller& poller, uint64_t id, Fd socket, const Credentials& peer,
            uint64_t timeout_ns);
  ~Neighbour();

  // Says hello. Not OK: it is of no use.
  slipway_status Begin(uint64_t endpoint, sdk::Error& err);
  // IN_PROGRESS, OK, or why it cannot be used (any more).
  slipway_status Ready(sdk::Error& err) const SLIPWAY_EXCLUDES(mutex_);
  // Asks how a registration is reached.
  slipway_status Ask(const MrBlob& blob, std::shared_ptr<Import>& out, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);

  // Both sides of a copy through `lane`. False: the registration was revoked, or the neighbour is gone.
  bool Enter(uint32_t lane, const Import& import) {
    std::atomic<uint64_t>& mine = lanes_->lane[lane].registration;
    mine.store(import.blob.registration, std::memory_order_seq_cst);
    if (alive() && board_->slots[import.slot].load(std::memory_order_seq_cst) == import.blob.registration) return true;
    mine.store(0, std::memory_order_release);
    return false;
  }
  void Leave(uint32_t lane) { lanes_->lane[lane].registration.store(0, std::memory_order_release); }
  // Whether the instance is there, as of now: no system call, no delay.
  bool alive() const {
    return !failed_.load(std::memory_order_acquire) && board_ != nullptr &&
           board_->life.load(std::memory_order_acquire) == life_;
  }
  pid_t pid() const { return peer_.pid; }
  uint64_t id() const { return id_; }

  // True when some import is not pending any more.
  bool OnReadable() SLIPWAY_EXCLUDES(mutex_);
  bool OnWritable() SLIPWAY_EXCLUDES(mutex_);
  bool OnEnded() { return Fail(SLIPWAY_E_PEER, "the peer's process ended, or its instance was shut down"); }
  // Forgets what is pending; nobody waits for it.
  void Close() { Fail(SLIPWAY_E_PEER, "disconnected"); }
  bool OnTime(uint64_t now_ns) SLIPWAY_EXCLUDES(mutex_);
  // Whether OnTime has something to look at.
  bool waits() const SLIPWAY_EXCLUDES(mutex_);

 private:
  enum class State { kHello, kReady, kFailed };

  bool Fail(slipway_status status, const std::string& why) SLIPWAY_EXCLUDES(mutex_);
  bool TakeWelcome(const Welcome& welcome, std::array<Fd, kMostFds>& fds) SLIPWAY_EXCLUDES(mutex_);
  bool TakeAnswer(const Answer& answer, const Fd& file) SLIPWAY_EXCLUDES(mutex_);
  void TryPrivate(const Welcome& welcome);
  slipway_status Reach(const Answer& answer, const Fd& file, Import& import) SLIPWAY_REQUIRES(mutex_);
  // False: broken. Stops at the first that does not go.
  bool Flush() SLIPWAY_REQUIRES(mutex_);

  const sdk::Host& host_;
  Poller& poller_;
  const uint64_t id_;
  const Fd socket_, process_;
  const Credentials peer_;
  const uint64_t timeout_ns_, begun_ns_;

  // Set before the state becomes kReady.
  Mapping board_mapping_, lanes_mapping_;
  const Board* board_ = nullptr;
  Lanes* lanes_ = nullptr;
  uint32_t life_ = 0;
  bool private_allowed_ = false;

  std::atomic<bool> failed_{false};
  mutable Mutex mutex_;
  State state_ SLIPWAY_GUARDED_BY(mutex_) = State::kHello;
  slipway_status status_ SLIPWAY_GUARDED_BY(mutex_) = SLIPWAY_OK;
  std::string why_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t next_request_ SLIPWAY_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, std::shared_ptr<Import>> asked_ SLIPWAY_GUARDED_BY(mutex_);
  std::deque<uint64_t> unsent_ SLIPWAY_GUARDED_BY(mutex_);
  // By region, and whether it can be written.
  std::map<std::pair<uint64_t, bool>, std::weak_ptr<const Mapping>> mappings_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_NEIGHBOUR_H_
