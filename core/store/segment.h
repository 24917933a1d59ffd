// A segment that this node contributes: memory that is declared, published and opened, and the space in it.
#ifndef SLIPWAY_CORE_STORE_SEGMENT_H_
#define SLIPWAY_CORE_STORE_SEGMENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/store/allocator.h"
#include "core/store/data_plane.h"
#include "core/store/segment_memory.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

// Peers open it by this name.
std::string PublishedName(const std::string& segment);

// Thread-safe, but for Mount and TearDown.
class StoreSegment {
 public:
  // Declares, publishes and opens; undone in reverse when a step fails. `id` is never given to another segment.
  static Result<std::shared_ptr<StoreSegment>> Mount(uint32_t id, const std::string& name, SegmentMemory memory,
                                                     DataPlane& plane);
  ~StoreSegment();  // torn down; or its memory is leaked, since something may still touch it

  const std::string& name() const { return name_; }
  uint32_t id() const { return id_; }
  char* base() const { return memory_.base(); }
  uint64_t bytes() const { return memory_.bytes(); }
  uint64_t kind() const { return kind_; }
  OpenSegment* open() const { return open_.get(); }  // null: there is no transport; only host copies reach it

  // Nothing: no free range is that long, or the segment is closing.
  std::optional<Allocator::Range> Allocate(uint64_t bytes) SLIPWAY_EXCLUDES(mutex_);
  void Free(uint32_t block) SLIPWAY_EXCLUDES(mutex_);
  void SetClosing(bool closing) SLIPWAY_EXCLUDES(mutex_);
  // Whether nothing is taken, waiting for that until `timeout_ns` have passed.
  bool WaitEmpty(uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);

  struct Space {
    uint64_t total = 0, used = 0, largest_free = 0;  // bytes
    bool closing = false;
  };
  Space space() const SLIPWAY_EXCLUDES(mutex_);
  // The longest value that it could take if `blocks` were given back. Looks at all there are.
  uint64_t LargestFreeBytesWithout(std::span<const uint32_t> blocks) const SLIPWAY_EXCLUDES(mutex_);

  // Undoes what Mount did, in reverse. May be called again after a failure: it goes on where it stopped.
  Status TearDown(uint64_t timeout_ns);

 private:
  StoreSegment(uint32_t id, std::string name, SegmentMemory memory, DataPlane& plane);
  Status BringUp();

  const uint32_t id_;
  const std::string name_;
  DataPlane& plane_;
  SegmentMemory memory_;
  uint64_t kind_ = 0;
  bool declared_ = false, published_ = false;
  std::unique_ptr<OpenSegment> open_;

  mutable Mutex mutex_;
  CondVar freed_;
  Allocator allocator_ SLIPWAY_GUARDED_BY(mutex_);
  bool closing_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_SEGMENT_H_
