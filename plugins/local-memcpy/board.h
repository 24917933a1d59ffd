// The target's board (wire.h): whether the instance lives, and which registrations other processes may use.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_BOARD_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_BOARD_H_

#include <linux/futex.h>

#include <memory>
#include <vector>

#include "plugins/local-memcpy/shared.h"
#include "plugins/local-memcpy/wire.h"

namespace slipway::local_memcpy {

inline constexpr uint32_t kNoSlot = UINT32_MAX;

// Thread-safe, but for what says otherwise.
class OwnBoard {
 public:
  // NULL, with errno set, where the system refuses shared memory.
  static std::unique_ptr<OwnBoard> Make();

  int fd() const { return file_.get(); }
  uint32_t life() const { return board().life.load(std::memory_order_relaxed); }
  // By the thread that keeps the board, first: it lives until that thread dies, or End() was called.
  void Begin();
  // By that thread, last.
  void Leave();
  // All peers are refused from now on, for good.
  void End() { board().life.store(0, std::memory_order_release); }

  // A slot that says `registration` may be used. kNoSlot: all are taken.
  uint32_t Open(uint64_t registration) SLIPWAY_EXCLUDES(mutex_);
  void Shut(uint32_t slot) { board().slots[slot].store(0, std::memory_order_seq_cst); }
  void Reopen(uint32_t slot, uint64_t registration) { board().slots[slot].store(registration); }
  void Free(uint32_t slot) SLIPWAY_EXCLUDES(mutex_);  // shut, and used by nobody

 private:
  OwnBoard(Fd file, Mapping mapping) : file_(std::move(file)), mapping_(std::move(mapping)) {}
  Board& board() const { return *reinterpret_cast<Board*>(mapping_.data()); }

  const Fd file_;
  const Mapping mapping_;
  robust_list_head head_{};
  robust_list entry_{};
  Mutex mutex_;
  std::vector<uint32_t> free_ SLIPWAY_GUARDED_BY(mutex_);
  uint32_t next_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_BOARD_H_
