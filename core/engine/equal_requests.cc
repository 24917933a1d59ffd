#include "core/engine/equal_requests.h"

#include <cstddef>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slipway {
namespace {

constexpr size_t kAtOnce = 4, kLineBytes = 64;
// Processors look ahead within a page only, and these loops are done with one in the time that memory takes once.
constexpr size_t kAheadBytes = 4096;

void LookAhead(const slipway_request* r) {
  for (size_t at = 0; at < kAtOnce * sizeof *r; at += kLineBytes) {
    __builtin_prefetch(reinterpret_cast<const char*>(r) + kAheadBytes + at);
  }
}

#if defined(__x86_64__)

// A request is six words, each of which has to be at most so much more than what it is compared with.
static_assert(sizeof(slipway_request) == 48 && offsetof(slipway_request, local) == 8 &&
              offsetof(slipway_request, length) == 16 && offsetof(slipway_request, segment) == 24 &&
              offsetof(slipway_request, offset) == 32 && offsetof(slipway_request, reserved) == 40);

__attribute__((target("avx512f"))) size_t CountEqual512(const slipway_request* requests, size_t count,
                                                        const EqualRequests& equal) {
  constexpr __mmask8 kWords = 0x3f;
  const auto word = [](uint64_t v) { return static_cast<long long>(v); };
  const __m512i least = _mm512_setr_epi64(word(equal.op), word(equal.local), word(equal.length),
                                          word(reinterpret_cast<uintptr_t>(equal.segment)), 0, 0, 0, 0);
  const __m512i room = _mm512_setr_epi64(0, word(equal.local_room), 0, 0, word(equal.offset_room), 0, 0, 0);
  size_t i = 0;
  for (; i + kAtOnce <= count; i += kAtOnce) {
    LookAhead(requests + i);
    unsigned unlike = 0;
    for (size_t k = 0; k < kAtOnce; ++k) {
      const __m512i words = _mm512_maskz_loadu_epi64(kWords, requests + i + k);
      unlike |= _mm512_mask_cmpgt_epu64_mask(kWords, _mm512_sub_epi64(words, least), room);
    }
    if (unlike != 0) break;
  }
  return i;
}

#endif

}  // namespace

// Several at a time, with one branch for them all.
size_t CountEqualPlainly(const slipway_request* requests, size_t count, const EqualRequests& equal) {
  const uint64_t segment = reinterpret_cast<uintptr_t>(equal.segment);
  size_t i = 0;
  for (; i + kAtOnce <= count; i += kAtOnce) {
    const slipway_request* const r = requests + i;
    LookAhead(r);
    uint64_t unlike = 0;
#pragma GCC unroll 4
    for (size_t k = 0; k < kAtOnce; ++k) {
      const uint64_t local = reinterpret_cast<uintptr_t>(r[k].local) - equal.local;
      unlike |= (reinterpret_cast<uintptr_t>(r[k].segment) ^ segment) | (r[k].length ^ equal.length) |
                (r[k].op ^ equal.op) | r[k].flags | r[k].reserved | (0 - uint64_t{equal.offset_room < r[k].offset}) |
                (0 - uint64_t{equal.local_room < local});
    }
    if (unlike != 0) break;
  }
  return i;
}

size_t CountEqual(const slipway_request* requests, size_t count, const EqualRequests& equal) {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx512f") != 0;
  if (wide) return CountEqual512(requests, count, equal);
#endif
  return CountEqualPlainly(requests, count, equal);
}

}  // namespace slipway
