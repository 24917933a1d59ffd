// Copies between memory of the host, without the worst case of the C library's.
#ifndef SLIPWAY_SDK_COPY_BYTES_HPP_
#define SLIPWAY_SDK_COPY_BYTES_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace slipway::sdk {

// Copying with `rep movsb` takes AMD's processors 20 times as long where the destination lies 1 to 31 bytes behind the
// source, in terms of offsets within a page (sourceware bug 30994; on Zen 3: 64 KiB 33 us for 1.4). Memory from malloc,
// which begins 16 bytes into a page where there is much of it, and memory of a segment, which begins with a page, lie
// so to each other.

// Whether two addresses do. [any]
inline bool LieBadly(uintptr_t to, uintptr_t from) {
  constexpr uintptr_t kPage = 4096, kBehind = 32;
  return (to - from) % kPage - 1 < kBehind - 1;
}

// Whether this processor minds: what others copy, as the kernel does, cannot be helped but by a copy more. [any]
inline bool MindsLyingBadly() {
#if defined(__x86_64__)
  static const bool amd = __builtin_cpu_is("amd") != 0;
  return amd;
#else
  return false;
#endif
}

// As std::memmove. glibc 2.36 copies with `rep movsb` from 2 KiB on and, on AMD's processors, up to 1 MiB at most:
// parts that are shorter are copied otherwise. [any]
inline void CopyBytes(void* to, const void* from, size_t bytes) {
  constexpr size_t kPart = 1024, kMost = size_t{1} << 20;
  const auto target = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  const bool slow = LieBadly(target, source) && bytes > kPart && bytes <= kMost;
  if (!slow || target - source < bytes) {  // the latter: they overlap, so that what comes last has to be moved first
    std::memmove(to, from, bytes);
    return;
  }
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (size_t at = 0; at < bytes; at += kPart) std::memmove(out + at, in + at, std::min(kPart, bytes - at));
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_COPY_BYTES_HPP_
