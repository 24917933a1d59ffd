#include "plugins/cxl/copy.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "slipway/sdk/copy_bytes.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace slipway::cxl {

#if defined(__x86_64__)

namespace {

// ---- what this CPU has -----------------------------------------------------------------------------------------

enum class Stores { kPlain, kAvx2, kAvx512 };

struct Cpu {
  Stores stores = Stores::kPlain;
  bool clwb = false, clflushopt = false;
};

Cpu Detect() {
  Cpu cpu;
  cpu.stores = __builtin_cpu_supports("avx512f") ? Stores::kAvx512
               : __builtin_cpu_supports("avx2")  ? Stores::kAvx2
                                                 : Stores::kPlain;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    cpu.clflushopt = (ebx >> 23 & 1) != 0;
    cpu.clwb = (ebx >> 24 & 1) != 0;
  }
  return cpu;
}

const Cpu& ThisCpu() {
  static const Cpu cpu = Detect();
  return cpu;
}

// ---- cache lines -----------------------------------------------------------------------------------------------

__attribute__((target("clwb"))) void Clwb(char* line, char* end) {
  for (; line < end; line += kLine) _mm_clwb(line);
}
__attribute__((target("clflushopt"))) void Clflushopt(char* line, char* end) {
  for (; line < end; line += kLine) _mm_clflushopt(line);
}
void Clflush(char* line, char* end) {
  for (; line < end; line += kLine) _mm_clflush(line);
}

char* FirstLine(const void* at) {
  return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(at) & ~uintptr_t{kLine - 1});
}
char* EndOf(const void* at, size_t bytes) { return static_cast<char*>(const_cast<void*>(at)) + bytes; }

// Without the fence that makes it count.
void StartWriteBack(const void* at, size_t bytes) {
  const Cpu& cpu = ThisCpu();
  (cpu.clwb ? Clwb : cpu.clflushopt ? Clflushopt : Clflush)(FirstLine(at), EndOf(at, bytes));
}
void StartInvalidate(const void* at, size_t bytes) {
  (ThisCpu().clflushopt ? Clflushopt : Clflush)(FirstLine(at), EndOf(at, bytes));
}

// ---- loops -----------------------------------------------------------------------------------------------------

// So much is loaded before it is stored.
constexpr size_t kStep = 4 * kLine;
// Shorter copies gain nothing from loops of steps.
constexpr size_t kSmallest = 2 * kStep;

// All copy whole steps to an aligned place; `bytes` is a multiple of kStep.
template <bool kPastCaches>
__attribute__((target("avx512f"))) void Steps512(char* to, const char* from, size_t bytes) {
  for (const char* const end = from + bytes; from < end; from += kStep, to += kStep) {
    __m512i line[4];
    for (int i = 0; i < 4; ++i) line[i] = _mm512_loadu_si512(from + i * kLine);
    for (int i = 0; i < 4; ++i) {
      __m512i* const out = reinterpret_cast<__m512i*>(to) + i;
      kPastCaches ? _mm512_stream_si512(out, line[i]) : _mm512_store_si512(out, line[i]);
    }
  }
}
template <bool kPastCaches>
__attribute__((target("avx2"))) void Steps256(char* to, const char* from, size_t bytes) {
  constexpr int kParts = kStep / sizeof(__m256i);
  for (const char* const end = from + bytes; from < end; from += kStep, to += kStep) {
    __m256i part[kParts];
    for (int i = 0; i < kParts; ++i) part[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from) + i);
    for (int i = 0; i < kParts; ++i) {
      __m256i* const out = reinterpret_cast<__m256i*>(to) + i;
      kPastCaches ? _mm256_stream_si256(out, part[i]) : _mm256_store_si256(out, part[i]);
    }
  }
}

// How a copy is divided: whole steps in the middle, and what is before and after them.
struct Parts {
  size_t head, whole, tail;
};
Parts Divide(const char* to, size_t bytes) {
  const size_t head = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine;
  const size_t whole = (bytes - head) / kStep * kStep;
  return {head, whole, bytes - head - whole};
}

