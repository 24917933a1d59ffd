/* The objects behind the ABI's handles, and what the files of this plugin call of each other. */
#ifndef SLIPWAY_SDK_TEMPLATE_C_OBJECTS_H_
#define SLIPWAY_SDK_TEMPLATE_C_OBJECTS_H_

#include <stdbool.h>
#include <sys/types.h>

#include "slipway/abi/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MRS_MAX = 1024, CHANNELS_MAX = 64, INFLIGHT_MAX = 64, BATCH_MAX = 64, SLICE_BYTES_MAX = 1 << 20 };
#define REMOTE_ACCESS (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE)

/* The core casts handles to nothing, so the opaque types of the ABI are simply defined. */
struct slipway_mr {
  slipway_mr* next;
  uint64_t key;
  char* addr;
  uint64_t length;
  uint32_t access;
  uint32_t users; /* copies to or from it that go on now */
};
struct slipway_peer {
  slipway_peer* next;
  slipway_instance* instance;
  uint64_t target;
  uint32_t remotes;
};
struct slipway_remote {
  slipway_remote* next;
  slipway_peer* peer;
  uint64_t key, length;
  uint32_t access;
  uint32_t inflight;
};
struct slipway_channel {
  slipway_channel* next;
  slipway_instance* instance;
  void* cookie;
  uint32_t first, count; /* of the slices in the ring, which wait for poll() */
  slipway_slice ring[INFLIGHT_MAX];
};
struct slipway_instance {
  slipway_instance* next;
  const slipway_host* host;
  uint64_t id;
  pid_t pid; /* of the process that made it: a forked child's copy is not used */
  bool stopped;
  uint32_t mr_count, channel_count;
  uint32_t polling; /* threads inside poll() */
  uint64_t generation;
  slipway_mr* mrs;
  slipway_peer* peers;
  slipway_remote* remotes;
  slipway_channel* channels;
};

#define UNLINK(type, head, object)                            \
  for (type** at = &(head); *at != NULL; at = &(*at)->next) { \
    if (*at == (object)) {                                    \
      *at = (object)->next;                                   \
      break;                                                  \
    }                                                         \
  }

/* Guards every object but the rings, which the core serialises. Not held while bytes are copied. */
void lock(void);
void unlock(void);

/* Whether this process made the instance. What is not its own is not touched: the lock may be held by a thread that did
 * not come along. */
bool mine(const slipway_instance* i);
slipway_status forked(slipway_error* e);

/* With the lock held. NULL: gone, stopped or revoked. */
slipway_instance* target_of(const slipway_peer* peer);
slipway_mr* find_mr(const slipway_instance* target, uint64_t key);

/* The channel's entries of the table. */
slipway_status channel_open(slipway_instance* i, void* cookie, slipway_channel** out, slipway_error* e);
slipway_status channel_close(slipway_channel* c);
slipway_status channel_submit(slipway_channel* c, const slipway_slice* slices, uint32_t stride, uint32_t n,
                              uint32_t* accepted, slipway_error* e);
slipway_status channel_poll(slipway_channel* c, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n);

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_SDK_TEMPLATE_C_OBJECTS_H_ */
