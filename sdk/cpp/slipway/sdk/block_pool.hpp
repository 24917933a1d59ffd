// Blocks of one size for a structure that keeps many of them: next to each other, and on huge pages once they fill
// some, so that reaching one at random misses the cache but not the translation of addresses as well.
#ifndef SLIPWAY_SDK_BLOCK_POOL_HPP_
#define SLIPWAY_SDK_BLOCK_POOL_HPP_

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <vector>

namespace slipway::sdk {

// Memory for objects of type T. Not thread-safe. It goes back to the system all at once, at Clear() or the end; blocks
// given back before that are taken again.
template <typename T>
class BlockPool {
 public:
  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool() { Clear(); }

  bool empty() const { return chunks_.empty(); }  // has no memory
  // Makes the next `count` calls of Take() succeed. Throws std::bad_alloc, and then nothing has changed but that some
  // of them will.
  void Reserve(size_t count) {
    while (spare_ < count) Grow();
  }
  // A new T{}, which the caller has reserved. Valid until Give() or Clear().
  T* Take() {
    assert(spare_ > 0);
    --spare_;
    if (fresh_ != fresh_end_) return new (fresh_++) T{};
    Free* const block = free_;
    free_ = block->next;
    return new (block) T{};
  }
  void Give(T* block) {
    free_ = new (block) Free{free_};
    ++spare_;
  }
  void Clear() {
    for (const Chunk& chunk : chunks_) {
      if (chunk.bytes == kHugePageBytes) {
        (void)munmap(chunk.memory, chunk.bytes);
      } else {
        ::operator delete (chunk.memory, std::align_val_t{alignof(T)});
      }
    }
    chunks_.clear();
    free_ = nullptr;
    fresh_ = fresh_end_ = nullptr;
    spare_ = bytes_ = 0;
  }

 private:
  static constexpr size_t kHugePageBytes = size_t{2} << 20;

  struct Free {
    Free* next;
  };
  struct Chunk {
    void* memory;
    size_t bytes;
  };
  static_assert(std::is_trivially_destructible_v<T> && sizeof(T) >= sizeof(Free) && alignof(T) >= alignof(Free));
  static_assert(sizeof(T) <= kHugePageBytes / 2);

  // As much again as there is, a huge page at most.
  void Grow() {
    const size_t bytes = std::clamp(bytes_, sizeof(T), kHugePageBytes);
    chunks_.reserve(chunks_.size() + 1);
    void* const memory = bytes == kHugePageBytes ? MapHugePage() : ::operator new (bytes, std::align_val_t{alignof(T)});
    chunks_.push_back({memory, bytes});
    // What is left of the chunk before was reserved.
    while (fresh_ != fresh_end_) free_ = new (fresh_++) Free{free_};
    fresh_ = static_cast<T*>(memory);
    fresh_end_ = fresh_ + bytes / sizeof(T);
    spare_ += bytes / sizeof(T);
    bytes_ += bytes;
  }
  // Not from the heap, whose memory has been touched and so has its small pages already.
  static void* MapHugePage() {
    void* const memory = mmap(nullptr, 2 * kHugePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    char* const begin = static_cast<char*>(memory);
    const size_t before = -reinterpret_cast<uintptr_t>(memory) % kHugePageBytes;
    char* const page = begin + before;
    if (before > 0) (void)munmap(begin, before);
    (void)munmap(page + kHugePageBytes, kHugePageBytes - before);
#ifdef MADV_HUGEPAGE
    (void)madvise(page, kHugePageBytes, MADV_HUGEPAGE);  // where it is refused, it is slower
#endif
    return page;
  }

  std::vector<Chunk> chunks_;
  Free* free_ = nullptr;  // given back
  T* fresh_ = nullptr;    // never taken yet
  T* fresh_end_ = nullptr;
  size_t spare_ = 0;  // of both
  size_t bytes_ = 0;  // of all chunks
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_BLOCK_POOL_HPP_
