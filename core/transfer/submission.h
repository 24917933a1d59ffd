// Requests as they are submitted, and who has them.
#ifndef SLIPWAY_CORE_TRANSFER_SUBMISSION_H_
#define SLIPWAY_CORE_TRANSFER_SUBMISSION_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "slipway/abi/memory_provider.h"

namespace slipway {

class RemoteSegment;

// One request as it is submitted; checked by the dispatcher.
struct RequestSpec {
  uint32_t op = 0;  // SLIPWAY_OP_*
  void* local = nullptr;
  uint64_t length = 0;
  RemoteSegment* segment = nullptr;
  uint64_t offset = 0;
  uint64_t local_kind = SLIPWAY_MEM_HOST;
};

// So many requests are looked at by several threads, and a device begins to read before all have been.
inline constexpr size_t kLongSubmission = 16384;

// The requests of one submission. Each is asked for twice: all are checked before the first is taken.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  virtual size_t size() const = 0;
  // Fills `spec` in, the same each time; what is wrong with it as such is told in `why`, a constant text.
  virtual slipway_status Get(size_t i, RequestSpec* spec, const char** why) = 0;
  // How many requests from `first` on are like the one before, `like`, and as good: of its operation, segment and kind
  // of local memory, of 1 to `longest` bytes within the segment. Long batches are mostly so, and nothing of them moves
  // before this has looked at all: it has to be quick. May be less than it could, also 0.
  virtual size_t CountAlike(size_t /*first*/, const RequestSpec& /*like*/, uint64_t /*longest*/) { return 0; }
  // The same will be asked by CountAlike(): others may begin with it. Nothing but WriteAlike() is called before.
  virtual void BeginCount(size_t /*first*/, const RequestSpec& /*like*/, uint64_t /*longest*/) {}
  // Of those, the ones as long as `like` of which each begins where the one before it ends, on both sides: at most
  // `max`.
  virtual size_t CountOn(size_t /*first*/, const RequestSpec& /*like*/, size_t /*max*/) { return 0; }
  // Memory of a segment as this process has it: [begin, begin + bytes) of the segment, at `base`.
  struct View {
    char* base = nullptr;
    uint64_t begin = 0, bytes = 0, mem_kind = 0;
  };
  // Of those alike, the ones as long as `like` and within the view: writes down the copies that do them, at most `max`.
  // Their tokens are not set.
  virtual size_t WriteAlike(size_t /*first*/, const RequestSpec& /*like*/, const View& /*view*/, slipway_copy* /*out*/,
                            size_t /*max*/) {
    return 0;
  }
};

// Requests that somebody has in a row.
class SpanSource final : public RequestSource {
 public:
  explicit SpanSource(std::span<const RequestSpec> specs) : specs_(specs) {}
  size_t size() const override { return specs_.size(); }
  slipway_status Get(size_t i, RequestSpec* spec, const char**) override {
    *spec = specs_[i];
    return SLIPWAY_OK;
  }

 private:
  const std::span<const RequestSpec> specs_;
};

// The segments that a submission names, where there are few.
struct SegmentsNamed {
  std::array<RemoteSegment*, 4> segments{};
  size_t count = 0;  // more than there is room for: all requests have to be looked at

  void Add(RemoteSegment* segment) {
    if (count > 0 && count <= segments.size() && segments[count - 1] == segment) return;
    if (count < segments.size()) segments[count] = segment;
    count = std::min(count + 1, segments.size() + 1);
  }
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_SUBMISSION_H_
