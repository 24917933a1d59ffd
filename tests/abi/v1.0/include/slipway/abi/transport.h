/* A transport: moves slices between local memory and a peer's registered memory, and answers, for any range of local
 * memory, whether it is registered and how far. It decides nothing: the core cuts requests into slices, chooses the
 * transport, stages, pins, retries and times out.
 *
 * Life of the objects (all opaque, all owned by the plugin until the call named here returns OK):
 *   slipway_instance  create .. destroy
 *   slipway_mr        register_memory .. deregister_memory   a local registration
 *   slipway_peer      connect .. disconnect                  another instance of the same protocol
 *   slipway_remote    import_mr .. release_remote            a peer's registration
 *   slipway_channel   channel_open .. channel_close          where slices are submitted and completions polled
 * The core destroys objects in the reverse order: channels and remotes, peers, registrations, the instance. destroy()
 * nevertheless survives being called with any of them left: it stops all traffic and releases them.
 *
 * Completion, the rule that everything rests on: each token that submit() accepted is completed exactly once, through
 * poll() on the same channel, also after cancel, peer death and quiesce. From then on the plugin and the wire do not
 * touch the slice's local memory. A WRITE completed with OK is visible to the CPU at the target. A slice completed
 * with an error may have written any part of its own target range, and nothing outside it.
 *
 * Outputs are set only on success, unless the function says otherwise. */
#ifndef SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_TRANSPORT_H_
#define SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_TRANSPORT_H_

#include "slipway/abi/host.h"
#include "slipway/abi/memory.h"
#include "slipway/abi/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slipway_instance slipway_instance;
typedef struct slipway_channel slipway_channel;
typedef struct slipway_mr slipway_mr;
typedef struct slipway_peer slipway_peer;
typedef struct slipway_remote slipway_remote;

/* ---- capabilities ------------------------------------------------------------------------------------------------ */
#define SLIPWAY_CAP_NEEDS_LOCAL_REG (UINT64_C(1) << 0)  /* slices must carry local_mr */
#define SLIPWAY_CAP_NEEDS_REMOTE_REG (UINT64_C(1) << 1) /* peers reach only memory registered for REMOTE_* */
#define SLIPWAY_CAP_CROSS_PROCESS (UINT64_C(1) << 2)    /* reaches other processes of this host */
#define SLIPWAY_CAP_CROSS_HOST (UINT64_C(1) << 3)       /* reaches other hosts */
#define SLIPWAY_CAP_READ (UINT64_C(1) << 4)
#define SLIPWAY_CAP_WRITE (UINT64_C(1) << 5)
#define SLIPWAY_CAP_CANCEL (UINT64_C(1) << 6)       /* cancel() can end a slice before its natural completion */
#define SLIPWAY_CAP_EVENT_FD (UINT64_C(1) << 7)     /* event_fd() works; otherwise the plugin calls host->wake */
#define SLIPWAY_CAP_PEER_FAILURE (UINT64_C(1) << 8) /* slices to a dead peer complete E_PEER within peer_timeout_ms */
#define SLIPWAY_CAP_FORK_SAFE (UINT64_C(1) << 9)
#define SLIPWAY_CAP_REG_THREADSAFE (UINT64_C(1) << 10) /* (de)register_memory are [any] instead of [control] */
#define SLIPWAY_CAP_DMABUF (UINT64_C(1) << 11)         /* register_memory accepts slipway_range.dmabuf_fd */
#define SLIPWAY_CAP_ENCRYPTED (UINT64_C(1) << 12)      /* bytes on the wire are encrypted and authenticated */

/* What one instance really offers. The caller sets struct_size; the plugin fills the fields it covers.
 * Limits are inclusive. "0: none" means that there is no limit; where nothing is said, 0 is not allowed. */
typedef struct slipway_attrs {
  uint32_t struct_size;
  int32_t numa_node;                 /* of the device; -1: none or unknown */
  uint64_t caps, mem_kinds;          /* subsets of the descriptor's; mem_kinds: reachable locally without a copy */
  uint64_t max_slice_bytes;          /* a longer slice is E_INVALID and moves nothing */
  uint64_t preferred_slice_bytes;    /* where throughput is best; <= max_slice_bytes */
  uint64_t max_mr_bytes;             /* one registration; 0: none */
  uint64_t max_registered_bytes;     /* all registrations; 0: none */
  uint32_t max_mrs;                  /* registrations at once; 0: none */
  uint32_t max_channels;             /* at least 1 */
  uint32_t max_inflight_per_channel; /* accepted and not yet polled; at least 1. Beyond: E_AGAIN */
  uint32_t max_submit_batch;         /* slices one submit() looks at; at least 1. The rest is simply not accepted */
  uint32_t local_align, remote_align, length_align; /* powers of two; 1: any. Otherwise E_INVALID */
  uint32_t reg_granularity; /* registrations are rounded outwards to this; a power of two. query answers do not round */
  uint32_t pins_per_reg;    /* devices that pin each page: what the core charges per byte registered. 0: pins nothing */
  uint32_t peer_timeout_ms; /* the bound of CAP_PEER_FAILURE */
  uint32_t address_bytes_max, mr_blob_bytes_max; /* upper bounds of the exported blobs */
  uint64_t bandwidth_bytes_per_s, latency_ns;    /* estimates for route choice; 0: unknown */
  char device[64];                               /* what a person calls it; NUL-terminated */
} slipway_attrs;

