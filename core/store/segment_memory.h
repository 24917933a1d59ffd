// The memory of a segment: of the process, of a file, or the caller's.
#ifndef SLIPWAY_CORE_STORE_SEGMENT_MEMORY_H_
#define SLIPWAY_CORE_STORE_SEGMENT_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "core/memory/huge_memory.h"
#include "slipway/status.hpp"

namespace slipway {

// Move-only owner of a mapping.
class SegmentMemory {
 public:
  // Anonymous memory, in huge pages where the system has them. E_NOMEM.
  static Result<SegmentMemory> Map(uint64_t bytes);
  // A file, shared; made, or made longer, where it is shorter than `bytes`. 0: as long as it is. E_IO.
  static Result<SegmentMemory> MapFile(const std::string& path, uint64_t bytes);
  // Memory that is the caller's and stays so.
  static SegmentMemory Borrow(void* address, uint64_t bytes);

  SegmentMemory() = default;
  SegmentMemory(SegmentMemory&& other) noexcept { *this = std::move(other); }
  SegmentMemory& operator=(SegmentMemory&& other) noexcept;
  ~SegmentMemory();

  char* base() const { return base_; }
  uint64_t bytes() const { return bytes_; }
  // Leaves the mapping to the process for good: something may still touch it.
  void Leak() {
    if (owned_) owned_->Leak();
    file_ = nullptr;
  }

 private:
  // What base_ lies in, one of these; neither where it is the caller's.
  std::optional<HugeMemory> owned_;
  void* file_ = nullptr;  // mapped, bytes_ long
  char* base_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_SEGMENT_MEMORY_H_