// Gives how much of it went past the caches: all of `parts.whole` or nothing. No fence.
bool Copy(char* to, const char* from, size_t bytes, CopyStyle style, Parts& parts) {
  const Stores stores = ThisCpu().stores;
  if (style == CopyStyle::kOverlapping || bytes < kSmallest || stores == Stores::kPlain) {
    sdk::CopyBytes(to, from, bytes);
    return false;
  }
  parts = Divide(to, bytes);
  const bool streaming = style == CopyStyle::kStreaming, wide = stores == Stores::kAvx512;
  std::memcpy(to, from, parts.head);
  (streaming ? (wide ? Steps512<true> : Steps256<true>) : (wide ? Steps512<false> : Steps256<false>))(
      to + parts.head, from + parts.head, parts.whole);
  std::memcpy(to + parts.head + parts.whole, from + parts.head + parts.whole, parts.tail);
  return streaming;
}

}  // namespace

void WriteBack(const void* at, size_t bytes) {
  StartWriteBack(at, bytes);
  _mm_sfence();
}

void Invalidate(const void* at, size_t bytes) {
  StartInvalidate(at, bytes);
  _mm_mfence();  // loads must not go before it
}

void CopyIn(void* window, const void* from, size_t bytes, CopyStyle style, const CopyPolicy& policy,
            CopyCounts& counts) {
  Parts parts{};
  char* const to = static_cast<char*>(window);
  const bool streamed = Copy(to, static_cast<const char*>(from), bytes, style, parts);
  if (streamed) counts.streamed_bytes += parts.whole;
  if (policy.write_back && streamed) {
    char* const rest = to + parts.head + parts.whole;
    StartWriteBack(to, parts.head);
    StartWriteBack(rest, parts.tail);
    counts.written_back_lines += LinesOf(to, parts.head) + LinesOf(rest, parts.tail);
  } else if (policy.write_back) {
    StartWriteBack(to, bytes);
    counts.written_back_lines += LinesOf(to, bytes);
  }
  // Neither streaming stores nor lines that are written back are ordered with what follows.
  if (streamed || policy.write_back) _mm_sfence();
}

void CopyOut(void* to, const void* window, size_t bytes, CopyStyle style, const CopyPolicy& policy,
             CopyCounts& counts) {
  if (policy.invalidate) {
    Invalidate(window, bytes);
    counts.invalidated_lines += LinesOf(window, bytes);
  }
  Parts parts{};
  if (!Copy(static_cast<char*>(to), static_cast<const char*>(window), bytes, style, parts)) return;
  counts.streamed_bytes += parts.whole;
  _mm_sfence();
}

const char* CopyAbilities() {
  const Cpu& cpu = ThisCpu();
  switch (cpu.stores) {
    case Stores::kAvx512:
      return cpu.clwb ? "avx512, clwb" : cpu.clflushopt ? "avx512, clflushopt" : "avx512, clflush";
    case Stores::kAvx2:
      return cpu.clwb ? "avx2, clwb" : cpu.clflushopt ? "avx2, clflushopt" : "avx2, clflush";
    case Stores::kPlain:
      break;
  }
  return cpu.clwb ? "clwb" : cpu.clflushopt ? "clflushopt" : "clflush";
}

#else

// The configuration refuses policies that would need these.
void WriteBack(const void*, size_t) { std::atomic_thread_fence(std::memory_order_seq_cst); }
void Invalidate(const void*, size_t) { std::atomic_thread_fence(std::memory_order_seq_cst); }
void CopyIn(void* window, const void* from, size_t bytes, CopyStyle, const CopyPolicy&, CopyCounts&) {
  sdk::CopyBytes(window, from, bytes);
}
void CopyOut(void* to, const void* window, size_t bytes, CopyStyle, const CopyPolicy&, CopyCounts&) {
  sdk::CopyBytes(to, window, bytes);
}
const char* CopyAbilities() { return "plain"; }

#endif

}  // namespace slipway::cxl
