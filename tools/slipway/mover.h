// Moves a long run of bytes between mapped memory and a segment, a bounded piece at a time.
#ifndef SLIPWAY_TOOLS_SLIPWAY_MOVER_H_
#define SLIPWAY_TOOLS_SLIPWAY_MOVER_H_

#include <cstdint>
#include <string>

#include "slipway/engine.hpp"
#include "tools/slipway/output.h"

namespace slipway::cli {

enum class Direction { kToSegment, kFromSegment };

struct Movement {
  Direction direction = Direction::kToSegment;
  std::byte* local = nullptr;
  uint64_t length = 0;         // bytes; 0 moves nothing and succeeds
  uint64_t offset = 0;         // in the segment, bytes
  double timeout_seconds = 0;  // of the whole; 0: each piece has the configuration's deadline
};

struct MoveReport {
  uint64_t bytes = 0;  // moved, also when the rest failed
  double seconds = 0;
  uint64_t slices = 0, staged_slices = 0, retries = 0;
  std::string transport;  // that served it; "mixed" for several

  // Adds its members to a reply.
  JsonObject& AddTo(JsonObject& reply) const;
  std::string Text() const;
};

// Fails with E_SEGMENT_RANGE, before any byte moves, when the segment does not hold the range.
// `report` is filled on failure as well. Two pieces are in flight at a time: one keeps the wire busy while the other
// ends.
Status Move(const Engine& engine, const Segment& segment, const Movement& movement, const Output& output,
            MoveReport* report);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_MOVER_H_
