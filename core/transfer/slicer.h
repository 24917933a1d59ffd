// Cuts a request into slices. A pure function: the same inputs give the same cuts, and nothing is touched.
//
// A slice never crosses a remote registration or the end of what one local registration covers, never exceeds a limit
// of the transport, and the slices of a request cover it exactly, in order, without overlap.
#ifndef SLIPWAY_CORE_TRANSFER_SLICER_H_
#define SLIPWAY_CORE_TRANSFER_SLICER_H_

#include <cstdint>
#include <span>

#include "slipway/status.hpp"

namespace slipway {

struct Extent;        // core/memory/extent.h
struct Registration;  // core/memory/ledger.h

// How the local side of a slice is reached.
enum class SliceMode : uint8_t {
  kDirect,      // the transport needs no registration for it
  kRegistered,  // through one registration, made at declaration or on demand
  kStaged       // through a staging buffer
};

// What one transport instance demands, in bytes; alignments are powers of two.
struct SliceLimits {
  uint64_t max_bytes = 0;
  uint64_t preferred_bytes = 0;      // <= max_bytes
  uint64_t staging_chunk_bytes = 0;  // largest staging buffer; 0: no staging
  uint32_t local_align = 1, remote_align = 1, length_align = 1;
  bool needs_local_registration = false;
  bool reaches_local_kind = true;  // the kind of memory that the request's local side is made of
};

// A remote registration, in the segment's address space. Sorted, not overlapping.
struct RemotePiece {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// The answer to "from this address on, what covers it?": the first `bytes` lie within `registration` or, pinned on
// demand, `extent`; or, where both are null, none of them is registered.
struct LocalCover {
  Registration* registration = nullptr;
  uint64_t bytes = 0;
  Extent* extent = nullptr;

  bool covered() const { return registration != nullptr || extent != nullptr; }
};

class LocalCoverage {
 public:
  virtual ~LocalCoverage() = default;
  // `access` as in slipway/abi/memory.h. 0 < bytes of the answer <= length.
  virtual LocalCover CoverAt(uint64_t address, uint64_t length, uint32_t access) const = 0;
};

// What is still to be cut.
struct SliceCursor {
  uint64_t local_address = 0;
  uint64_t segment_offset = 0;
  uint64_t remaining = 0;
  uint32_t access = 0;      // SLIPWAY_ACCESS_LOCAL_READ or _LOCAL_WRITE
  uint32_t piece_hint = 0;  // where the last slice's piece was: keeps the search short

  void Advance(uint64_t bytes) {
    local_address += bytes;
    segment_offset += bytes;
    remaining -= bytes;
  }
};

struct SliceCut {
  uint64_t length = 0;
  uint64_t piece_offset = 0;  // within the remote registration
  uint32_t piece = 0;         // index into the pieces
  SliceMode mode = SliceMode::kDirect;
  Registration* registration = nullptr;  // for kRegistered: this or
  Extent* extent = nullptr;              // that
};

// Index of the piece that holds `offset`, or pieces.size(). `hint`: where to look first.
size_t FindPiece(std::span<const RemotePiece> pieces, uint64_t offset, size_t hint);

// The next slice of `cursor`, which has something remaining and is not advanced.
// E_SEGMENT_RANGE: no remote registration at that offset. E_INVALID: the transport's alignments cannot be met there.
// E_STAGING_NOT_CONFIGURED: it would have to be staged and cannot be.
Result<SliceCut> NextSlice(SliceCursor& cursor, const SliceLimits& limits, std::span<const RemotePiece> pieces,
                           const LocalCoverage& coverage);

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_SLICER_H_