/* ---- registration query ------------------------------------------------------------------------------------------ */
enum {
  SLIPWAY_REG_NOT_REQUIRED = 0, /* the access asked about needs no registration here */
  SLIPWAY_REG_FULL = 1,         /* all of it, through ONE registration */
  SLIPWAY_REG_PARTIAL = 2,      /* the first prefix_bytes of it (more than 0), through ONE registration */
  SLIPWAY_REG_NONE = 3          /* its first byte is not registered for this access */
};

typedef struct slipway_reg_info {
  uint32_t struct_size;
  uint32_t state;        /* SLIPWAY_REG_* */
  uint64_t prefix_bytes; /* from addr, reachable through ONE registration: where the slicer cuts. FULL: length;
                            NONE: 0; NOT_REQUIRED: length */
  slipway_mr* mr;        /* the registration that covers the prefix; NULL for NONE and NOT_REQUIRED. Advice only:
                            it may be deregistered by the time the caller looks */
  uint64_t generation;   /* changes with every register and deregister on the instance */
} slipway_reg_info;

/* ---- slices and completions -------------------------------------------------------------------------------------- */
enum { SLIPWAY_OP_READ = 1, SLIPWAY_OP_WRITE = 2 };

/* One piece of work. READ copies remote -> local, WRITE copies local -> remote. The array is the caller's and is not
 * looked at after submit() returned. */
typedef struct slipway_slice {
  uint64_t token;         /* the caller's; comes back in the completion, unchanged */
  uint32_t op;            /* SLIPWAY_OP_* */
  uint32_t flags;         /* none defined: any bit set is E_INVALID */
  void* local_addr;       /* not NULL */
  uint64_t length;        /* bytes, 1 .. max_slice_bytes */
  slipway_mr* local_mr;   /* covers the local range; NULL where registration is not required */
  slipway_remote* remote; /* of a peer of the same instance */
  uint64_t remote_offset; /* bytes from the start of the remote registration */
  uint64_t reserved;      /* must be 0; anything else is E_INVALID */
} slipway_slice;

typedef struct slipway_completion {
  uint64_t token;
  slipway_status status;
  int32_t native; /* errno and the like; 0 where there is none */
  uint64_t bytes; /* == length when OK, <= length otherwise */
  uint64_t reserved;
} slipway_completion;

/* ---- the table --------------------------------------------------------------------------------------------------- */
/* Constant data in the plugin. Entries marked "optional" may be NULL (means unsupported); all others are required and
 * are checked when the plugin is loaded. */
