/* "slipway.direct/1": peers' memory that this process can touch itself. An extension of transports. The core copies
 * short pieces on the thread that submits them, and has memory providers copy devices' pieces straight into place;
 * neither becomes a slice. Whatever cannot go this way goes as slices, which also find out why. */
#ifndef SLIPWAY_ABI_DIRECT_H_
#define SLIPWAY_ABI_DIRECT_H_

#include "slipway/abi/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_DIRECT_ID "slipway.direct/1"

/* A peer's registration as this process sees it. */
typedef struct slipway_direct_view {
  uint32_t struct_size; /* in: as the caller knows it */
  uint32_t access;      /* SLIPWAY_ACCESS_REMOTE_* bits that it was exported with */
  void* base;           /* where its first byte lies */
  uint64_t length;      /* bytes */
  uint64_t mem_kind;    /* one SLIPWAY_MEM_* bit */
  uint64_t brief_bytes; /* longer copies of host memory are better made as slices */
} slipway_direct_view;

/* What was copied while it was entered. */
typedef struct slipway_direct_use {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  uint64_t copies;
  uint64_t bytes_read, bytes_written;
} slipway_direct_use;

#define SLIPWAY_DIRECT_HOLD 1u /* until copies that go on by themselves have ended; others may be entered meanwhile */

typedef struct slipway_direct {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  /* [channel][nb] OK: [base, base + length) may be read and written, as `access` allows, until leave; the peer's
   * deregistration waits for that as it does for a slice in flight. With SLIPWAY_DIRECT_HOLD release_remote answers
   * E_BUSY meanwhile; without it nothing of the channel and nothing that concerns the remote is called before leave.
   * E_AGAIN: not yet known. E_UNSUPPORTED: it cannot be reached this way, or not held. Others: why it cannot be reached
   * at all. */
  slipway_status (*enter)(slipway_channel*, slipway_remote*, uint32_t flags, slipway_direct_view* out);
  /* [channel][nb] Ends one enter; the same flags. */
  void (*leave)(slipway_channel*, slipway_remote*, uint32_t flags, const slipway_direct_use*);
} slipway_direct;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_DIRECT_H_ */
