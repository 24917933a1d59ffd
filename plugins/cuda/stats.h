// What an instance counts.
#ifndef SLIPWAY_PLUGINS_CUDA_STATS_H_
#define SLIPWAY_PLUGINS_CUDA_STATS_H_

#include <atomic>
#include <cstdint>
#include <string>

namespace slipway::cuda {

// X(member): the names are those in the JSON text.
#define SLIPWAY_CUDA_COUNTERS(X)                                                  \
  X(pieces)                                                                       \
  X(bytes)  /* accepted */                                                        \
  X(failed) /* completed with an error */                                         \
  X(single_copies)                                                                \
  X(batch_copies)                                                                 \
  X(kernel_copies) /* pieces, or parts of pieces, by the way they went */         \
  X(kernel_launches)                                                              \
  X(read_ahead) /* pieces, before they were submitted */                          \
  X(batch_calls)                                                                  \
  X(ring_bytes)                                                                   \
  X(ring_chunks)                                                                  \
  X(inline_chunks)   /* through the ring; chunks that the caller itself copied */ \
  X(plain_bytes)     /* pageable, by the driver, as there is no ring */           \
  X(address_queries) /* what the driver was asked about pieces' addresses */      \
  X(pins)                                                                         \
  X(pinned_bytes)                                                                 \
  X(pins_refused)         /* pinned_bytes: now */                                 \
  X(harvested_by_threads) /* flights that a thread of the plugin saw land */

struct Counters {
#define SLIPWAY_CUDA_MEMBER(name) std::atomic<uint64_t> name{0};
  SLIPWAY_CUDA_COUNTERS(SLIPWAY_CUDA_MEMBER)
#undef SLIPWAY_CUDA_MEMBER

  std::string Json() const {
    std::string out = "{";
#define SLIPWAY_CUDA_MEMBER(name) \
  out += (out.size() > 1 ? ", \"" #name "\": " : "\"" #name "\": ") + std::to_string(name.load());
    SLIPWAY_CUDA_COUNTERS(SLIPWAY_CUDA_MEMBER)
#undef SLIPWAY_CUDA_MEMBER
    return out + "}";
  }
};

inline void Count(std::atomic<uint64_t>& counter, uint64_t n = 1) { counter.fetch_add(n, std::memory_order_relaxed); }

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_STATS_H_
