#include "core/store/allocator.h"

#include <algorithm>
#include <bit>
#include <vector>

namespace slipway {
namespace {

// How many blocks of the bin just below are tried, whose blocks may or may not be long enough.
constexpr int kLooks = 8;

}  // namespace

Allocator::Allocator(uint64_t bytes) : total_(bytes / kGranuleBytes) {
  for (auto& level : heads_) level.fill(kNone);
  if (total_ == 0) return;
  const uint32_t all = NewBlock();
  blocks_[all].length = total_;
  Link(all);
}

// Level 0 holds lengths below kSubdivisions, each in a bin of its own; level n those of kSubdivisionBits + n bits.
Allocator::Bin Allocator::BinOf(uint64_t granules) {
  if (granules < kSubdivisions) return {0, static_cast<uint32_t>(granules)};
  const auto bits = static_cast<uint32_t>(std::bit_width(granules));
  const uint32_t shift = bits - 1 - kSubdivisionBits;
  return {bits - kSubdivisionBits, static_cast<uint32_t>(granules >> shift) & (kSubdivisions - 1)};
}

Allocator::Bin Allocator::BinToSearch(uint64_t granules) {
  if (granules < kSubdivisions) return BinOf(granules);
  const auto bits = static_cast<uint32_t>(std::bit_width(granules));
  const uint64_t step = uint64_t{1} << (bits - 1 - kSubdivisionBits);
  return BinOf(granules + step - 1);
}

uint32_t Allocator::FindFrom(Bin bin) const {
  if (bin.level >= kLevels) return kNone;
  uint32_t parts = part_masks_[bin.level] & (~uint32_t{0} << bin.part);
  uint32_t level = bin.level;
  if (parts == 0) {
    const uint64_t levels = bin.level + 1 >= 64 ? 0 : level_mask_ & (~uint64_t{0} << (bin.level + 1));
    if (levels == 0) return kNone;
    level = static_cast<uint32_t>(std::countr_zero(levels));
    parts = part_masks_[level];
  }
  return heads_[level][static_cast<uint32_t>(std::countr_zero(parts))];
}

uint32_t Allocator::FindIn(Bin bin, uint64_t granules) const {
  uint32_t at = heads_[bin.level][bin.part];
  for (int looks = 0; looks < kLooks && at != kNone; ++looks, at = blocks_[at].next) {
    if (blocks_[at].length >= granules) return at;
  }
  return kNone;
}

std::optional<Allocator::Range> Allocator::Allocate(uint64_t bytes) {
  const uint64_t granules = std::max<uint64_t>(Granules(bytes), 1);
  if (granules > total_ - used_) return std::nullopt;
  uint32_t found = FindFrom(BinToSearch(granules));
  // A block of nearly all there is lies in the bin below, where it would otherwise never be found.
  if (found == kNone) found = FindIn(BinOf(granules), granules);
  if (found == kNone) return std::nullopt;
  Unlink(found);
  if (blocks_[found].length > granules) {
    const uint32_t rest = NewBlock();  // may move no block: a deque
    Block& taken = blocks_[found];
    Block& left = blocks_[rest];
    left.begin = taken.begin + granules;
    left.length = taken.length - granules;
    left.before = found;
    left.after = taken.after;
    if (taken.after != kNone) blocks_[taken.after].before = rest;
    taken.after = rest;
    taken.length = granules;
    Link(rest);
  }
  used_ += granules;
  return Range{blocks_[found].begin * kGranuleBytes, found};
}

void Allocator::Free(uint32_t index) {
  used_ -= blocks_[index].length;
  const uint32_t after = blocks_[index].after;
  if (after != kNone && blocks_[after].free) {
    Unlink(after);
    blocks_[index].length += blocks_[after].length;
    blocks_[index].after = blocks_[after].after;
    if (blocks_[index].after != kNone) blocks_[blocks_[index].after].before = index;
    Drop(after);
  }
  const uint32_t before = blocks_[index].before;
  if (before != kNone && blocks_[before].free) {
    Unlink(before);
    blocks_[before].length += blocks_[index].length;
    blocks_[before].after = blocks_[index].after;
    if (blocks_[before].after != kNone) blocks_[blocks_[before].after].before = before;
    Drop(index);
    index = before;
  }
  Link(index);
}

void Allocator::Link(uint32_t index) {
  Block& block = blocks_[index];
  const Bin bin = BinOf(block.length);
  uint32_t& head = heads_[bin.level][bin.part];
  block.free = true;
  block.previous = kNone;
  block.next = head;
  if (head != kNone) blocks_[head].previous = index;
  head = index;
  part_masks_[bin.level] |= uint32_t{1} << bin.part;
  level_mask_ |= uint64_t{1} << bin.level;
}

void Allocator::Unlink(uint32_t index) {
  Block& block = blocks_[index];
  const Bin bin = BinOf(block.length);
  if (block.previous != kNone) {
    blocks_[block.previous].next = block.next;
  } else {
    heads_[bin.level][bin.part] = block.next;
  }
  if (block.next != kNone) blocks_[block.next].previous = block.previous;
  block.previous = block.next = kNone;
  block.free = false;
  if (heads_[bin.level][bin.part] != kNone) return;
  part_masks_[bin.level] &= ~(uint32_t{1} << bin.part);
  if (part_masks_[bin.level] == 0) level_mask_ &= ~(uint64_t{1} << bin.level);
}

uint32_t Allocator::NewBlock() {
  if (unused_ == kNone) {
    blocks_.emplace_back();
    return static_cast<uint32_t>(blocks_.size() - 1);
  }
  const uint32_t index = unused_;
  unused_ = blocks_[index].next;
  blocks_[index] = Block();
  return index;
}

void Allocator::Drop(uint32_t index) {
  blocks_[index] = Block();
  blocks_[index].next = unused_;
  unused_ = index;
}

uint64_t Allocator::LargestFreeBytes() const {
  if (level_mask_ == 0) return 0;
  const auto level = static_cast<uint32_t>(63 - std::countl_zero(level_mask_));
  const auto part = static_cast<uint32_t>(31 - std::countl_zero(part_masks_[level]));
  uint64_t largest = 0;
  for (uint32_t at = heads_[level][part]; at != kNone; at = blocks_[at].next) {
    largest = std::max(largest, blocks_[at].length);
  }
  return largest * kGranuleBytes;
}

uint64_t Allocator::LargestFreeBytesWithout(std::span<const uint32_t> blocks) const {
  if (total_ == 0) return 0;
  std::vector<bool> gone(blocks_.size());
  for (const uint32_t index : blocks) {
    if (index < gone.size()) gone[index] = true;
  }
  uint64_t largest = 0, run = 0;
  // The block at the beginning is always the first that was made: the lower part of a block keeps its number.
  for (uint32_t at = 0; at != kNone; at = blocks_[at].after) {
    run = blocks_[at].free || gone[at] ? run + blocks_[at].length : 0;
    largest = std::max(largest, run);
  }
  return largest * kGranuleBytes;
}

bool Allocator::Consistent() const {
  uint64_t free_in_lists = 0, blocks_in_lists = 0;
  for (uint32_t level = 0; level < kLevels; ++level) {
    if (((level_mask_ >> level) & 1) != (part_masks_[level] != 0 ? 1 : 0)) return false;
    for (uint32_t part = 0; part < kSubdivisions; ++part) {
      if (((part_masks_[level] >> part) & 1) != (heads_[level][part] != kNone ? 1u : 0u)) return false;
      uint32_t previous = kNone;
      for (uint32_t at = heads_[level][part]; at != kNone; previous = at, at = blocks_[at].next) {
        const Bin bin = BinOf(blocks_[at].length);
        if (!blocks_[at].free || blocks_[at].previous != previous || bin.level != level || bin.part != part)
          return false;
        free_in_lists += blocks_[at].length;
        ++blocks_in_lists;
      }
    }
  }
  if (total_ == 0) return true;
  uint32_t at = 0;
  uint64_t begin = 0, free_in_chain = 0, free_blocks = 0;
  for (uint32_t before = kNone; at != kNone; before = at, at = blocks_[at].after) {
    const Block& block = blocks_[at];
    if (block.begin != begin || block.before != before || block.length == 0) return false;
    if (block.free && before != kNone && blocks_[before].free) return false;
    begin += block.length;
    free_in_chain += block.free ? block.length : 0;
    free_blocks += block.free ? 1 : 0;
  }
  return begin == total_ && free_in_chain == free_in_lists && free_blocks == blocks_in_lists &&
         free_in_chain == total_ - used_;
}

}  // namespace slipway
