// A link: one transport's connection to one peer instance, with what waits for it. And the segments opened over links.
#ifndef SLIPWAY_CORE_TRANSFER_LINK_H_
#define SLIPWAY_CORE_TRANSFER_LINK_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/memory/extent.h"
#include "core/memory/host_copier.h"
#include "core/transfer/batch.h"
#include "core/transfer/route.h"
#include "core/transfer/transport.h"

namespace slipway {

struct SegmentRoute;

// A slice between its cut and its completion. Pooled; guarded by the dispatcher's lock.
struct Slice : CopyJob {
  enum class State : uint8_t { kFree, kCopyingIn, kReady, kSubmitted, kCopyingOut };

  uint32_t index = 0;       // in the pool
  uint32_t generation = 0;  // counts its uses, so that a late or repeated completion is told apart
  State state = State::kFree;
  SliceMode mode = SliceMode::kDirect;
  bool cancel_sent = false;
  RequestState* request = nullptr;
  Link* link = nullptr;
  SegmentRoute* route = nullptr;
  SliceCursor cursor;  // where it begins; `remaining` is its length
  uint32_t tried = 0;
  uint32_t piece = 0;
  uint64_t piece_offset = 0;
  Registration* lease = nullptr;  // what covers its local side: this or
  Extent* extent = nullptr;       // that, or neither
  StagingBlock* block = nullptr;
  char* staging = nullptr;
  uint64_t submitted_ns = 0;
  Slice* next_ready = nullptr;

  uint64_t length_bytes() const { return cursor.remaining; }
  uint64_t Token() const { return uint64_t{generation} << 32 | index; }
};

// All members are guarded by the dispatcher's lock.
struct Link {
  enum class State : uint8_t {
    kIdle,        // no peer object; work makes it connect
    kConnecting,  // until connect_deadline_ns
    kReady,
    kDraining  // failed: no new slices; the peer object goes when the last slice has completed
  };

  Transport* transport = nullptr;
  uint8_t number = 0;  // the transport's
  std::string instance_id, address;
  State state = State::kIdle;
  slipway_peer* peer = nullptr;
  uint64_t connect_deadline_ns = 0;
  uint64_t retry_ns = 0;  // kConnecting: when to look again; kReady: not to be submitted to before
  uint64_t paused_until_ns = 0, backoff_ns = 0;
  Status failure;  // kDraining: why
  WorkQueue small, bulk;
  Slice* ready_first = nullptr;  // cut, copied, not yet accepted by the transport
  Slice* ready_last = nullptr;
  uint32_t open_slices = 0, open_bulk_slices = 0;
  uint64_t open_bulk_bytes = 0;
  uint32_t segments = 0;  // that are open over it
  std::vector<SegmentRoute*> routes;
  bool listed = false;  // on the dispatcher's list of links with something to do

  bool HasWork() const { return !small.empty() || !bulk.empty() || ready_first != nullptr; }
  void PushReady(Slice* slice) {
    slice->next_ready = nullptr;
    (ready_first == nullptr ? ready_first : ready_last->next_ready) = slice;
    ready_last = slice;
  }
};

// How one transport reaches one segment: its registrations there, imported on first use.
struct SegmentRoute {
  Link* link = nullptr;  // null: the target does not offer the segment over this transport
  std::vector<RemotePiece> pieces;
  std::vector<std::string> blobs;
  std::vector<slipway_remote*> remotes;  // as long as pieces; null: not imported
};

// What a target offers, to be opened.
struct SegmentTarget {
  struct Offer {
    std::string protocol;
    uint32_t protocol_min = 0, protocol_max = 0;
    std::string address;
    std::vector<RemotePiece> pieces;  // sorted, not overlapping, within the segment
    std::vector<std::string> blobs;   // as many
  };
  std::string name, node, instance_id;
  uint64_t length = 0;
  bool readable = false, writable = false;
  Locality locality = Locality::kOtherHost;
  std::vector<Offer> offers;
};

// A segment that the application opened. Constant but for what is marked.
class RemoteSegment {
 public:
  std::string name;
  std::string node;  // for messages
  uint64_t length = 0;
  bool readable = false, writable = false;
  Locality locality = Locality::kOtherHost;
  uint32_t offered = 0;                             // bit i: routes[i].link is set
  std::array<SegmentRoute, kTransportsMax> routes;  // remotes: guarded by the dispatcher's lock
  uint64_t inflight_requests = 0;                   // guarded by the dispatcher's lock
  bool closed = false;                              // guarded by the dispatcher's lock
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_LINK_H_
