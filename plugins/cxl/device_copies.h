// Slices whose local memory the CPU cannot touch: the host has them copied, straight into a window or out of one, which
// is pinned for that.
#ifndef SLIPWAY_PLUGINS_CXL_DEVICE_COPIES_H_
#define SLIPWAY_PLUGINS_CXL_DEVICE_COPIES_H_

#include <list>
#include <memory>

#include "plugins/cxl/progress.h"
#include "slipway/sdk/host_copier.hpp"

namespace slipway::cxl {

// Those of one channel. They go in rounds: a round is what waits for one registration. Whoever revokes that waits for
// the round's end, and the next round looks first whether it still may. Allocates nothing after it was made.
// Thread-safe.
class DeviceCopies {
 public:
  // `number`: the channel under which the rounds are seen on the boards; no other copies are.
  static slipway_status Open(CxlInstance& owner, void* cookie, uint32_t number, std::unique_ptr<DeviceCopies>& out,
                             sdk::Error& err);
  DeviceCopies(CxlInstance& owner, uint32_t number, std::unique_ptr<sdk::HostCopier> copier);
  ~DeviceCopies();

  // There are no more than the attributes' max_inflight_per_channel.
  void Take(const Op& op) SLIPWAY_EXCLUDES(mutex_);
  void Poll() SLIPWAY_EXCLUDES(mutex_);
  // The oldest that is done; false when there is none.
  bool TakeDone(Op& out) SLIPWAY_EXCLUDES(mutex_);
  // Ends what has not begun as CANCELED: the slice with that token, or (NULL) all of them. True: some were.
  bool Cancel(const uint64_t* token) SLIPWAY_EXCLUDES(mutex_);
  bool idle() const SLIPWAY_EXCLUDES(mutex_);
  size_t size() const SLIPWAY_EXCLUDES(mutex_);
  // True while the host does not know yet what to do with some, and nothing will wake the channel.
  bool stalled() const SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Piece {
    Op op;
    std::list<Piece>::iterator self;
  };
  using Pieces = std::list<Piece>;

  bool BeginRound() SLIPWAY_REQUIRES(mutex_);
  slipway_status Enter(CxlRemote& remote) SLIPWAY_REQUIRES(mutex_);
  void Fly() SLIPWAY_REQUIRES(mutex_);
  void Leave() SLIPWAY_REQUIRES(mutex_);
  void End(Piece& piece, Pieces& from, slipway_status status) SLIPWAY_REQUIRES(mutex_);
  slipway_status Prepare(const Op& op) const;
  slipway_status Finish(const Op& op) const;

  CxlInstance& owner_;
  const uint32_t number_;
  mutable Mutex mutex_;
  const std::unique_ptr<sdk::HostCopier> copier_;
  Pieces free_ SLIPWAY_GUARDED_BY(mutex_), waiting_ SLIPWAY_GUARDED_BY(mutex_), flying_ SLIPWAY_GUARDED_BY(mutex_),
      done_ SLIPWAY_GUARDED_BY(mutex_);
  CxlRemote* inside_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;  // of this round
  uint32_t phase_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_DEVICE_COPIES_H_
