// Copies between two places in host memory, one of which is the ring.
#ifndef SLIPWAY_PLUGINS_CUDA_HOST_COPY_H_
#define SLIPWAY_PLUGINS_CUDA_HOST_COPY_H_

#include <cstddef>

namespace slipway::cuda {

// Ranges do not overlap. All stores are visible to others when these return. From the ring past the caches, as nobody
// here reads it soon, and it would push out what will be read; to it where `streaming` says so, unless lines are
// demoted.
void CopyFromRing(void* to, const void* from, size_t bytes);
void CopyToRing(void* to, const void* from, size_t bytes, bool streaming);
// Whether this processor can be told to move what it has written from its own caches to those that all share, which is
// then done with what goes to the ring.
bool Demotes();

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_HOST_COPY_H_
