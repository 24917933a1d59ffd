/* An extension that a memory provider offers so that it can be tested: "slipway.test.memory/1". The ABI has no way to
 * allocate a device's memory, because a core never does. C11 and C++; copy it or include it. */
#ifndef SLIPWAY_TOOLS_CONFORM_TEST_MEMORY_H_
#define SLIPWAY_TOOLS_CONFORM_TEST_MEMORY_H_

#include "slipway/abi/memory_provider.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_TEST_MEMORY_ID "slipway.test.memory/1"

typedef struct slipway_test_memory {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  /* [any] Memory of the provider's kind, on its first device. */
  slipway_status (*alloc)(slipway_provider*, uint64_t bytes, void** out);
  void (*dealloc)(slipway_provider*, void*); /* [any] NULL is ignored */
  /* [any] A digest of what the calling thread has of the device: current device, context and last error. Two equal
   * digests mean that nothing changed. */
  uint64_t (*thread_state)(slipway_provider*);
  /* [any] Makes the calling thread's state one that a careless entry would change: another current device where there
   * is one, a pending error where the device keeps one. */
  void (*disturb)(slipway_provider*);
} slipway_test_memory;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_TOOLS_CONFORM_TEST_MEMORY_H_ */
