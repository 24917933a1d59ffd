#include "core/memory/extent_table.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace slipway {
namespace {

constexpr size_t kFirstSlots = 16;
constexpr int kLooks = 8;

}  // namespace

ExtentTable::ExtentTable() {
  all_.push_back(std::make_unique<Slots>(kFirstSlots));
  current_.store(all_.back().get());
}

// All loads are at least acquire, so that the sequence is read last: a value that a change wrote after the first look
// at the sequence makes the second one differ.
bool ExtentTable::Find(uint64_t addr, Found* found) const {
  constexpr auto kAcquire = std::memory_order_acquire;
  for (int look = 0; look < kLooks; ++look) {
    const uint64_t before = sequence_.load(kAcquire);
    if ((before & 1) != 0) continue;
    const Slots* const table = current_.load(kAcquire);
    const Slot* const slots = table->slots.get();
    // The last grid that begins at or before the address.
    size_t low = 0, high = table->count.load(kAcquire);
    const size_t count = high;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (slots[middle].begin.load(kAcquire) <= addr) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    Found out;
    if (low > 0) {
      const Slot& slot = slots[low - 1];
      out.grid = {slot.begin.load(kAcquire), slot.end.load(kAcquire), slot.extents.load(kAcquire),
                  slot.first_chunk.load(kAcquire), slot.shift.load(kAcquire)};
    }
    const uint64_t next = low < count ? slots[low].begin.load(kAcquire) : 0;
    // What was read is of one state of the table, and may be used to find the extent; its storage is never freed, so
    // its word may be read, and then only counts if the table is still the same.
    if (sequence_.load(std::memory_order_relaxed) != before) continue;
    if (out.grid.extents != nullptr && addr < out.grid.end) {
      out.extent = out.grid.At(addr);
      out.bytes = out.grid.BytesIn(addr);
      out.word = out.extent->word.load(kAcquire);
      if (sequence_.load(std::memory_order_relaxed) != before) continue;
    } else {
      out.bytes = low < count ? next - addr : UINT64_MAX;
    }
    *found = out;
    return true;
  }
  return false;
}

void ExtentTable::Replace(const std::vector<ExtentGrid>& grids) {
  Slots* table = current_.load(std::memory_order_relaxed);
  if (table->capacity < grids.size()) {
    all_.push_back(std::make_unique<Slots>(std::bit_ceil(grids.size())));
    table = all_.back().get();
  }
  // Sequentially consistent: a reader that sees any of what follows sees the odd number as well.
  sequence_.fetch_add(1);
  for (size_t i = 0; i < grids.size(); ++i) {
    Slot& slot = table->slots[i];
    slot.begin.store(grids[i].begin, std::memory_order_release);
    slot.end.store(grids[i].end, std::memory_order_release);
    slot.extents.store(grids[i].extents, std::memory_order_release);
    slot.first_chunk.store(grids[i].first_chunk, std::memory_order_release);
    slot.shift.store(grids[i].shift, std::memory_order_release);
  }
  table->count.store(grids.size(), std::memory_order_release);
  current_.store(table, std::memory_order_release);
  sequence_.fetch_add(1);
}

Extent* ExtentStore::Take(uint64_t count) {
  const uint64_t size = std::bit_ceil(count);
  std::vector<Extent*>& free = free_[static_cast<size_t>(std::bit_width(size) - 1)];
  if (free.empty()) {
    all_.push_back(std::make_unique<Extent[]>(size));
    return all_.back().get();
  }
  Extent* const extents = free.back();
  free.pop_back();
  return extents;
}

void ExtentStore::GiveBack(Extent* extents, uint64_t count) {
  const uint64_t size = std::bit_ceil(count);
  for (uint64_t i = 0; i < count; ++i) {
    Extent& e = extents[i];
    const uint64_t word = e.word.load(std::memory_order_relaxed);
    assert(ExtentWord::LeasesOf(word) == 0);
    e.word.store(ExtentWord::With(ExtentWord::NextGeneration(word), ExtentWord::kAbsent) & ~ExtentWord::kClosing);
    e.keep_until_ns = e.retry_ns = 0;
    e.copied_ns = e.copied_end = e.copied_cost_ns = 0;
  }
  free_[static_cast<size_t>(std::bit_width(size) - 1)].push_back(extents);
}

}  // namespace slipway
