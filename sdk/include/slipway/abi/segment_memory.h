/* "slipway.segment-memory/1": memory that a transport's peers reach better than any other. An extension of transports;
 * the core asks for it where the application wants memory for segments. */
#ifndef SLIPWAY_ABI_SEGMENT_MEMORY_H_
#define SLIPWAY_ABI_SEGMENT_MEMORY_H_

#include "slipway/abi/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_SEGMENT_MEMORY_ID "slipway.segment-memory/1"

typedef struct slipway_segment_memory {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  /* [any] Memory of `bytes` bytes, all zero, that can be registered with this instance, and as ordinary memory with
   * others. It begins at a multiple of 2 MiB, in huge pages where the system gives them, near NUMA node `numa` (-1:
   * anywhere) where the transport can choose. E_INVALID: no bytes. E_NOMEM, retryable: no room. E_UNSUPPORTED: this
   * instance has none to give. */
  slipway_status (*allocate)(slipway_instance*, uint64_t bytes, int32_t numa, void** out, slipway_error*);
  /* [any] What allocate gave, when no registration covers it any more; NULL is ignored. E_INVALID: something else.
   * What was not released goes with the instance. */
  slipway_status (*release)(slipway_instance*, void*);
} slipway_segment_memory;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_SEGMENT_MEMORY_H_ */
