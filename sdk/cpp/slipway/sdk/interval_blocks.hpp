// What the tree of interval_map.hpp consists of. Laid out by what a lookup reads: at random among many, what counts is
// how many cache lines it waits for one after another, and how much memory they are spread over.
#ifndef SLIPWAY_SDK_INTERVAL_BLOCKS_HPP_
#define SLIPWAY_SDK_INTERVAL_BLOCKS_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "slipway/abi/memory.h"

namespace slipway::sdk::detail {

// What orders ranges. Those with the same start are told apart by where their nodes lie, so that one can be found
// again.
struct IndexKey {
  uint64_t start;
  uintptr_t node;
};

// The start of a free place. Nothing starts at the last address, since it ends behind its start.
inline constexpr uint64_t kNoStart = UINT64_MAX;
// Of the access rights, every combination.
inline constexpr uint32_t kAccessMasks = SLIPWAY_ACCESS_ALL + 1;
// Of a range's node, whose alignment leaves them free for its access.
inline constexpr uintptr_t kAccessBits = SLIPWAY_ACCESS_ALL;

// Both kinds of blocks are arrays of so many entries: those that there are, by ascending key, and then free places.
// With half as many, the blocks above the leaves of a million ranges are more than what a core's own cache holds.
inline constexpr uint32_t kBlockEntries = 32;

struct alignas(64) IndexLeaf {
  static constexpr uint32_t kCapacity = kBlockEntries;
  uint64_t start[kCapacity];
  uint64_t end[kCapacity] = {};    // free: 0
  uintptr_t node[kCapacity] = {};  // and its access in the low bits; free: 0
  IndexLeaf() { std::fill_n(start, kCapacity, kNoStart); }

  uint32_t count() const;
  uintptr_t NodeAt(uint32_t i) const { return node[i] & ~kAccessBits; }
  // 0 where it does not grant all of `access`, or is free.
  uint64_t EndAt(uint32_t i, uint32_t access) const { return (node[i] & access) == access ? end[i] : 0; }
  uint64_t MaxEnd(uint32_t access) const {
    uint64_t max = 0;
    for (uint32_t i = 0; i < kCapacity; ++i) max = std::max(max, EndAt(i, access));
    return max;
  }
};

// Everything below child i has a key of at least (start[i], node[i]) and less than that of i + 1. The first of the
// whole tree is (0, 0).
struct alignas(64) IndexInner {
  static constexpr uint32_t kCapacity = kBlockEntries;
  // What a lookup that succeeds does not read stands elsewhere: the rest of a million ranges is of megabytes.
  struct alignas(64) Rest {
    uintptr_t node[kCapacity] = {};
    // By access mask q, the largest end below child i among the ranges that grant all of q; 0 where there is none.
    uint64_t max_end[kAccessMasks][kCapacity] = {};
  };
  uint64_t start[kCapacity];
  void* child[kCapacity] = {};  // IndexInner or IndexLeaf; free: NULL
  Rest* rest = nullptr;
  uint32_t used = 0;
  IndexInner() { std::fill_n(start, kCapacity, kNoStart); }

  uint32_t count() const { return used; }
  uintptr_t NodeAt(uint32_t i) const { return rest->node[i]; }
  uint64_t MaxEnd(uint32_t access) const {
    return *std::max_element(rest->max_end[access], rest->max_end[access] + kCapacity);
  }
};

// How many of eight starts are at most `addr`. Counts instead of searching: there is no branch to mispredict.
inline uint32_t AtMostOf8(const uint64_t* start, uint64_t addr) {
  return uint32_t{start[0] <= addr} + (start[1] <= addr) + (start[2] <= addr) + (start[3] <= addr) +
         (start[4] <= addr) + (start[5] <= addr) + (start[6] <= addr) + (start[7] <= addr);
}
// How many of a block's are: of the four lines the one where the answer is, and then in that.
inline uint32_t AtMost(const uint64_t (&start)[kBlockEntries], uint64_t addr) {
  static_assert(kBlockEntries == 32);
  const uint32_t before = 8 * (uint32_t{start[7] <= addr} + (start[15] <= addr) + (start[23] <= addr));
  return before + AtMostOf8(start + before, addr);
}
inline uint32_t IndexLeaf::count() const { return AtMost(start, kNoStart - 1); }
// How many of its keys are at most `key`.
template <typename Block>
uint32_t AtMost(const Block& block, IndexKey key) {
  uint32_t n = AtMost(block.start, key.start);
  while (n > 0 && block.start[n - 1] == key.start && block.NodeAt(n - 1) > key.node) --n;
  return n;
}

// Makes room at `i`; the last place is free.
template <typename T, size_t kCount>
void OpenAt(T (&array)[kCount], uint32_t i) {
  std::copy_backward(array + i, array + kCount - 1, array + kCount);
}
// Closes the gap at `i`.
template <typename T, size_t kCount>
void CloseAt(T (&array)[kCount], uint32_t i, T free) {
  std::copy(array + i + 1, array + kCount, array + i);
  array[kCount - 1] = free;
}

// Moves the last `count` of what there is in one to the end of what there is in the other.
template <typename T, size_t kCount>
void MoveLast(T (&from)[kCount], uint32_t first, uint32_t count, T (&to)[kCount], uint32_t at, T free) {
  std::copy_n(from + first, count, to + at);
  std::fill_n(from + first, count, free);
}
inline void MoveLast(IndexLeaf& from, uint32_t count, IndexLeaf& to) {
  const uint32_t first = from.count() - count, at = to.count();
  MoveLast(from.start, first, count, to.start, at, kNoStart);
  MoveLast(from.end, first, count, to.end, at, uint64_t{0});
  MoveLast(from.node, first, count, to.node, at, uintptr_t{0});
}
inline void MoveLast(IndexInner& from, uint32_t count, IndexInner& to) {
  const uint32_t first = from.used - count, at = to.used;
  MoveLast(from.start, first, count, to.start, at, kNoStart);
  MoveLast(from.child, first, count, to.child, at, static_cast<void*>(nullptr));
  MoveLast(from.rest->node, first, count, to.rest->node, at, uintptr_t{0});
  for (uint32_t q = 0; q < kAccessMasks; ++q) {
    MoveLast(from.rest->max_end[q], first, count, to.rest->max_end[q], at, uint64_t{0});
  }
  from.used -= count;
  to.used += count;
}

}  // namespace slipway::sdk::detail

#endif  // SLIPWAY_SDK_INTERVAL_BLOCKS_HPP_
