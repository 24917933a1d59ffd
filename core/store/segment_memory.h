// The memory of a segment: of the process, of a file, lent, or the caller's.
#ifndef SLIPWAY_CORE_STORE_SEGMENT_MEMORY_H_
#define SLIPWAY_CORE_STORE_SEGMENT_MEMORY_H_

#include <cstdint>
#include <functional>
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
  // Memory that is somebody else's, given back by `give_back` at the end; without, it is the caller's and stays so.
  static SegmentMemory Borrow(void* address, uint64_t bytes, std::function<void(void*)> give_back = {});

  SegmentMemory() = default;
  SegmentMemory(SegmentMemory&& other) noexcept { *this = std::move(other); }
  SegmentMemory& operator=(SegmentMemory&& other) noexcept;
  ~SegmentMemory();

  char* base() const { return base_; }
  uint64_t bytes() const { return bytes_; }
  // Leaves the memory to the process for good: something may still touch it.
  void Leak() {
    if (owned_) owned_->Leak();
    file_ = nullptr;
    give_back_ = nullptr;
  }

 private:
  void Release();

  // What base_ lies in, one of these; none where it is the caller's.
  std::optional<HugeMemory> owned_;
  void* file_ = nullptr;  // mapped, bytes_ long
  std::function<void(void*)> give_back_;
  char* base_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_SEGMENT_MEMORY_H_
