// Copies between memory of the host, without the worst case of the C library's.
#ifndef SLIPWAY_SDK_COPY_BYTES_HPP_
#define SLIPWAY_SDK_COPY_BYTES_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace slipway::sdk {

// As std::memmove. [any]
//
// From 2 KiB on, glibc copies with `rep movsb` on processors that say they are good at it, and up to 1 MiB at most on
// AMD's. There it takes 20 times as long where the destination lies 1 to 31 bytes behind the source, in terms of
// offsets within a page (sourceware bug 30994; measured on Zen 3 with glibc 2.36: 64 KiB 33 us for 1.4). Memory from
// malloc, which begins 16 bytes into a page where there is much of it, and memory of a segment, which begins with a
// page, lie so to each other. Short parts are not copied that way.
inline void CopyBytes(void* to, const void* from, size_t bytes) {
  constexpr size_t kPage = 4096, kBehind = 32, kPart = 1024, kMost = size_t{1} << 20;
  const size_t behind = reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from);
  const bool slow = behind % kPage - 1 < kBehind - 1 && bytes > kPart && bytes <= kMost;
  if (!slow || behind < bytes) {  // the latter: they overlap, so that what comes last has to be moved first
    std::memmove(to, from, bytes);
    return;
  }
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (size_t at = 0; at < bytes; at += kPart) std::memmove(out + at, in + at, std::min(kPart, bytes - at));
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_COPY_BYTES_HPP_
