// What the store asks of the engine below it: kinds of memory, segments, and bytes moved.
#ifndef SLIPWAY_CORE_STORE_DATA_PLANE_H_
#define SLIPWAY_CORE_STORE_DATA_PLANE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "slipway/status.hpp"

namespace slipway {

// A segment of this engine's or of a peer's, opened. Closed with its last owner; what moves keeps what it needs.
class OpenSegment {
 public:
  virtual ~OpenSegment() = default;
};

// One contiguous piece to move.
struct Move {
  bool write = false;  // local -> segment; otherwise segment -> local
  void* local = nullptr;
  uint64_t length = 0;
  uint64_t local_kind = 0;  // one SLIPWAY_MEM_* bit
  OpenSegment* segment = nullptr;
  uint64_t offset = 0;
};

// What a device's copies come after: whatever `stream` holds when the transfer begins.
struct StreamOrder {
  uint64_t kind = 0;  // of the memory whose provider's stream that is; 0: none
  void* stream = nullptr;
};

// Thread-safe.
class DataPlane {
 public:
  virtual ~DataPlane() = default;

  virtual uint64_t KindOf(const void* address, uint64_t length) = 0;
  // Declares memory, best effort where the policy allows that.
  virtual Status Declare(void* address, uint64_t length) = 0;
  virtual Status Undeclare(void* address, uint64_t length, uint64_t timeout_ns) = 0;
  // Offers memory to peers, to read and write.
  virtual Status Publish(const std::string& name, void* address, uint64_t length) = 0;
  virtual Status Withdraw(const std::string& name) = 0;
  // "/name" for one of this engine's own, "host:port/name" for a peer's.
  virtual Result<std::unique_ptr<OpenSegment>> Open(const std::string& url, uint64_t timeout_ns) = 0;
  // Moves all of it and returns when none of it moves any more, shortly after the deadline at the latest: a status for
  // each move. E_STUCK: a transport broke its word, and may still touch the memory.
  virtual std::vector<Status> Transfer(std::span<const Move> moves, uint64_t timeout_ns, const StreamOrder& order) = 0;
  // Whether a transport is configured at all: without one there is nothing to publish through.
  virtual bool has_transports() const = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_DATA_PLANE_H_
