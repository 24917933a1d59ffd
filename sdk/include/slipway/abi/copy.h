/* The core's copies between memories of any kind, for transports that move bytes within a machine: what such a
 * transport cannot reach with the CPU, the memory provider that knows it copies on its behalf, at once and without
 * staging.
 *
 * The table is the extension "slipway.copy/1" of slipway_host. A core without memory providers has none of that name.
 *
 * A transport asks for it in probe() and create(), adds what mem_kinds() says to its attributes' mem_kinds and
 * CAP_SLICE_KIND to its caps, and from then on is given registrations and slices of such memory. It opens one copier a
 * channel, gives it those pieces of its slices where one side at least is not host memory, and completes the slice when
 * the piece has completed. Failures of a device are the copy's alone: a transport that can go on tells of them as E_IO.
 */
#ifndef SLIPWAY_ABI_COPY_H_
#define SLIPWAY_ABI_COPY_H_

#include "slipway/abi/memory_provider.h" /* slipway_copy */

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_HOST_COPY_ID "slipway.copy/1"

typedef struct slipway_copier slipway_copier;     /* open .. close; the core's */
typedef struct slipway_host_pin slipway_host_pin; /* pin .. unpin; the core's */

/* Constant, and outlives every instance created with the host's table. `ctx` is slipway_host.ctx. All entries are set.
 */
typedef struct slipway_host_copy {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  /* [any][nb] The kinds that can be copied to and from host memory and within themselves, host memory not among them.
   * Does not change while the core runs. */
  uint64_t (*mem_kinds)(void* ctx);
  /* [control] `cookie` is passed to slipway_host.wake when completions may be ready. The copier belongs to the instance
   * whose host's ctx this is. */
  slipway_status (*open)(void* ctx, void* cookie, slipway_copier** out, slipway_error*);
  /* [control] E_BUSY while an accepted token is not polled: the core keeps what is left until it ends itself, and until
   * then the memory of those pieces may be read and written. */
  slipway_status (*close)(slipway_copier*);
  /* [channel][nb] As slipway_memory_provider.copy_submit: a prefix, one completion per accepted token, in any order.
   * Tokens are the caller's, unique among those of the copier that are not polled. E_UNSUPPORTED: both sides are host
   * memory, or two kinds of which no provider knows both. */
  slipway_status (*submit)(slipway_copier*, const slipway_copy*, uint32_t stride, uint32_t n, uint32_t* accepted,
                           slipway_error*);
  /* [channel][nb] As slipway_memory_provider.copy_poll. */
  slipway_status (*poll)(slipway_copier*, slipway_completion*, uint32_t stride, uint32_t max, uint32_t* n);
  /* [control] Has pages of host memory that the instance has mapped pinned by every provider that pins, where the
   * core's policy is to pin all (memory.pin_policy) and its budget allows. *kinds: the SLIPWAY_MEM_* whose devices now
   * reach it without the CPU; what refuses is logged, and no error. Pins of one provider do not overlap. */
  slipway_status (*pin)(void* ctx, void* addr, uint64_t length, uint64_t* kinds, slipway_host_pin** out,
                        slipway_error*);
  /* [control] Before the memory goes. NULL is ignored. */
  void (*unpin)(void* ctx, slipway_host_pin*);
} slipway_host_copy;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_COPY_H_ */
