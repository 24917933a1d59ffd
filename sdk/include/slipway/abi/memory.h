/* Kinds of memory, access rights, and a range of memory as it is named across the boundary. */
#ifndef SLIPWAY_ABI_MEMORY_H_
#define SLIPWAY_ABI_MEMORY_H_

#include "slipway/abi/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Memory kinds are bits, so that a transport can say which it reaches. Bits 0-31 are assigned in this header,
 * 32-63 are for private use between a memory provider and a transport that know each other. */
#define SLIPWAY_MEM_HOST (UINT64_C(1) << 0)
#define SLIPWAY_MEM_CUDA (UINT64_C(1) << 1)
#define SLIPWAY_MEM_ROCM (UINT64_C(1) << 2)
#define SLIPWAY_MEM_MUSA (UINT64_C(1) << 3)
#define SLIPWAY_MEM_CXL (UINT64_C(1) << 4)

/* Access rights. LOCAL_READ: the transport reads the range (source of a write). LOCAL_WRITE: the transport writes it
 * (sink of a read). REMOTE_*: peers may do so through an exported registration. */
#define SLIPWAY_ACCESS_LOCAL_READ 1u
#define SLIPWAY_ACCESS_LOCAL_WRITE 2u
#define SLIPWAY_ACCESS_REMOTE_READ 4u
#define SLIPWAY_ACCESS_REMOTE_WRITE 8u
#define SLIPWAY_ACCESS_ALL 15u

/* A range to register or to ask about. The caller owns it for the duration of the call.
 * `length` is in bytes and greater than 0; `addr + length` does not overflow. Anything else is E_INVALID. */
typedef struct slipway_range {
  uint32_t struct_size;
  uint32_t access; /* SLIPWAY_ACCESS_*, at least one; an unknown bit is E_INVALID */
  void* addr;
  uint64_t length;
  uint64_t mem_kind;      /* exactly one SLIPWAY_MEM_* bit */
  int32_t device_ordinal; /* of the memory, as its provider counts; -1: none */
  int32_t dmabuf_fd;      /* -1: none. The caller keeps it open during the call and owns it */
  uint64_t dmabuf_offset; /* of `addr` within the DMA-BUF, in bytes */
} slipway_range;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_MEMORY_H_ */
