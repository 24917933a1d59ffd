#include "core/memory/staging_pool.h"

#include <cassert>
#include <string>
#include <utility>

#include "core/base/bytes.h"

namespace slipway {

Result<std::unique_ptr<StagingPool>> StagingPool::Create(uint64_t bytes, int32_t numa_node) {
  bytes = RoundUp(bytes, kGranuleBytes);
  Result<HugeMemory> memory = HugeMemory::Create(bytes, numa_node);
  if (!memory.ok()) {
    return Status(SLIPWAY_E_NOMEM,
                  "no memory for a staging pool of " + FormatSize(bytes) + ": set memory.staging.bytes to less");
  }
  return std::unique_ptr<StagingPool>(new StagingPool(std::move(*memory), bytes));
}

StagingPool::StagingPool(HugeMemory memory, uint64_t bytes)
    : memory_(std::move(memory)), base_(memory_.base()), bytes_(bytes), blocks_(bytes / kGranuleBytes) {}

uint64_t StagingPool::used_bytes() const {
  MutexLock lock(mutex_);
  return used_bytes_;
}

void StagingPool::AddListener(const void* who, std::function<void()> freed) {
  MutexLock lock(mutex_);
  listeners_.push_back({who, std::move(freed)});
}

void StagingPool::Expect(const void* who, bool expects) {
  MutexLock lock(mutex_);
  for (Listener& l : listeners_) {
    if (l.who == who) l.expects = expects;
  }
}

StagingBlock* StagingPool::Allocate(uint64_t bytes) {
  if (bytes == 0 || bytes > bytes_) return nullptr;
  MutexLock lock(mutex_);
  const uint64_t want = RoundUp(bytes, kGranuleBytes) / kGranuleBytes;
  const uint64_t count = blocks_.size();
  if (bytes_ - used_bytes_ < want * kGranuleBytes) return nullptr;
  // Next fit: from where the last search ended to the end, then from the start. Blocks are skipped whole.
  for (int pass = 0; pass < 2; ++pass) {
    uint64_t run = 0;
    for (uint64_t i = pass == 0 ? next_ : 0; i < count;) {
      if (blocks_[i].bytes != 0) {
        i += blocks_[i].bytes / kGranuleBytes;
        run = 0;
        continue;
      }
      ++i;
      if (++run < want) continue;
      StagingBlock& block = blocks_[i - want];
      block = {(i - want) * kGranuleBytes, want * kGranuleBytes, 0, 0, true};
      used_bytes_ += block.bytes;
      next_ = i == count ? 0 : i;
      return &block;
    }
  }
  return nullptr;
}

// Where in the block the next piece would begin.
uint64_t StagingPool::PieceOffset(const StagingBlock& block, uint64_t align) const {
  const uint64_t begin = reinterpret_cast<uint64_t>(base_) + block.offset;
  return RoundUp(begin + block.used, align < kPieceAlign ? kPieceAlign : align) - begin;
}

uint64_t StagingPool::RoomIn(const StagingBlock& block, uint64_t align) const {
  const uint64_t at = PieceOffset(block, align);
  return at < block.bytes ? block.bytes - at : 0;
}

char* StagingPool::Cut(StagingBlock* block, uint64_t bytes, uint64_t align) {
  assert(block->open);
  if (bytes > RoomIn(*block, align)) return nullptr;
  const uint64_t at = PieceOffset(*block, align);
  block->used = at + bytes;
  ++block->pieces;
  return base_ + block->offset + at;
}

bool StagingPool::GiveBack(StagingBlock* block) {
  assert(block->pieces > 0);
  --block->pieces;
  return FreeIfDone(block);
}

bool StagingPool::Close(StagingBlock* block) {
  block->open = false;
  return FreeIfDone(block);
}

bool StagingPool::FreeIfDone(StagingBlock* block) {
  if (block->open || block->pieces > 0) return false;
  MutexLock lock(mutex_);
  used_bytes_ -= block->bytes;
  // Searches start at a block's first granule or at a free one, so a freed block's granules must all look free again;
  // those inside it always did.
  block->bytes = 0;
  // next_ may point into what was this block's inside: harmless, every granule there is free now.
  for (const Listener& l : listeners_) {
    if (l.expects) l.freed();
  }
  return true;
}

}  // namespace slipway
