/* "slipway.memory.group/1": pieces that complete together. An extension of memory providers. Of thousands of short
 * pieces that belong together nobody asks which has ended: one completion for all of them spares both sides the work
 * for each. Whoever needs to know of each piece uses copy_submit. */
#ifndef SLIPWAY_ABI_GROUP_H_
#define SLIPWAY_ABI_GROUP_H_

#include "slipway/abi/memory_provider.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_MEMORY_GROUP_ID "slipway.memory.group/1"

typedef struct slipway_memory_group {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  /* [channel][nb] As copy_submit: a prefix of the pieces is accepted. Those are one group, which counts as one accepted
   * token, `token`, unique among those of the queue that are not polled; the pieces' own tokens are not looked at. With
   * none accepted there is no group. What was not accepted may be submitted as another.
   *
   * The group has one completion, by copy_poll, when no piece of it is read or written any more. OK: all were copied,
   * and `bytes` is their sum. Otherwise it has the status of one that was not; which of the others were is not told,
   * and bytes is 0: copying all of them again is right, as any order is. */
  slipway_status (*submit)(slipway_copy_queue*, uint64_t token, const slipway_copy*, uint32_t stride, uint32_t n,
                           uint32_t* accepted, slipway_error*);
} slipway_memory_group;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ABI_GROUP_H_ */
