// Which parts of the pin cache's regions the copies of one submission use: each is asked about once, however many
// pieces lie in it.
#ifndef SLIPWAY_CORE_MEMORY_HOST_USE_H_
#define SLIPWAY_CORE_MEMORY_HOST_USE_H_

#include <array>
#include <cstdint>

#include "core/memory/pin_cache.h"

namespace slipway {

// Tells the cache of uses by a memory provider, which needs no lease, since it does not unpin what its own copies in
// flight use. What is pinned counts as used; what is not counts as copied, and is pinned where that is worth it. Never
// blocks. Not thread-safe.
class HostUse {
 public:
  // `who`: the provider's number with the cache.
  HostUse(PinCache& cache, uint32_t who) : cache_(cache), who_(who) { parts_[0] = {}; }
  ~HostUse();
  HostUse(const HostUse&) = delete;
  HostUse& operator=(const HostUse&) = delete;

  // A piece that was submitted: [addr, addr + length) is memory of the host.
  void Add(uint64_t addr, uint64_t length) {
    const Part& last = parts_[recent_];
    const bool within = addr - last.begin < last.end - last.begin && length <= last.end - addr;
    within ? Grow(parts_[recent_], addr, length, length) : AddParts(addr, length);
  }

 private:
  struct Part {
    uint64_t begin, end;             // an extent, or what lies between regions
    uint64_t first, bytes, longest;  // where the first of the pieces in it begins; of all of them; a piece's length
    bool declared;
  };
  static constexpr size_t kParts = 64;

  void AddParts(uint64_t addr, uint64_t length);
  Part& Find(uint64_t addr);
  static void Grow(Part& part, uint64_t addr, uint64_t bytes, uint64_t piece_bytes);
  void Tell(const Part& part);

  PinCache& cache_;
  const uint32_t who_;
  size_t count_ = 0, recent_ = 0, oldest_ = 0;
  std::array<Part, kParts> parts_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_HOST_USE_H_
