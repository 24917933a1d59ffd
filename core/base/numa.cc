#include "core/base/numa.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace slipway {

void PreferNumaNode(void* begin, size_t bytes, int32_t node) {
  constexpr int kPreferred = 1;  // MPOL_PREFERRED of linux/mempolicy.h
  constexpr int32_t kMostNodes = 1024;
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  if (node < 0 || node >= kMostNodes) return;
  unsigned long mask[kMostNodes / kBits] = {};
  mask[static_cast<size_t>(node) / kBits] = 1ul << (static_cast<size_t>(node) % kBits);
  syscall(SYS_mbind, begin, bytes, kPreferred, mask, static_cast<unsigned long>(kMostNodes), 0u);
}

}  // namespace slipway
