#include "plugins/cuda/ring.h"

#include <sys/mman.h>

#include <new>

#include "plugins/cuda/pointers.h"

namespace slipway::cuda {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

constexpr uint64_t kBlockBytes = Block::kPieces * sizeof(KernelPiece);
constexpr uint64_t kPartListBytes = Chunk::kPartsMax * sizeof(KernelPiece);
// Flags lie in lines of their own.
constexpr uint64_t kFlags = 256, kFlagBytes = 64;

}  // namespace

Ring::~Ring() {
  if (memory_ == nullptr) return;
  {
    const ThreadGuard guard(driver_, context_);
    driver_.MemHostUnregister(memory_);
  }
  host_.Dealloc(memory_, pinned_bytes_);
  host_.PinUncharge(pinned_bytes_);
}

bool Ring::Pin(Context context, uint64_t bytes, int32_t numa, std::string& why) {
  if (host_.PinCharge(bytes) != SLIPWAY_OK) {
    why = "the pin budget has no room for it";
    return false;
  }
  void* const memory = host_.Alloc(bytes, kHugePage, numa);
  if (memory != nullptr) {
    madvise(memory, bytes, MADV_HUGEPAGE);  // fewer translations for the copying threads; as well without
    const ThreadGuard guard(driver_, context);
    const Result r = driver_.MemHostRegister(memory, bytes, kHostRegisterPortable | kHostRegisterDevicemap);
    if (r == kSuccess) {
      memory_ = static_cast<char*>(memory);
      context_ = context;
      const OwnPins none;
      RunCache runs(driver_, none);
      delta_ = runs.FindHost(reinterpret_cast<uintptr_t>(memory), 1).delta;
      pinned_bytes_ = bytes;
      return true;
    }
    why = "cuMemHostRegister: " + driver_.Describe(r);
    host_.Dealloc(memory, bytes);
  } else {
    why = "there is no memory for it";
  }
  host_.PinUncharge(bytes);
  return false;
}

void Ring::Open(Context context, int32_t numa, std::string& why) {
  const uint64_t count = config_.ring_bytes / config_.ring_chunk_bytes;
  const uint64_t data = count * config_.ring_chunk_bytes;
  const uint64_t lists = data + count * kPartListBytes, flags = lists + kBlocks * kBlockBytes;
  const uint64_t all = (flags + kFlags * kFlagBytes + kHugePage - 1) / kHugePage * kHugePage;
  const bool pinned = count > 0 && Pin(context, all, numa, why);
  MakeBlocks(pinned ? memory_ + lists : nullptr);
  if (!pinned) return;
  MakeFlags(memory_ + flags);
  chunks_ = std::vector<Chunk>(count);
  for (uint64_t i = 0; i < count; ++i) {
    Chunk& c = chunks_[i];
    c.memory = memory_ + i * config_.ring_chunk_bytes;
    c.pieces = reinterpret_cast<KernelPiece*>(memory_ + data + i * kPartListBytes);
    c.address = reinterpret_cast<uintptr_t>(c.memory) + delta_;
    c.pieces_address = reinterpret_cast<uintptr_t>(c.pieces) + delta_;
    c.parts = std::make_unique<Part[]>(Chunk::kPartsMax);
  }
}

void Ring::MakeBlocks(char* pinned) {
  if (pinned == nullptr) unpinned_ = std::make_unique<KernelPiece[]>(size_t{kBlocks} * Block::kPieces);
  blocks_ = std::vector<Block>(kBlocks);
  for (uint32_t i = 0; i < kBlocks; ++i) {
    Block& b = blocks_[i];
    b.pieces = pinned != nullptr ? reinterpret_cast<KernelPiece*>(pinned + i * kBlockBytes)
                                 : &unpinned_[size_t{i} * Block::kPieces];
    b.address = pinned != nullptr ? reinterpret_cast<uintptr_t>(b.pieces) + delta_ : 0;
    GiveBlock(&b);
  }
}

void Ring::MakeFlags(char* pinned) {
  MutexLock lock(mutex_);
  for (uint64_t i = 0; i < kFlags; ++i) {
    auto* const word = new (pinned + i * kFlagBytes) std::atomic<uint32_t>(0);
    flags_.push_back({word, reinterpret_cast<uintptr_t>(word) + delta_});
  }
}

Flag Ring::TakeFlag() {
  MutexLock lock(mutex_);
  if (flags_.empty()) return {};
  const Flag flag = flags_.back();
  flags_.pop_back();
  flag.word->store(0);
  return flag;
}

void Ring::GiveFlag(const Flag& flag) {
  MutexLock lock(mutex_);
  flags_.push_back(flag);
}

Block* Ring::TakeBlock() {
  MutexLock lock(mutex_);
  Block* const block = free_;
  if (block != nullptr) free_ = block->next;
  return block;
}

void Ring::GiveBlock(Block* block) {
  MutexLock lock(mutex_);
  block->next = free_;
  free_ = block;
}

}  // namespace slipway::cuda
