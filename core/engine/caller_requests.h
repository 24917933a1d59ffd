// An application's requests as the dispatcher asks for them. Looked at by capi.cc alone, whose quickest ways they are
// on: so all of it is inline.
#ifndef SLIPWAY_CORE_ENGINE_CALLER_REQUESTS_H_
#define SLIPWAY_CORE_ENGINE_CALLER_REQUESTS_H_

#include <algorithm>
#include <atomic>
#include <optional>

#include "core/base/helpers.h"
#include "core/engine/equal_requests.h"
#include "core/engine/handles.h"
#include "core/engine/kinds.h"
#include "core/transfer/dispatchers.h"
#include "slipway/engine.h"

namespace slipway {

// `dispatcher`: as which the segment is to be known.
inline slipway_status ToSpec(const slipway_engine& engine, const slipway_request& request, size_t dispatcher,
                             KindLookup& kinds, RequestSpec* spec, const char** why) {
  const auto bad = [why](const char* what) {
    *why = what;
    return SLIPWAY_E_INVALID;
  };
  if (request.flags != 0 || request.reserved != 0) return bad("flags and reserved must be 0");
  if (request.segment == nullptr) return bad("segment is null");
  if (request.segment->node != engine.node) return bad("the segment was opened by another engine");
  spec->op = request.op;
  spec->local = request.local;
  spec->length = request.length;
  spec->segment = Dispatchers::OpenedIn(*request.segment->segment, dispatcher);
  if (spec->segment == nullptr) {
    Result<RemoteSegment*> opened = engine.node->dispatchers().In(*request.segment->segment, dispatcher);
    if (!opened.ok()) {
      *why = "the engine is being destroyed, or was when the segment was to be opened for one more thread";
      return opened.status().code();
    }
    spec->segment = *opened;
  }
  spec->offset = request.offset;
  const auto local = reinterpret_cast<uint64_t>(request.local);
  const bool some = request.length > 0 && request.local != nullptr && local + request.length > local;
  spec->local_kind = some ? kinds.KindOf(request.local, request.length) : uint64_t{SLIPWAY_MEM_HOST};
  return SLIPWAY_OK;
}

// The application's requests, as they lie in its memory.
class RequestsOfCaller final : public RequestSource {
 public:
  RequestsOfCaller(const slipway_engine& engine, const slipway_request* first, size_t count, size_t dispatcher)
      : engine_(engine), first_(first), count_(count), dispatcher_(dispatcher), kinds_(engine.node->Kinds()) {}
  ~RequestsOfCaller() override {
    if (counting_) engine_.node->helpers().Finish(&counting_->loop);
  }
  size_t size() const override { return count_; }
  slipway_status Get(size_t i, RequestSpec* spec, const char** why) override {
    const slipway_request& r = first_[i];
    if (r.segment == segment_ && (r.flags | r.reserved) == 0 && r.length > 0 && kinds_.Holds(r.local, r.length)) {
      *spec = {r.op, r.local, r.length, found_, r.offset, kind_};
      return SLIPWAY_OK;
    }
    segment_ = nullptr;
    const slipway_status status = ToSpec(engine_, r, dispatcher_, kinds_, spec, why);
    if (status == SLIPWAY_OK && r.length > 0 && kinds_.Holds(r.local, r.length)) {
      segment_ = r.segment;
      found_ = spec->segment;
      kind_ = spec->local_kind;
    }
    return status;
  }
  // A device waits for this, and one core does not get near what the memory could give.
  void BeginCount(size_t first, const RequestSpec& like, uint64_t longest) override {
    if (segment_ == nullptr || like.segment != found_) return;
    counting_.emplace(*this, first, like, longest);
    engine_.node->helpers().Begin(&counting_->loop);
  }
  size_t CountAlike(size_t first, const RequestSpec& like, uint64_t longest) override {
    if (counting_) {
      engine_.node->helpers().Finish(&counting_->loop);
      const size_t alike = counting_->end.load(std::memory_order_relaxed) - counting_->first;
      counting_.reset();
      return alike;
    }
    if (segment_ == nullptr || like.segment != found_) return 0;
    return SkipAlike(first, count_, like, longest) - first;
  }
  size_t CountOn(size_t first, const RequestSpec& like, size_t max) override {
    if (segment_ == nullptr || like.segment != found_) return 0;
    const size_t end = std::min(count_, first + max);
    const char* local = static_cast<const char*>(like.local) + like.length;
    uint64_t offset = like.offset + like.length;
    size_t i = first;
    for (; i < end; ++i, local += like.length, offset += like.length) {
      const slipway_request& r = first_[i];
      const bool on = r.local == local && r.offset == offset && r.length == like.length && r.segment == segment_ &&
                      r.op == like.op && (r.flags | r.reserved) == 0 && kinds_.Holds(r.local, r.length);
      if (!on) break;
    }
    return i - first;
  }
  size_t WriteAlike(size_t first, const RequestSpec& like, const View& view, slipway_copy* out, size_t max) override {
    if (segment_ == nullptr || like.segment != found_ || like.length > view.bytes) return 0;
    const size_t end = std::min(count_, first + max);
    const bool read = like.op == SLIPWAY_OP_READ;
    const uint64_t last = view.bytes - like.length;
    size_t i = first;
    for (; i < end; ++i) {
      const slipway_request& r = first_[i];
      __builtin_prefetch(reinterpret_cast<const char*>(&r) + kAheadBytes, 0, 1);
      const bool alike = r.segment == segment_ && r.op == like.op && (r.flags | r.reserved) == 0 &&
                         r.length == like.length && r.offset - view.begin <= last && kinds_.Holds(r.local, r.length);
      if (!alike) break;
      char* const there = view.base + (r.offset - view.begin);
      *out++ = read ? slipway_copy{0, r.local, there, r.length, like.local_kind, view.mem_kind}
                    : slipway_copy{0, there, r.local, r.length, view.mem_kind, like.local_kind};
    }
    return i - first;
  }

