#include "plugins/local-memcpy/copy.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "slipway/sdk/copy_bytes.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slipway::local_memcpy {
namespace {

#if defined(__x86_64__)

constexpr size_t kLine = 64;
// So much is loaded before it is stored. Copying several pages side by side, and prefetching by hand, were both slower
// on Zen 5 than one plain stream, which the CPU's own prefetchers follow best.
constexpr size_t kStep = 4 * kLine;
// Below this the fence costs more than the caches gain.
constexpr size_t kSmallest = 16 << 10;

// Both copy whole steps to an aligned place; `bytes` is a multiple of kStep.
__attribute__((target("avx512f"))) void Steps512(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += kStep) {
    const __m512i a = _mm512_loadu_si512(from + i);
    const __m512i b = _mm512_loadu_si512(from + i + kLine);
    const __m512i c = _mm512_loadu_si512(from + i + 2 * kLine);
    const __m512i d = _mm512_loadu_si512(from + i + 3 * kLine);
    __m512i* const out = reinterpret_cast<__m512i*>(to + i);
    _mm512_stream_si512(out, a);
    _mm512_stream_si512(out + 1, b);
    _mm512_stream_si512(out + 2, c);
    _mm512_stream_si512(out + 3, d);
  }
}
__attribute__((target("avx2"))) void Steps256(char* to, const char* from, size_t bytes) {
  constexpr size_t kParts = kStep / sizeof(__m256i);
  for (size_t i = 0; i < bytes; i += kStep) {
    __m256i part[kParts];
    for (size_t k = 0; k < kParts; ++k) part[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i) + k);
    for (size_t k = 0; k < kParts; ++k) _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i) + k, part[k]);
  }
}

#endif

}  // namespace

void CopyCached(void* to, const void* from, size_t bytes) { sdk::CopyBytes(to, from, bytes); }

const char* StreamingName(Streaming how) {
  return how == Streaming::kAvx512 ? "avx512" : how == Streaming::kAvx2 ? "avx2" : "memcpy";
}

#if defined(__x86_64__)

Streaming BestStreaming() {
  static const Streaming best = __builtin_cpu_supports("avx512f") ? Streaming::kAvx512
                                : __builtin_cpu_supports("avx2")  ? Streaming::kAvx2
                                                                  : Streaming::kPlain;
  return best;
}

void CopyStreaming(void* to, const void* from, size_t bytes, Streaming how) {
  if (how == Streaming::kPlain || bytes < kSmallest) {
    sdk::CopyBytes(to, from, bytes);
    return;
  }
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  const size_t head = (kLine - reinterpret_cast<uintptr_t>(out) % kLine) % kLine;
  std::memcpy(out, in, head);
  const size_t whole = (bytes - head) / kStep * kStep;
  (how == Streaming::kAvx512 ? Steps512 : Steps256)(out + head, in + head, whole);
  _mm_sfence();  // streaming stores are not ordered with the completion that follows
  std::memcpy(out + head + whole, in + head + whole, bytes - head - whole);
}

#else

Streaming BestStreaming() { return Streaming::kPlain; }
void CopyStreaming(void* to, const void* from, size_t bytes, Streaming) { sdk::CopyBytes(to, from, bytes); }

#endif

size_t LastLevelCacheBytes() {
  constexpr size_t kGuess = size_t{8} << 20;
  const long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  const long best = std::max(l3, l2);
  return best > 0 ? static_cast<size_t>(best) : kGuess;
}

}  // namespace slipway::local_memcpy
