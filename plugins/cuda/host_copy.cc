#include "plugins/cuda/host_copy.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slipway::cuda {
namespace {

#if defined(__x86_64__)

constexpr size_t kLine = 64;
constexpr size_t kStep = 4 * kLine;     // loaded before it is stored
constexpr size_t kSmallest = 16 << 10;  // below, the fence costs more than the caches gain

// Both copy whole steps to an aligned place.
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

using Steps = void (*)(char*, const char*, size_t);
Steps BestSteps() {
  if (__builtin_cpu_supports("avx512f")) return Steps512;
  return __builtin_cpu_supports("avx2") ? Steps256 : nullptr;
}

#endif

#if defined(__x86_64__)

void CopyStreaming(void* to, const void* from, size_t bytes) {
  static const Steps steps = BestSteps();
  if (steps == nullptr || bytes < kSmallest) {
    std::memcpy(to, from, bytes);
    return;
  }
  char* const out = static_cast<char*>(to);
  const char* const in = static_cast<const char*>(from);
  const size_t head = (kLine - reinterpret_cast<uintptr_t>(out) % kLine) % kLine;
  std::memcpy(out, in, head);
  const size_t whole = (bytes - head) / kStep * kStep;
  steps(out + head, in + head, whole);
  _mm_sfence();  // streaming stores are not ordered with what tells others of them
  std::memcpy(out + head + whole, in + head + whole, bytes - head - whole);
}

#else

void CopyStreaming(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

#endif

}  // namespace

void CopyFromRing(void* to, const void* from, size_t bytes) { CopyStreaming(to, from, bytes); }
void CopyToRing(void* to, const void* from, size_t bytes, bool streaming) {
  streaming ? CopyStreaming(to, from, bytes) : static_cast<void>(std::memcpy(to, from, bytes));
}

}  // namespace slipway::cuda
