// An extent: the run of pages that is pinned as one, with its state, and the leases that hold it.
#ifndef SLIPWAY_CORE_MEMORY_EXTENT_H_
#define SLIPWAY_CORE_MEMORY_EXTENT_H_

#include <atomic>
#include <cstdint>

#include "core/memory/pinner.h"

namespace slipway {

struct PinRegion;  // core/memory/pin_cache.h

// State, leases and generation of an extent in one word, so that a hit is one compare-and-swap on all three.
//
//   ABSENT -> REGISTERING -> PINNED -> EVICTING -> ABSENT      PINNED without leases is what is called idle
//   REGISTERING -> FAILED -> ABSENT                            after a time
//   EVICTING -> STUCK                                          could not be unpinned: for good
//
// The generation counts the times that the extent became PINNED or its storage was given to another region: a word that
// was read through a table that has changed since cannot be swapped by mistake.
class ExtentWord {
 public:
  enum State : uint64_t { kAbsent, kRegistering, kPinned, kEvicting, kFailed, kStuck };

  static constexpr uint64_t kOneLease = uint64_t{1} << 8;
  static constexpr uint64_t kClosing = uint64_t{1} << 3;  // its region is being undeclared: no new leases
  static constexpr uint64_t kUsed = uint64_t{1} << 4;     // leased since the evictor last came by
  static constexpr uint32_t kGenerationShift = 32;

  static State StateOf(uint64_t word) { return static_cast<State>(word & 7); }
  static uint64_t LeasesOf(uint64_t word) { return word >> 8 & 0xffffff; }
  static uint64_t GenerationOf(uint64_t word) { return word >> kGenerationShift; }
  static bool Leasable(uint64_t word) { return (word & (7 | kClosing)) == kPinned; }
  static bool Idle(uint64_t word) { return StateOf(word) == kPinned && LeasesOf(word) == 0; }
  // The same generation in another state, with no lease and no mark but kClosing.
  static uint64_t With(uint64_t word, State state) {
    return (word & (~uint64_t{0} << kGenerationShift | kClosing)) | state;
  }
  static uint64_t NextGeneration(uint64_t word) { return word + (uint64_t{1} << kGenerationShift); }
};

// One chunk of a region's grid, for one pinner. Its storage is kept, and used again, as long as the cache lives, since
// a reader may look at `word` when the region has gone; everything else is looked at with a lease or the cache's lock.
struct Extent {
  std::atomic<uint64_t> word{0};          // an ExtentWord
  std::atomic<uint64_t> last_used_ns{0};  // when the youngest lease was taken
  PinHandle handle = nullptr;             // constant from PINNED to EVICTING, as are the four below
  uint64_t begin = 0, end = 0;            // the pages that are pinned
  uint64_t charged_bytes = 0;             // to the budget
  uint32_t access = 0;                    // what the pin grants: at least what was asked for
  uint32_t who = 0;                       // the pinner, by its number

  // Guarded by the cache's lock.
  PinRegion* region = nullptr;
  Extent* older = nullptr;  // in the ring of what is pinned
  Extent* younger = nullptr;
  uint64_t keep_until_ns = 0;  // pinned for somebody who has yet to come for it
  uint64_t retry_ns = 0;       // FAILED, or refused for want of room: not before
  // What was copied instead of being pinned, for the admission: when last, up to where in this pass over the extent,
  // and how much (in nanoseconds of copying).
  uint64_t copied_ns = 0, copied_end = 0, copied_cost_ns = 0;
};

// The hold on what covers a range: from a lookup that granted it until PinCache::Return.
struct ExtentLease {
  Extent* first = nullptr;  // null: holds nothing
  uint32_t count = 0;       // extents that touch, in address order
  uint64_t bytes = 0;       // from the address asked about; what the answer is about

  PinHandle handle() const { return first->handle; }  // of the first
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_EXTENT_H_
