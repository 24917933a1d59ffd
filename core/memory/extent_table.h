// Where an address lies in the grids of one pinner's regions. Read without a lock while it changes.
#ifndef SLIPWAY_CORE_MEMORY_EXTENT_TABLE_H_
#define SLIPWAY_CORE_MEMORY_EXTENT_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/memory/extent.h"

namespace slipway {

// A part of one region's grid: chunks of 1 << shift bytes, at multiples of that, over [begin, end).
struct ExtentGrid {
  uint64_t begin = 0, end = 0;
  Extent* extents = nullptr;  // that of chunk `first_chunk` is the first
  uint64_t first_chunk = 0;
  uint32_t shift = 0;

  Extent* At(uint64_t addr) const { return extents + ((addr >> shift) - first_chunk); }
  // From the address to the end of its chunk, or of the grid.
  uint64_t BytesIn(uint64_t addr) const {
    const uint64_t chunk_left = (uint64_t{1} << shift) - (addr & ((uint64_t{1} << shift) - 1));
    return chunk_left < end - addr ? chunk_left : end - addr;
  }
};

// A sorted array of disjoint grids under a sequence lock: a reader that meets a change looks again. What it read may be
// out of date when it uses it; the generation in the extent's word shows that.
class ExtentTable {
 public:
  struct Found {
    Extent* extent = nullptr;  // null: in no grid
    uint64_t word = 0;         // of the extent, read before the table was seen to be unchanged
    uint64_t bytes = 0;        // to the end of the extent, or of the gap; UINT64_MAX: no grid follows
    ExtentGrid grid;
  };

  ExtentTable();
  // Any thread. False: it changed at every look; take the lock that changes are made under, and look again.
  bool Find(uint64_t addr, Found* found) const;
  // One thread at a time. `grids` are sorted and disjoint.
  void Replace(const std::vector<ExtentGrid>& grids);

 private:
  struct Slot {
    std::atomic<uint64_t> begin{0}, end{0}, first_chunk{0};
    std::atomic<Extent*> extents{nullptr};
    std::atomic<uint32_t> shift{0};
  };
  struct Slots {
    explicit Slots(size_t n) : capacity(n), slots(new Slot[n]) {}
    const size_t capacity;
    std::atomic<size_t> count{0};
    const std::unique_ptr<Slot[]> slots;
  };

  std::atomic<uint64_t> sequence_{0};  // odd: being changed
  std::atomic<Slots*> current_;
  // Readers may look at any of these for as long as the table lives; each is twice as long as the one before.
  std::vector<std::unique_ptr<Slots>> all_;
};

// Arrays of extents, used again by size. Not thread-safe.
class ExtentStore {
 public:
  Extent* Take(uint64_t count);
  // Every extent is ABSENT and not leased.
  void GiveBack(Extent* extents, uint64_t count);

 private:
  std::vector<std::unique_ptr<Extent[]>> all_;
  std::array<std::vector<Extent*>, 64> free_;  // by the bit width of the count
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_EXTENT_TABLE_H_
