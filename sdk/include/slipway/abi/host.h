/* What the core lends to a plugin: logging, time, memory, the pin budget, and the wake-up call. */
#ifndef SLIPWAY_ABI_HOST_H_
#define SLIPWAY_ABI_HOST_H_

#include "slipway/abi/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  SLIPWAY_LOG_ERROR = 0,
  SLIPWAY_LOG_WARNING = 1,
  SLIPWAY_LOG_INFO = 2,
  SLIPWAY_LOG_DEBUG = 3,
  SLIPWAY_LOG_TRACE = 4
};

/* The table is the core's, constant, and outlives every instance that was created with it. All entries are non-NULL
 * unless said otherwise. `ctx` is passed back as the first argument of every call.
 * A plugin calls none of them from inside query_registered, and none after destroy() returned.
 *
 * A plugin keeps the pointer; it never copies the struct, which may be longer than the one it was compiled with. */
typedef struct slipway_host {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor; /* of the core */
  void* ctx;
  const char *name, *version; /* of the core, for messages */

  /* [any][nb] The most verbose level that is recorded now. Ask before formatting a message. */
  uint32_t (*log_level)(void* ctx);
  /* [any][nb] One message, `len` bytes of UTF-8, no newline at the end, no format directives. */
  void (*log)(void* ctx, uint32_t level, const char* msg, size_t len);
  /* [any][nb] Monotonic nanoseconds. Tests drive it, so a plugin uses no other clock for its timeouts. */
  uint64_t (*now_ns)(void* ctx);
  /* [any] Memory with the given alignment (a power of two), near NUMA node `numa` (-1: anywhere). NULL: out of memory.
   */
  void* (*alloc)(void* ctx, size_t size, size_t align, int32_t numa);
  /* [any] Returns memory of alloc(); `size` is the one that was asked for. NULL is ignored. */
  void (*dealloc)(void* ctx, void* p, size_t size);
  /* [any][nb] To be asked before pinning `bytes` for the plugin's own use. OK, or E_PIN_LIMIT: then do not pin.
   * Registrations that the core asks for are charged by the core. */
  slipway_status (*pin_charge)(void* ctx, uint64_t bytes);
  void (*pin_uncharge)(void* ctx, uint64_t bytes); /* [any][nb] after unpinning */
  /* [any][nb] Completions may be ready on the channel that was opened with this cookie. Extra calls are harmless. */
  void (*wake)(void* ctx, void* channel_cookie);
  /* [any][nb] An optional table of functions, e.g. "slipway.copy/1"; NULL where the core has none of that name. */
  const void* (*get_extension)(void* ctx, const char* id);
} slipway_host;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_HOST_H_ */
