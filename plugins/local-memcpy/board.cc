#include "plugins/local-memcpy/board.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace slipway::local_memcpy {

std::unique_ptr<OwnBoard> OwnBoard::Make() {
  Fd file = NewSharedFile("slipway-board", sizeof(Board));
  if (!file) return nullptr;
  Mapping mapping(file.get(), sizeof(Board), true);
  // From here on whoever is sent the descriptor can read the board and no more.
  if (!mapping || !SealWriting(file.get())) return nullptr;
  return std::unique_ptr<OwnBoard>(new OwnBoard(std::move(file), std::move(mapping)));
}

void OwnBoard::Begin() {
  // When a thread ends, however it does, the kernel goes through the list that the thread once gave it and marks each
  // word there that still holds the thread's id.
  head_.list.next = &entry_;
  entry_.next = &head_.list;
  head_.futex_offset = reinterpret_cast<char*>(&board().life) - reinterpret_cast<char*>(&entry_);
  syscall(SYS_set_robust_list, &head_, sizeof(head_));
  board().life.store(static_cast<uint32_t>(syscall(SYS_gettid)), std::memory_order_release);
}

void OwnBoard::Leave() {
  End();
  head_.list.next = &head_.list;
}

uint32_t OwnBoard::Open(uint64_t registration) {
  MutexLock lock(mutex_);
  uint32_t slot = kNoSlot;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else if (next_ < kSlots) {
    if (free_.capacity() <= next_) free_.reserve(2 * next_ + 64);  // so that Free() cannot fail
    slot = next_++;
  }
  if (slot != kNoSlot) Reopen(slot, registration);
  return slot;
}

void OwnBoard::Free(uint32_t slot) {
  MutexLock lock(mutex_);
  free_.push_back(slot);
}

}  // namespace slipway::local_memcpy
