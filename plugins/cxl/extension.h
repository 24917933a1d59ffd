/* "slipway.cxl.window/1": memory in the windows of an instance, for those who hold its table; without what is
 * particular to windows it is also there as "slipway.segment-memory/1" (abi/segment_memory.h), zeroed. C11 and C++. */
#ifndef SLIPWAY_PLUGINS_CXL_EXTENSION_H_
#define SLIPWAY_PLUGINS_CXL_EXTENSION_H_

#include "slipway/abi/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_CXL_WINDOW_ID "slipway.cxl.window/1"

typedef struct slipway_cxl_window {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  /* [any] Memory that can be registered for peers, aligned to 2 MiB or what the device asks, in the first window that
   * has room. It holds whatever was there before. Other processes of this host that use this call, or lock the bytes of
   * the device that they use (F_OFD_SETLK), are given other memory; other hosts have another part of the device by
   * configuration. Released with the instance. E_NOMEM, retryable: no room. */
  slipway_status (*allocate)(slipway_instance*, uint64_t bytes, void** out, slipway_error*);
  /* [any] What allocate gave, when no registration covers it any more; NULL is ignored. E_INVALID: something else. */
  slipway_status (*release)(slipway_instance*, void*);
  /* [any] For windows that are shared without coherence: makes the next loads see what peers on other hosts wrote to
   * memory of this host's, and makes what this host stored there visible to them. Transfers do this by themselves, a
   * program that looks at its own segment does it. Nothing happens where caches are coherent. */
  slipway_status (*synchronize)(slipway_instance*, const void* address, uint64_t bytes);
} slipway_cxl_window;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_PLUGINS_CXL_EXTENSION_H_ */
