#include "core/transfer/slicer.h"

#include <algorithm>
#include <string>

#include "core/base/bytes.h"

namespace slipway {
namespace {

// The longest cut that the transport wants, at most `available` bytes. A tail of less than a quarter of a slice is
// taken along where the limit allows it, since a small last slice costs as much as a large one.
uint64_t PreferredLength(uint64_t available, uint64_t preferred, uint64_t max) {
  if (available <= max && available - available / 5 <= preferred) return available;
  return std::min({available, preferred, max});
}

struct LocalSide {
  SliceMode mode;
  uint64_t bytes;
  LocalCover cover;
};

// How, and how far, the local side is reached from the cursor; at most `available` bytes. The answer is a multiple of
// `unit` unless it is all that remains, so that the next slice starts aligned again.
LocalSide LookAtLocal(const SliceCursor& cursor, uint64_t available, const SliceLimits& limits, uint64_t unit,
                      const LocalCoverage& coverage) {
  const bool misaligned = (cursor.local_address & (limits.local_align - 1)) != 0;
  if (!limits.reaches_local_kind || misaligned) return {SliceMode::kStaged, available, {}};
  if (!limits.needs_local_registration) return {SliceMode::kDirect, available, {}};
  const LocalCover cover = coverage.CoverAt(cursor.local_address, available, cursor.access);
  if (cover.covered()) {
    const uint64_t whole = cover.bytes == cursor.remaining ? cover.bytes : RoundDown(cover.bytes, unit);
    if (whole > 0) return {SliceMode::kRegistered, whole, cover};
    return {SliceMode::kStaged, std::min(available, unit), {}};
  }
  const uint64_t gap = cover.bytes > available - std::min(available, unit) ? available : RoundUp(cover.bytes, unit);
  return {SliceMode::kStaged, std::min(available, gap), {}};
}

}  // namespace

size_t FindPiece(std::span<const RemotePiece> pieces, uint64_t offset, size_t hint) {
  const auto holds = [&](size_t i) {
    return i < pieces.size() && offset >= pieces[i].offset && offset - pieces[i].offset < pieces[i].length;
  };
  if (holds(hint)) return hint;
  if (holds(hint + 1)) return hint + 1;
  const auto after = std::upper_bound(pieces.begin(), pieces.end(), offset,
                                      [](uint64_t o, const RemotePiece& p) { return o < p.offset; });
  if (after == pieces.begin()) return pieces.size();
  const size_t i = static_cast<size_t>(after - pieces.begin()) - 1;
  return holds(i) ? i : pieces.size();
}

Result<SliceCut> NextSlice(SliceCursor& cursor, const SliceLimits& limits, std::span<const RemotePiece> pieces,
                           const LocalCoverage& coverage) {
  const size_t index = FindPiece(pieces, cursor.segment_offset, cursor.piece_hint);
  if (index == pieces.size()) {
    return Status(SLIPWAY_E_SEGMENT_RANGE,
                  "the segment has nothing registered at offset " + std::to_string(cursor.segment_offset));
  }
  cursor.piece_hint = static_cast<uint32_t>(index);
  const RemotePiece& piece = pieces[index];
  SliceCut cut;
  cut.piece = static_cast<uint32_t>(index);
  cut.piece_offset = cursor.segment_offset - piece.offset;
  uint64_t available = std::min(cursor.remaining, piece.length - cut.piece_offset);

  // Everything is cut in this unit, so that alignment, once there, stays.
  const uint64_t unit = std::max({limits.local_align, limits.remote_align, limits.length_align});
  if ((cut.piece_offset & (limits.remote_align - 1)) != 0) {
    return Status(SLIPWAY_E_INVALID, "offset " + std::to_string(cut.piece_offset) +
                                         " of the remote registration is not a multiple of " +
                                         std::to_string(limits.remote_align));
  }
  if (available < cursor.remaining) available = RoundDown(available, unit);
  if (available == 0 ||
      (available == cursor.remaining && (available & (limits.length_align - 1)) != 0 && available < unit)) {
    return Status(SLIPWAY_E_INVALID, "a length of " + std::to_string(cursor.remaining) +
                                         " bytes cannot be cut into multiples of " + std::to_string(unit));
  }
  const LocalSide local = LookAtLocal(cursor, available, limits, unit, coverage);
  cut.mode = local.mode;
  cut.registration = local.cover.registration;
  cut.extent = local.cover.extent;
  uint64_t max = limits.max_bytes;
  uint64_t preferred = limits.preferred_bytes;
  if (local.mode == SliceMode::kStaged) {
    if (limits.staging_chunk_bytes == 0) {
      return Status(SLIPWAY_E_STAGING_NOT_CONFIGURED,
                    "the range must be staged and memory.staging.bytes is 0: give the engine a staging pool, or "
                    "declare the memory");
    }
    max = std::min(max, limits.staging_chunk_bytes);
    preferred = std::min(preferred, max);
  }
  cut.length = PreferredLength(local.bytes, preferred, max);
  if (cut.length < cursor.remaining) {
    cut.length = RoundDown(cut.length, unit);
  } else if ((cut.length & (limits.length_align - 1)) != 0) {
    cut.length = RoundDown(cut.length, unit);  // the unaligned tail is refused by itself, next time
  }
  if (cut.length == 0) {
    return Status(SLIPWAY_E_INVALID, "no slice of this request fits the transport's limits and alignments");
  }
  return cut;
}

}  // namespace slipway
