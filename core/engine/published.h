// The segments that this engine offers to peers.
#ifndef SLIPWAY_CORE_ENGINE_PUBLISHED_H_
#define SLIPWAY_CORE_ENGINE_PUBLISHED_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/control/descriptor.h"
#include "core/metrics/counters.h"
#include "core/transfer/transport.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

struct Span {
  void* address = nullptr;
  uint64_t length = 0;
};

// Thread-safe. Publishing and withdrawing run one at a time, since they may block in plugins; describing does not wait
// for them.
class Published {
 public:
  // `self`: what every descriptor says of this engine. The transports outlive this.
  Published(SegmentDescriptor self, std::vector<Transport*> transports, uint64_t max_segments, Counters& counters);

  // Registers the spans for `access` with every transport; one that cannot is left out, with the reason in `warnings`.
  // Fails where no transport is left, and then nothing stays registered.
  Status Publish(const std::string& name, std::span<const Span> spans, uint32_t access, uint64_t mem_kind,
                 std::vector<std::string>* warnings) SLIPWAY_EXCLUDES(change_, mutex_);
  Status Withdraw(const std::string& name) SLIPWAY_EXCLUDES(change_, mutex_);
  void Clear() SLIPWAY_EXCLUDES(change_, mutex_);

  // For a peer that speaks `protocols`; E_NO_SEGMENT, E_NO_ROUTE.
  Result<SegmentDescriptor> Describe(const std::string& name, const std::vector<ProtocolRange>& protocols) const
      SLIPWAY_EXCLUDES(mutex_);
  std::vector<SegmentSummary> List() const SLIPWAY_EXCLUDES(mutex_);
  // The name of a segment that lies on any byte of the range; empty: none.
  std::string Overlapping(const void* addr, uint64_t length) const SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Segment {
    SegmentDescriptor descriptor;
    std::vector<Span> spans;
    std::vector<std::vector<Registration*>> registrations;  // per transport
    bool withdrawn = false;  // offered to nobody any more; some transport was too busy to let go of it
  };

  Status CheckNew(const std::string& name, std::span<const Span> spans, uint32_t access) const SLIPWAY_EXCLUDES(mutex_);
  Result<TransportOffer> Offer(size_t transport, Segment* segment, uint32_t access) SLIPWAY_REQUIRES(change_);
  Status DeregisterAll(Segment* segment) SLIPWAY_REQUIRES(change_);

  const SegmentDescriptor self_;
  const std::vector<Transport*> transports_;
  const uint64_t max_segments_;
  Counters& counters_;
  Mutex change_;  // taken before mutex_
  mutable Mutex mutex_;
  uint64_t epochs_ SLIPWAY_GUARDED_BY(change_) = 0;
  std::map<std::string, Segment> segments_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_PUBLISHED_H_
