// Copying into and out of memory whose caches may have to be written back by hand.
#ifndef SLIPWAY_PLUGINS_CXL_COPY_H_
#define SLIPWAY_PLUGINS_CXL_COPY_H_

#include <cstddef>
#include <cstdint>

namespace slipway::cxl {

// What has to happen around a copy. Fixed for an instance.
struct CopyPolicy {
  bool write_back = false;  // writes leave the caches before they are done
  bool invalidate = false;  // what is read is not taken from the caches
  // Slices from these lengths on go past the caches at their target.
  uint64_t write_streaming_bytes = UINT64_MAX, read_streaming_bytes = UINT64_MAX;
};

// How one slice is copied.
enum class CopyStyle {
  kCached,
  kStreaming,    // past the caches; the two sides do not overlap
  kOverlapping,  // as memmove
};

// What was done by hand.
struct CopyCounts {
  uint64_t streamed_bytes = 0, written_back_lines = 0, invalidated_lines = 0;
};

// From anywhere into a window. On return the bytes are visible to whom the policy says.
//
// No copy here is left to the library's memcpy, which may move single bytes (rep movsb): quick in caches, but not where
// every access goes over a link.
void CopyIn(void* window, const void* from, size_t bytes, CopyStyle style, const CopyPolicy& policy,
            CopyCounts& counts);
// From a window to anywhere.
void CopyOut(void* to, const void* window, size_t bytes, CopyStyle style, const CopyPolicy& policy, CopyCounts& counts);

// Writes the lines that hold [at, at + bytes) back to memory, and waits until they are there. They may stay cached.
void WriteBack(const void* at, size_t bytes);
// Writes them back and drops them, so that the next load comes from memory.
void Invalidate(const void* at, size_t bytes);

// What the CPU has, for people: "avx512, clwb".
const char* CopyAbilities();

inline constexpr size_t kLine = 64;
inline uint64_t LinesOf(const void* at, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(at);
  return bytes == 0 ? 0 : (begin + bytes - 1) / kLine - begin / kLine + 1;
}

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_COPY_H_
