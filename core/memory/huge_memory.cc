#include "core/memory/huge_memory.h"

#include <sys/mman.h>

#include "core/base/bytes.h"
#include "core/base/numa.h"
#include "core/memory/mapping.h"

namespace slipway {
namespace {

constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr int kTwoMiB = 21 << MAP_HUGE_SHIFT;

char* Map(uint64_t bytes, int flags) {
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  return base == MAP_FAILED ? nullptr : static_cast<char*>(base);
}

// Ordinary memory that begins at a multiple of the huge page.
char* MapAligned(uint64_t bytes) {
  char* const mapped = Map(bytes + HugeMemory::kHugePage, kFlags | MAP_NORESERVE);
  if (mapped == nullptr) return nullptr;
  const uint64_t skip =
      RoundUp(reinterpret_cast<uint64_t>(mapped), HugeMemory::kHugePage) - reinterpret_cast<uint64_t>(mapped);
  if (skip > 0) munmap(mapped, skip);
  munmap(mapped + skip + bytes, HugeMemory::kHugePage - skip);
  return mapped + skip;
}

}  // namespace

Result<HugeMemory> HugeMemory::Create(uint64_t bytes, int32_t numa_node) {
  const auto no_memory = [bytes] { return Status(SLIPWAY_E_NOMEM, "no memory for " + FormatSize(bytes)); };
  if (bytes == 0 || bytes > UINT64_MAX / 4) return no_memory();
  const uint64_t page = PageBytes();
  if (bytes >= kHugePage) {
    // Reserved at once or refused: it cannot run out of huge pages when it is touched.
    const uint64_t whole = RoundUp(bytes, kHugePage);
    if (char* const base = Map(whole, kFlags | MAP_HUGETLB | kTwoMiB)) {
      PreferNumaNode(base, whole, numa_node);
      return HugeMemory(base, whole, kHugePage);
    }
  }
  const uint64_t whole = RoundUp(bytes, page);
  char* const base = whole >= kHugePage ? MapAligned(whole) : Map(whole, kFlags | MAP_NORESERVE);
  if (base == nullptr) return no_memory();
  if (whole >= kHugePage) madvise(base, whole, MADV_HUGEPAGE);  // harmless where it is refused
  PreferNumaNode(base, whole, numa_node);
  return HugeMemory(base, whole, page);
}

HugeMemory::~HugeMemory() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

}  // namespace slipway
