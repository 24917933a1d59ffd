// Copying, past the caches where the data would only push everything else out of them.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_COPY_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_COPY_H_

#include <cstddef>

namespace slipway::local_memcpy {

// As memmove. For what fits into the caches, and for ranges that overlap.
void CopyCached(void* to, const void* from, size_t bytes);

// How CopyStreaming copies; kPlain is memcpy.
enum class Streaming { kPlain, kAvx2, kAvx512 };
// The best that this CPU has.
Streaming BestStreaming();
const char* StreamingName(Streaming how);

// With streaming stores. The bytes are visible to other CPUs on return. The ranges must not overlap, and the CPU must
// have what `how` needs: any up to BestStreaming().
void CopyStreaming(void* to, const void* from, size_t bytes, Streaming how);

// Bytes of the last-level cache, as far as the system tells; a guess otherwise.
size_t LastLevelCacheBytes();

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_COPY_H_
