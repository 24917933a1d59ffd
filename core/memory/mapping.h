// What the system says about this process's mappings.
#ifndef SLIPWAY_CORE_MEMORY_MAPPING_H_
#define SLIPWAY_CORE_MEMORY_MAPPING_H_

#include <cstdint>

namespace slipway {

uint64_t PageBytes();  // of ordinary memory

// The largest page that [addr, addr + length) is mapped with: such pages can only be pinned whole. PageBytes() where
// nothing larger is found, and for transparent huge pages, which the system splits as it likes.
uint64_t MappingPageBytes(uint64_t addr, uint64_t length);

// How many mappings the process has; 0 where the system does not tell. The system has a limit on it, which pinning and
// unpinning may use up where it splits mappings. Reads a file: not for hot paths.
uint64_t MappingCount();

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_MAPPING_H_
