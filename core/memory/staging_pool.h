// The staging pool: one run of host memory, registered with every transport that needs it, handed out in blocks.
#ifndef SLIPWAY_CORE_MEMORY_STAGING_POOL_H_
#define SLIPWAY_CORE_MEMORY_STAGING_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/memory/huge_memory.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

// A piece of the pool from which pieces are cut off in turn; free again when all of them have been given back.
struct StagingBlock {
  uint64_t offset = 0;  // in the pool
  uint64_t bytes = 0;   // whole granules
  uint64_t used = 0;    // cut off so far
  uint32_t pieces = 0;  // cut off and not given back
  bool open = false;    // an owner may cut off more
};

// Thread-safe; a block is its owner's, who serialises what is done with it. Nothing allocates after construction but
// listeners.
class StagingPool {
 public:
  static constexpr uint64_t kGranuleBytes = 4096;
  static constexpr uint64_t kPieceAlign = 64;

  // `bytes` is rounded up to whole granules. E_NOMEM: the system has not got that much. Near `numa_node` (-1:
  // anywhere), in huge pages where the system has them, since those are registered faster.
  static Result<std::unique_ptr<StagingPool>> Create(uint64_t bytes, int32_t numa_node = -1);
  StagingPool(const StagingPool&) = delete;
  StagingPool& operator=(const StagingPool&) = delete;

  char* base() const { return base_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t used_bytes() const SLIPWAY_EXCLUDES(mutex_);

  // `freed` is called when a block is free again while `who` expects that, by whoever gave the last of it back, and
  // with the pool's lock held. Before the first Allocate.
  void AddListener(const void* who, std::function<void()> freed) SLIPWAY_EXCLUDES(mutex_);
  void Expect(const void* who, bool expects) SLIPWAY_EXCLUDES(mutex_);

  // A block of at least `bytes`, open; null when no run that long is free.
  StagingBlock* Allocate(uint64_t bytes) SLIPWAY_EXCLUDES(mutex_);
  // What is left of the block for a piece whose address is a multiple of `align`, a power of two.
  uint64_t RoomIn(const StagingBlock& block, uint64_t align) const;
  // Cuts off a piece, aligned to `align` and to kPieceAlign; null where the block has not that much left.
  char* Cut(StagingBlock* block, uint64_t bytes, uint64_t align = kPieceAlign);
  // Gives a piece back, or (Close) says that no more will be cut off. The last of these frees the block: true then.
  bool GiveBack(StagingBlock* block) SLIPWAY_EXCLUDES(mutex_);
  bool Close(StagingBlock* block) SLIPWAY_EXCLUDES(mutex_);

 private:
  StagingPool(HugeMemory memory, uint64_t bytes);
  bool FreeIfDone(StagingBlock* block) SLIPWAY_EXCLUDES(mutex_);
  uint64_t PieceOffset(const StagingBlock& block, uint64_t align) const;

  const HugeMemory memory_;
  char* const base_;
  const uint64_t bytes_;
  struct Listener {
    const void* who;
    std::function<void()> freed;
    bool expects = false;
  };

  mutable Mutex mutex_;
  uint64_t used_bytes_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t next_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // granule at which the next search begins
  // By first granule; bytes == 0: free granule or inside another block. Whether it is is guarded by the mutex.
  std::vector<StagingBlock> blocks_;
  std::vector<Listener> listeners_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_STAGING_POOL_H_