 private:
  static constexpr size_t kAheadBytes = 4096;
  static constexpr size_t kPartRequests = 1024;

  // What BeginCount() was asked, while several threads look.
  struct Counting {
    Counting(const RequestsOfCaller& source, size_t from, const RequestSpec& spec, uint64_t most)
        : first(from),
          like(spec),
          longest(most),
          end(source.count_),
          loop((source.count_ - from + kPartRequests - 1) / kPartRequests, [this, &source](size_t part) {
            const size_t begin = first + part * kPartRequests, to = std::min(source.count_, begin + kPartRequests);
            if (begin >= end.load(std::memory_order_relaxed)) return;
            const size_t at = source.SkipAlike(begin, to, like, longest);
            size_t least = end.load(std::memory_order_relaxed);
            while (at < to && at < least && !end.compare_exchange_weak(least, at, std::memory_order_relaxed)) continue;
          }) {}
    const size_t first;
    const RequestSpec like;
    const uint64_t longest;
    std::atomic<size_t> end;  // before the first that is not alike
    Helpers::Loop loop;
  };

  // The first in [first, end) that is not like the others; `end`: all are. Any thread.
  size_t SkipAlike(size_t first, size_t end, const RequestSpec& like, uint64_t longest) const {
    const uint64_t segment_bytes = found_->length;
    size_t i = first;
    while (i < end) {
      i = SkipEqual(i, end, like);
      if (i == end) break;
      const slipway_request& r = first_[i];
      const bool alike = r.segment == segment_ && r.op == like.op && (r.flags | r.reserved) == 0 &&
                         r.length - 1 < longest && r.offset <= segment_bytes && r.length <= segment_bytes - r.offset &&
                         kinds_.Holds(r.local, r.length);
      if (!alike) break;
      ++i;
    }
    return i;
  }
  // Past those that are also as long, as most are.
  size_t SkipEqual(size_t first, size_t end, const RequestSpec& like) const {
    if (like.length > found_->length || like.length > kinds_.bytes()) return first;
    EqualRequests equal;
    equal.op = like.op;
    equal.local = kinds_.begin();
    equal.local_room = kinds_.bytes() - like.length;
    equal.length = like.length;
    equal.segment = segment_;
    equal.offset_room = found_->length - like.length;
    return first + CountEqual(first_ + first, end - first, equal);
  }

  const slipway_engine& engine_;
  const slipway_request* const first_;
  const size_t count_, dispatcher_;
  KindLookup kinds_;
  // Of the last request whose memory lies in what `kinds_` knows: what others like it become.
  const slipway_segment* segment_ = nullptr;  // null: there is none
  RemoteSegment* found_ = nullptr;
  uint64_t kind_ = 0;
  std::optional<Counting> counting_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_CALLER_REQUESTS_H_
