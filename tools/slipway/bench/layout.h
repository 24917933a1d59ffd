// Where the bytes of one measurement lie, on both sides, and what they are: a pattern in which every eight bytes are
// different, so that bytes which did not arrive, or arrived elsewhere, are found.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_LAYOUT_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>

namespace slipway::cli::bench {

// `slots` requests of `bytes` each. Request i moves between LocalAt(i) of the local memory and RemoteAt(i) of the
// segment. Contiguous, or scattered: in another order on each side, with gaps, so that no two neighbours can be joined.
struct Layout {
  uint64_t bytes = 0;  // of one request
  uint32_t slots = 1;
  bool scattered = false;

  uint64_t LocalAt(uint32_t slot) const;
  uint64_t RemoteAt(uint32_t slot) const;
  // What both memories must have at least.
  uint64_t Room() const;
};

enum class Side { kLocal, kRemote };

// Fills `memory` (8-byte aligned) with the pattern of `seed`.
void FillPattern(std::byte* memory, uint64_t bytes, uint64_t seed);
// Whether every slot of `memory`, which is `side` of the layout, holds what the other side had, filled with `seed`.
// Gives the position in `memory` of the first eight bytes that differ, or nothing.
std::optional<uint64_t> FindDifference(const std::byte* memory, const Layout& layout, Side side, uint64_t seed);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_LAYOUT_H_
