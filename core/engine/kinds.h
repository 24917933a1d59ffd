// What kinds of memory the requests of one submission are made of, asked once a buffer.
#ifndef SLIPWAY_CORE_ENGINE_KINDS_H_
#define SLIPWAY_CORE_ENGINE_KINDS_H_

#include <cstdint>

#include "core/memory/providers.h"
#include "core/memory/regions.h"

namespace slipway {

// Remembers the last allocation or declared region that it met. That is right only while nobody can free memory and get
// other memory at its place, so it lives for one submission, whose memory is its caller's to keep. Not thread-safe.
class KindLookup {
 public:
  KindLookup(const Providers& providers, const Regions& regions) : providers_(providers), regions_(regions) {
    if (providers.kinds() == 0) {  // all there is, but for NULL and what wraps around, is the host's
      begin_ = 1;
      bytes_ = UINT64_MAX - 1;
    }
  }
  // One SLIPWAY_MEM_* bit, of the range's beginning. `length` is greater than 0, the range does not wrap.
  uint64_t KindOf(const void* addr, uint64_t length);
  // Whether the range, of any length but 0, is known to lie in what was met last, and so is of the same kind.
  bool Holds(const void* addr, uint64_t length) const {
    const uint64_t at = reinterpret_cast<uint64_t>(addr) - begin_;
    return at < bytes_ && length <= bytes_ - at;
  }
  // What that is.
  uint64_t begin() const { return begin_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const Providers& providers_;
  const Regions& regions_;
  uint64_t begin_ = 0, bytes_ = 0, kind_ = SLIPWAY_MEM_HOST;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_KINDS_H_
