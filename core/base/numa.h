// Where memory lies on machines with several nodes.
#ifndef SLIPWAY_CORE_BASE_NUMA_H_
#define SLIPWAY_CORE_BASE_NUMA_H_

#include <cstddef>
#include <cstdint>

namespace slipway {

// Prefers the node for pages of [begin, begin + bytes) that have not been touched yet; whole pages. -1: anywhere. Best
// effort: where the system cannot, memory is simply elsewhere.
void PreferNumaNode(void* begin, size_t bytes, int32_t node);

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_NUMA_H_
