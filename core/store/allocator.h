// Space within a segment: which ranges are taken.
//
// Two-level segregated fit (Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for real-time
// systems", ECRTS 2004): free blocks are kept in lists by size, a power of two cut into kSubdivisions, and two levels
// of bit masks find the first list whose every block is long enough. Taking and giving back cost the same however many
// blocks there are, and neighbours are merged at once, so that what is wasted stays bounded. The book-keeping lies
// beside the segment, not in it: its memory may be slow, or somebody else's to write to.
#ifndef SLIPWAY_CORE_STORE_ALLOCATOR_H_
#define SLIPWAY_CORE_STORE_ALLOCATOR_H_

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>

namespace slipway {

// Not thread-safe: its segment's lock guards it.
class Allocator {
 public:
  static constexpr uint64_t kGranuleBytes = 64;
  static constexpr uint32_t kNone = UINT32_MAX;

  // Of [0, bytes); what is beyond the last whole granule is not used.
  explicit Allocator(uint64_t bytes);

  struct Range {
    uint64_t offset = 0;     // a multiple of kGranuleBytes
    uint32_t block = kNone;  // to give it back by
  };
  // At least `bytes`, of 1 or more; nothing where no free range is found that is long enough.
  std::optional<Range> Allocate(uint64_t bytes);
  void Free(uint32_t block);

  uint64_t total_bytes() const { return total_ * kGranuleBytes; }
  uint64_t used_bytes() const { return used_ * kGranuleBytes; }  // in whole granules
  uint64_t LargestFreeBytes() const;
  // The longest free range that there would be without `blocks`, each once. Looks at every block.
  uint64_t LargestFreeBytesWithout(std::span<const uint32_t> blocks) const;
  // What a value of `bytes` takes away from the free bytes.
  static uint64_t Charge(uint64_t bytes) { return Granules(bytes) * kGranuleBytes; }
  // Whether the lists, the masks and the chain of neighbours agree. For tests; looks at every block.
  bool Consistent() const;

 private:
  static constexpr uint32_t kSubdivisionBits = 5;
  static constexpr uint32_t kSubdivisions = 1u << kSubdivisionBits;
  static constexpr uint32_t kLevels = 52;  // enough for 2^57 bytes

  struct Block {
    uint64_t begin = 0, length = 0;           // granules
    uint32_t before = kNone, after = kNone;   // neighbours in the segment
    uint32_t previous = kNone, next = kNone;  // in its free list; `next` also chains unused entries of blocks_
    bool free = false;
  };
  struct Bin {
    uint32_t level = 0, part = 0;
  };

  static uint64_t Granules(uint64_t bytes) { return bytes / kGranuleBytes + (bytes % kGranuleBytes != 0 ? 1 : 0); }
  static Bin BinOf(uint64_t granules);
  // The first bin all of whose blocks hold `granules`.
  static Bin BinToSearch(uint64_t granules);
  uint32_t FindFrom(Bin bin) const;
  uint32_t FindIn(Bin bin, uint64_t granules) const;
  void Link(uint32_t index);
  void Unlink(uint32_t index);
  uint32_t NewBlock();
  void Drop(uint32_t index);

  const uint64_t total_;
  uint64_t used_ = 0;
  std::deque<Block> blocks_;
  uint32_t unused_ = kNone;
  uint64_t level_mask_ = 0;
  std::array<uint32_t, kLevels> part_masks_{};
  std::array<std::array<uint32_t, kSubdivisions>, kLevels> heads_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_ALLOCATOR_H_
