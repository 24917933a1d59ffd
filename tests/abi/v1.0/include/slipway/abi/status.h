/* Status codes and the error report: the vocabulary every other header of the ABI uses.
 *
 * Thread tags, used on every function of the ABI and defined only here:
 *   [control]  the core serialises these calls per instance; they may block, within the bound each one states
 *   [any]      any thread, any number at once
 *   [channel]  the core serialises these calls per channel; different channels run in parallel
 *   [nb]       must not block, must not allocate without bound, must not take a lock that is held across I/O
 */
#ifndef SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_STATUS_H_
#define SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_STATUS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the other side's copy of struct T, of which `p` is one, is long enough to hold field `f`.
 *
 * Rationale: every struct that crosses the boundary begins with `struct_size`, set by the side that owns the memory.
 * Structs only ever grow at the end, so a field may be read or written exactly when the declared size covers it. */
#define SLIPWAY_HAS(p, T, f) ((p)->struct_size >= offsetof(T, f) + sizeof(((T*)0)->f))

/* 0 is success, 1 is "not yet"; errors are negative and grouped by what they take down with them. */
typedef int32_t slipway_status;

enum {
  SLIPWAY_OK = 0,
  SLIPWAY_IN_PROGRESS = 1,

  /* -1 .. -99: this operation only. Everything else goes on. */
  SLIPWAY_E_INVALID = -1,           /* an argument breaks the contract: null, zero length, unknown flag, misaligned */
  SLIPWAY_E_UNSUPPORTED = -2,       /* the plugin does not offer this at all */
  SLIPWAY_E_AGAIN = -3,             /* back-pressure: nothing was accepted, poll and try again */
  SLIPWAY_E_NOMEM = -4,             /* out of memory, or of a resource that may come back */
  SLIPWAY_E_RANGE = -5,             /* outside the registration or region that was named */
  SLIPWAY_E_NOT_REGISTERED = -6,    /* needs a registration and has none */
  SLIPWAY_E_CANCELED = -7,          /* completed because of cancel() or quiesce(); no byte moves any more */
  SLIPWAY_E_BUSY = -8,              /* in use: try again when what uses it has completed */
  SLIPWAY_E_CONFIG = -9,            /* configuration refused; slipway_error.where holds the JSON pointer */
  SLIPWAY_E_PIN_LIMIT = -10,        /* the system or the budget refuses to pin more */
  SLIPWAY_E_BUFFER_TOO_SMALL = -11, /* *len now holds what is needed */
  SLIPWAY_E_IO = -12,               /* the operating system refused; slipway_error.native holds errno */

  /* -100 .. -199: this peer or this remote memory. Drop it; other peers are unaffected. */
  SLIPWAY_E_PEER = -100,         /* the peer is gone, unreachable or silent for longer than peer_timeout_ms */
  SLIPWAY_E_STALE_REMOTE = -101, /* the registration or instance named is of an earlier epoch, or was revoked */
  SLIPWAY_E_PROTOCOL = -102,     /* the peer, or bytes that came from it, break the protocol */
  SLIPWAY_E_TIMEOUT = -103,      /* the peer did not answer in time */
  SLIPWAY_E_ACCESS = -104,       /* the target refuses: not granted for this access, or outside what was granted */

  /* -200 .. -299: this instance. Destroy it. */
  SLIPWAY_E_DEVICE = -200,  /* the device failed or is gone */
  SLIPWAY_E_FORKED = -201,  /* the process forked; this is the child, and the instance is the parent's */
  SLIPWAY_E_INTERNAL = -202 /* the plugin found itself in a state that it cannot be in */
};

/* slipway_error.flags */
#define SLIPWAY_ERR_RETRYABLE 1u /* the same call may succeed later, without the caller changing anything */

/* A report about one failure. The caller owns it, sets `struct_size` and may pass NULL where it does not want one.
 * A callee writes it only when it returns a negative status. Nothing in it needs releasing, and it stays valid after
 * the plugin's instance is gone.
 *
 * Rationale: fixed size, so that an error can be reported when memory is short, and so that no driver's callback is
 * needed to release it. */
typedef struct slipway_error {
  uint32_t struct_size;
  slipway_status code;
  int32_t native;    /* errno, ibv_wc_status, CUresult, ... 0: none */
  uint32_t flags;    /* SLIPWAY_ERR_* */
  char where[64];    /* JSON pointer (RFC 6901) for configuration errors, a device or peer name otherwise */
  char message[256]; /* UTF-8, NUL-terminated, truncated rather than overflowed; says what to do next */
} slipway_error;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_STATUS_H_ */
