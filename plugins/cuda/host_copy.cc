#include "plugins/cuda/host_copy.h"

#include <cstdint>
#include <cstring>

#include "slipway/sdk/copy_bytes.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace slipway::cuda {
namespace {

#if defined(__x86_64__)

constexpr size_t kLine = 64;
constexpr size_t kStep = 4 * kLine;     // loaded before it is stored
constexpr size_t kSmallest = 16 << 10;  // below, the fence costs more than the caches gain

// These copy whole steps to an aligned place.
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

// Past what this core keeps to what all share: the device finds them there at once, and reads a line that a core has
// changed at less than half its rate.
__attribute__((target("avx512f,cldemote"))) void StepsDemoting(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += kStep) {
    const __m512i a = _mm512_loadu_si512(from + i);
    const __m512i b = _mm512_loadu_si512(from + i + kLine);
    const __m512i c = _mm512_loadu_si512(from + i + 2 * kLine);
    const __m512i d = _mm512_loadu_si512(from + i + 3 * kLine);
    __m512i* const out = reinterpret_cast<__m512i*>(to + i);
    _mm512_store_si512(out, a);
    _mm512_store_si512(out + 1, b);
    _mm512_store_si512(out + 2, c);
    _mm512_store_si512(out + 3, d);
    for (size_t line = 0; line < kStep; line += kLine) _cldemote(to + i + line);
  }
}

using Steps = void (*)(char*, const char*, size_t);
Steps BestSteps() {
  if (__builtin_cpu_supports("avx512f")) return Steps512;
  return __builtin_cpu_supports("avx2") ? Steps256 : nullptr;
}

// Whole steps by `steps`, to an aligned place; the ends as they come.
void CopyBy(Steps steps, void* to, const void* from, size_t bytes) {
  if (steps == nullptr || bytes < kSmallest) {
    sdk::CopyBytes(to, from, bytes);
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

void CopyStreaming(void* to, const void* from, size_t bytes) {
  static const Steps steps = BestSteps();
  CopyBy(steps, to, from, bytes);
}

bool FindDemoting() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  constexpr uint32_t kFeatures = 7, kCldemote = 1u << 25;
  return __builtin_cpu_supports("avx512f") && __get_cpuid_count(kFeatures, 0, &a, &b, &c, &d) != 0 &&
         (c & kCldemote) != 0;
}

void CopyDemoting(void* to, const void* from, size_t bytes) { CopyBy(StepsDemoting, to, from, bytes); }

#else

void CopyStreaming(void* to, const void* from, size_t bytes) { sdk::CopyBytes(to, from, bytes); }
bool FindDemoting() { return false; }
void CopyDemoting(void* to, const void* from, size_t bytes) { sdk::CopyBytes(to, from, bytes); }

#endif

}  // namespace

void CopyFromRing(void* to, const void* from, size_t bytes) { CopyStreaming(to, from, bytes); }
bool Demotes() {
  static const bool demotes = FindDemoting();
  return demotes;
}
void CopyToRing(void* to, const void* from, size_t bytes, bool streaming) {
  if (Demotes()) return CopyDemoting(to, from, bytes);
  streaming ? CopyStreaming(to, from, bytes) : sdk::CopyBytes(to, from, bytes);
}

}  // namespace slipway::cuda