typedef struct slipway_transport {
  uint32_t struct_size;
  uint32_t reserved0; /* 0 */
  const char* name;   /* what configurations call it; [a-z0-9-]{1,31}, unique among loaded plugins */
  const char *version, *vendor, *description;
  const char* protocol;                /* wire name; [a-z0-9-]{1,31} */
  uint32_t protocol_min, protocol_max; /* instances talk when their names are equal and their ranges meet */
  uint64_t caps, mem_kinds;            /* upper bounds of what any instance offers: readable without running code */
  const char* config_schema;           /* JSON Schema (draft 7) of the configuration object; NULL: takes no keys */

  /* [control] Whether an instance with this configuration could be created here, and what it would offer. Leaves
   * nothing behind: no thread, no descriptor, no listening socket. Also called at the same time as itself.
   * `json` is one JSON object of `len` bytes, NOT NUL-terminated. E_CONFIG names the key in err->where. */
  slipway_status (*probe)(const slipway_host*, const char* json, size_t len, slipway_attrs*, slipway_error*);
  /* [control] On failure *out is untouched and nothing stays allocated. Bounded by one second plus what the
   * configuration says. */
  slipway_status (*create)(const slipway_host*, const char* json, size_t len, slipway_instance** out, slipway_error*);
  slipway_status (*get_attrs)(slipway_instance*, slipway_attrs*); /* [control] constant after create */
  /* [control] Completes every accepted token (with CANCELED where it has not happened yet), refuses new ones with
   * E_CANCELED, and refuses peers' new requests. The core keeps polling meanwhile, from another thread, so this may
   * return OK as soon as every completion is queued. E_TIMEOUT: some slice is still outstanding. */
  slipway_status (*quiesce)(slipway_instance*, uint64_t timeout_ns, slipway_error*);
  void (*destroy)(slipway_instance*); /* [control] stops everything; no callback after it returns. NULL is ignored */

  /* [any] with CAP_REG_THREADSAFE, else [control]; may block while pinning. The same range may be registered any number
   * of times; each is a registration of its own. E_PIN_LIMIT and E_NOMEM set SLIPWAY_ERR_RETRYABLE. */
  slipway_status (*register_memory)(slipway_instance*, const slipway_range*, slipway_mr** out, slipway_error*);
  /* As register_memory. After OK neither this instance nor any peer touches the memory through this registration, and
   * peers that try are told E_STALE_REMOTE. E_BUSY: slices that name it are in flight, or a peer's access would not end
   * within one second; nothing has changed then. */
  slipway_status (*deregister_memory)(slipway_instance*, slipway_mr*);
  /* [any][nb] Pure: registers nothing, changes nothing, calls nothing of the host. NOT_REQUIRED is said only of access
   * that needs no registration; where any bit of range->access needs one, the answer is about all bits together. Two
   * registrations that touch are never FULL together, since a slice carries one key. `out->struct_size` is set by the
   * caller. Length 0, overflow or NULL: E_INVALID. Unmapped memory is simply NONE. */
  slipway_status (*query_registered)(slipway_instance*, const slipway_range*, slipway_reg_info* out);

  /* [control] Names that travel. Opaque bytes; at most address_bytes_max and mr_blob_bytes_max of them.
   * Call with *len the room in buf; E_BUFFER_TOO_SMALL sets *len to what is needed (buf may be NULL when *len is 0).
   * What comes in through connect and import_mr came over a network: it is checked, byte for byte, and refused with
   * E_PROTOCOL. */
  slipway_status (*export_address)(slipway_instance*, void* buf, size_t* len, slipway_error*);
  slipway_status (*export_mr)(slipway_instance*, slipway_mr*, void* buf, size_t* len, slipway_error*);
  /* Starts to reach the instance that exported `address`. Never blocks on the network. */
  slipway_status (*connect)(slipway_instance*, const void* address, size_t len, slipway_peer** out, slipway_error*);
  /* [nb] IN_PROGRESS, OK, or why the peer cannot be used. Once failed it stays so, and this goes on to say why: the
   * core asks it for the message after a slice completed with a peer status. */
  slipway_status (*peer_ready)(slipway_peer*, slipway_error*);
  /* E_BUSY while a slice is in flight or a remote of it is not released. */
  slipway_status (*disconnect)(slipway_peer*);
  /* The blob must come from the same instance as the peer's address: else E_STALE_REMOTE. */
  slipway_status (*import_mr)(slipway_peer*, const void* blob, size_t len, slipway_remote** out, slipway_error*);
  slipway_status (*release_remote)(slipway_remote*); /* E_BUSY while a slice that names it is in flight */

  /* [control] `cookie` is passed to host->wake. E_NOMEM beyond max_channels. */
  slipway_status (*channel_open)(slipway_instance*, void* cookie, slipway_channel** out, slipway_error*);
  slipway_status (*channel_close)(slipway_channel*); /* [control] E_BUSY while an accepted token is not polled */
  /* [channel][nb] Accepts a prefix of the `n` slices, which lie `stride` bytes apart (>= sizeof as the caller knows
   * it), and sets *accepted always. OK: at least one was accepted and nothing is wrong with the first refused one but
   * room. E_AGAIN: none accepted, no room. Any other error: slice number *accepted is at fault, for the reason in err,
   * and those before it were accepted. */
  slipway_status (*submit)(slipway_channel*, const slipway_slice*, uint32_t stride, uint32_t n, uint32_t* accepted,
                           slipway_error*);
  /* [channel][nb] Up to `max` completions, `stride` bytes apart; sets *n. OK also when there are none. Makes progress
   * where the transport has no thread of its own. */
  slipway_status (*poll)(slipway_channel*, slipway_completion*, uint32_t stride, uint32_t max, uint32_t* n);
  /* [channel][nb] Optional with CAP_CANCEL absent. Best effort: the slice still completes, once, as CANCELED or as
   * whatever it came to. An unknown or finished token is harmless: OK. */
  slipway_status (*cancel)(slipway_channel*, uint64_t token);
  /* [control] Optional. A descriptor that is readable while poll() has work, for the life of the channel; the plugin's
   * to close. -1: none. */
  int (*event_fd)(slipway_channel*);

  /* [any] Optional. Counters as one JSON object; two-call length idiom as above, no NUL. */
  slipway_status (*stats_json)(slipway_instance*, char* buf, size_t* len);
  /* [any] Optional. A table by name and revision ("slipway.NAME/1"), or NULL. */
  const void* (*get_extension)(const char* id);
} slipway_transport;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_TRANSPORT_H_ */
