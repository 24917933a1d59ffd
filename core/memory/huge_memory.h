// Memory for what is going to be pinned: in huge pages where the system has them, since each page costs when it is
// pinned and when it is looked up by a device.
#ifndef SLIPWAY_CORE_MEMORY_HUGE_MEMORY_H_
#define SLIPWAY_CORE_MEMORY_HUGE_MEMORY_H_

#include <cstdint>
#include <utility>

#include "slipway/status.hpp"

namespace slipway {

// Zeroed private memory of this process. Reserved huge pages where there are enough; otherwise ordinary memory, aligned
// so that the system can back it with huge pages by itself, and asked to.
class HugeMemory {
 public:
  // `bytes`, not 0, is rounded up to whole pages. `numa_node`: near which node, -1 for anywhere; best effort. E_NOMEM.
  static Result<HugeMemory> Create(uint64_t bytes, int32_t numa_node);
  HugeMemory(HugeMemory&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), bytes_(other.bytes_), page_bytes_(other.page_bytes_) {}
  HugeMemory& operator=(HugeMemory&&) = delete;
  ~HugeMemory();

  char* base() const { return base_; }  // aligned to kHugePage where there are that many bytes
  uint64_t bytes() const { return bytes_; }
  uint64_t page_bytes() const { return page_bytes_; }  // of reserved pages; otherwise the ordinary size
  // Never gives the memory back: it may be pinned still.
  void Leak() { base_ = nullptr; }

  static constexpr uint64_t kHugePage = 2u << 20;

 private:
  HugeMemory(char* base, uint64_t bytes, uint64_t page_bytes) : base_(base), bytes_(bytes), page_bytes_(page_bytes) {}

  char* base_;
  uint64_t bytes_, page_bytes_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_HUGE_MEMORY_H_
