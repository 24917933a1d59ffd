/* A memory provider: knows one kind of memory. It tells what an address is, copies to, from and within its memory, pins
 * host pages for its device, and exports handles. It moves nothing between processes. */
#ifndef SLIPWAY_ABI_MEMORY_PROVIDER_H_
#define SLIPWAY_ABI_MEMORY_PROVIDER_H_

#include "slipway/abi/host.h"
#include "slipway/abi/memory.h"
#include "slipway/abi/status.h"
#include "slipway/abi/transport.h" /* slipway_completion */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slipway_provider slipway_provider; /* create .. destroy */
typedef struct slipway_copy_queue slipway_copy_queue;
typedef struct slipway_pin slipway_pin;

/* What an address is. The caller sets struct_size. */
typedef struct slipway_mem_info {
  uint32_t struct_size;
  int32_t device_ordinal; /* -1: none */
  uint64_t mem_kind;      /* 0: not this provider's memory; the other fields are then untouched */
  void* base;             /* of the allocation; NULL: unknown */
  uint64_t size;          /* of the allocation, in bytes; 0: unknown */
  uint64_t allocation_id; /* never reused, so it tells a new allocation at an old address; 0: unknown */
} slipway_mem_info;

/* One piece to copy. At least one side is this provider's kind; the other may be host memory, pinned or pageable. */
typedef struct slipway_copy {
  uint64_t token;
  void* dst;
  const void* src;
  uint64_t length; /* bytes; 0 completes as OK without touching anything */
  uint64_t dst_kind, src_kind;
} slipway_copy;

/* Every entry leaves the calling thread's current device, context and last error as it found them, also on failure.
 * Entries marked "optional" may be NULL. */
typedef struct slipway_memory_provider {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  const char *name, *version, *vendor, *description;
  const char* config_schema; /* JSON Schema (draft 7), or NULL */
  uint64_t mem_kind;         /* the one SLIPWAY_MEM_* bit it serves */

  slipway_status (*probe)(const slipway_host*, const char* json, size_t len, slipway_error*); /* [control] */
  slipway_status (*create)(const slipway_host*, const char* json, size_t len, slipway_provider** out,
                           slipway_error*); /* [control] */
  void (*destroy)(slipway_provider*);       /* [control] */
  /* [any][nb] OK with mem_kind 0 for addresses that are not its own, also unmapped ones and NULL. */
  slipway_status (*classify)(slipway_provider*, const void* addr, uint64_t length, slipway_mem_info* out);
  /* [any] Optional. Page-aligned, not empty, not overlapping a pin of this provider: else E_INVALID or E_BUSY.
   * Refused by the system: E_PIN_LIMIT with SLIPWAY_ERR_RETRYABLE. */
  slipway_status (*pin_host)(slipway_provider*, void* addr, uint64_t length, slipway_pin** out, slipway_error*);
  /* [any] Optional with pin_host. On failure the pages stay pinned and the pin stays valid: the core keeps the charge.
   * E_BUSY: copies in flight use the pages, in whichever way this provider copies them; to be tried again. */
  slipway_status (*unpin_host)(slipway_provider*, slipway_pin*, slipway_error*);
  slipway_status (*queue_open)(slipway_provider*, void* cookie, slipway_copy_queue** out,
                               slipway_error*);       /* [control] */
  slipway_status (*queue_close)(slipway_copy_queue*); /* [control] E_BUSY while an accepted token is not polled */
  /* [channel][nb] As slipway_transport.submit: a prefix, one completion per accepted token. Many small pieces are one
   * submission. The pieces run in any order. */
  slipway_status (*copy_submit)(slipway_copy_queue*, const slipway_copy*, uint32_t stride, uint32_t n,
                                uint32_t* accepted, slipway_error*);
  slipway_status (*copy_poll)(slipway_copy_queue*, slipway_completion*, uint32_t stride, uint32_t max,
                              uint32_t* n); /* [channel][nb] */
  /* [any] Optional. A descriptor that the caller closes, and the offset of addr in it. */
  slipway_status (*export_dmabuf)(slipway_provider*, const void* addr, uint64_t length, int* fd, uint64_t* offset,
                                  slipway_error*);
  const void* (*get_extension)(const char* id); /* [any] Optional. "slipway.memory.ipc/1", ... */
} slipway_memory_provider;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_MEMORY_PROVIDER_H_ */
