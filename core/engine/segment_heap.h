// Memory that the engine allocates for segments: from a transport that has some which its peers reach best, or else
// ordinary memory.
#ifndef SLIPWAY_CORE_ENGINE_SEGMENT_HEAP_H_
#define SLIPWAY_CORE_ENGINE_SEGMENT_HEAP_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/transfer/transport.h"
#include "slipway/abi/segment_memory.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

// Thread-safe. Every block is zeroed, begins at a multiple of kAlignBytes, and stays until it is freed or cleared.
class SegmentHeap {
 public:
  static constexpr uint64_t kAlignBytes = uint64_t{2} << 20;

  // The transports outlive this, and are asked in the order of their priority.
  explicit SegmentHeap(std::vector<Transport*> transports);
  ~SegmentHeap();
  SegmentHeap(const SegmentHeap&) = delete;
  SegmentHeap& operator=(const SegmentHeap&) = delete;

  // `transport` empty: from the first that gives some, else ordinary memory; `warnings` says which had no room. Named:
  // from that one, or an error. `numa` -1: anywhere.
  Result<void*> Allocate(uint64_t bytes, int32_t numa, const std::string& transport, std::vector<std::string>* warnings)
      SLIPWAY_EXCLUDES(mutex_);
  // The length of a block; 0: none begins at `address`.
  uint64_t LengthOf(const void* address) const SLIPWAY_EXCLUDES(mutex_);
  // The block must be neither registered nor in use.
  Status Free(void* address) SLIPWAY_EXCLUDES(mutex_);
  void Clear() SLIPWAY_EXCLUDES(mutex_);

  struct View {
    uint64_t address = 0, length = 0;
    std::string source;  // the transport's name; empty: ordinary memory
  };
  std::vector<View> Views() const SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Source {
    Transport* transport;
    const slipway_segment_memory* table;
  };
  struct Block {
    uint64_t bytes = 0;
    const Source* source = nullptr;  // null: ordinary memory
  };

  static Result<void*> AllocateFrom(const Source& source, uint64_t bytes, int32_t numa);
  static Status Release(void* address, const Block& block);

  std::vector<Source> sources_;
  mutable Mutex mutex_;
  std::map<const void*, Block> blocks_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_SEGMENT_HEAP_H_
