/* The application API in C: an engine that moves bytes between local memory and segments of peers.
 *
 * All functions are thread-safe unless they say otherwise. All handles are opaque. Strings are UTF-8 and
 * NUL-terminated. Every function that can fail returns a status (slipway/status.h; 0 is success) and, where `error` is
 * not NULL, fills it. Times are in milliseconds; SLIPWAY_NO_TIMEOUT waits until the request's own deadline, which
 * always exists.
 *
 * Functions that return text take a buffer and its room in *len, and set *len to the text's length without the NUL.
 * Too small: SLIPWAY_E_BUFFER_TOO_SMALL with *len the room needed, NUL included. */
#ifndef SLIPWAY_ENGINE_H_
#define SLIPWAY_ENGINE_H_

#include <stddef.h>
#include <stdint.h>

#include "slipway/abi/memory.h"
#include "slipway/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_API __attribute__((visibility("default")))
#define SLIPWAY_NO_TIMEOUT UINT64_MAX

typedef struct slipway_engine slipway_engine;   /* create .. destroy */
typedef struct slipway_segment slipway_segment; /* segment_open .. segment_close: a peer's segment */
typedef struct slipway_batch slipway_batch;     /* submit .. batch_release */

/* Why a call failed. Caller-owned; set struct_size. */
typedef struct slipway_failure {
  uint32_t struct_size;
  slipway_status code;
  char message[2040]; /* truncated rather than overflowed */
} slipway_failure;

/* ---- engine ------------------------------------------------------------------------------------------------------ */

/* One JSON file configures the engine; every key is in configs/reference.json. Opens the configured plugins, listens
 * for control requests where the configuration says so, and starts its threads. On failure nothing is left behind. */
SLIPWAY_API slipway_status slipway_engine_create_from_file(const char* path, slipway_engine** out,
                                                           slipway_failure* error);
/* As above, from `length` bytes of JSON text. */
SLIPWAY_API slipway_status slipway_engine_create_from_json(const char* json, size_t length, slipway_engine** out,
                                                           slipway_failure* error);
/* Cancels what is in flight, waits for its completion (bounded by the transports' own bounds), and frees everything.
 * Batches must have been released and segments closed before; those that were not are unusable afterwards and must only
 * be released. Not to be called from a callback. NULL is ignored. */
SLIPWAY_API void slipway_engine_destroy(slipway_engine* engine);

/* host:port of the control listener, as peers name it; empty text when it does not listen. */
SLIPWAY_API slipway_status slipway_engine_control_address(slipway_engine* engine, char* text, size_t* len);
/* Plugins, attributes, regions, segments, peers, budget and counters, as one JSON object. */
SLIPWAY_API slipway_status slipway_engine_describe(slipway_engine* engine, char* text, size_t* len);

/* ---- memory and segments ----------------------------------------------------------------------------------------- */

#define SLIPWAY_DECLARE_REGISTER_REQUIRED 1u /* fail when a transport that needs it cannot register the region */
#define SLIPWAY_DECLARE_NO_REGISTER 2u       /* do not register; what needs registration will be staged */

/* Tells the engine about memory that requests will use. Depending on memory.pin_policy it is registered with the
 * transports that need that, within the pin budget, best effort. The memory stays the caller's and must stay mapped
 * until undeclare_memory returned OK. Ranges may overlap; the same range twice counts twice.
 * Undeclared memory may be used too: it is then staged where a transport needs registration. */
SLIPWAY_API slipway_status slipway_memory_declare(slipway_engine* engine, void* address, uint64_t length,
                                                  uint32_t flags, slipway_failure* error);
/* Takes back one declare of exactly this range. Waits up to timeout_ms for requests that use the range;
 * E_REGION_BUSY when some still do, or while a published segment lies on it: then nothing has changed.
 * After OK no transport touches the memory. */
SLIPWAY_API slipway_status slipway_memory_undeclare(slipway_engine* engine, void* address, uint64_t length,
                                                    uint64_t timeout_ms, slipway_failure* error);

typedef struct slipway_memory_options {
  uint32_t struct_size;
  int32_t numa_node;     /* near which the memory should be; -1: anywhere */
  const char* transport; /* whose memory; NULL: that of the first one configured that has some, else ordinary memory */
} slipway_memory_options;

/* Memory for segments: `length` bytes, all zero, beginning at a multiple of 2 MiB, in huge pages where the system gives
 * them. Where a configured transport has memory that its peers reach better than any other (shared between processes,
 * say), it comes from there; segments may lie on any other memory too, only slower. Use it like your own: publish it,
 * declare it, move bytes from and to it. A forked child shares it with its parent. It stays until it is freed, or the
 * engine destroyed. options may be NULL. E_UNSUPPORTED: the transport that was named has none. */
SLIPWAY_API slipway_status slipway_memory_allocate(slipway_engine* engine, uint64_t length,
                                                   const slipway_memory_options* options, void** out,
                                                   slipway_failure* error);
/* Gives back what memory_allocate gave. E_REGION_BUSY while a published segment or a declared region lies on it, or a
 * request uses it: nothing has changed then. NULL and anything else that it did not give: E_INVALID. */
SLIPWAY_API slipway_status slipway_memory_free(slipway_engine* engine, void* address, slipway_failure* error);

typedef struct slipway_span {
  void* address;
  uint64_t length; /* bytes, > 0 */
} slipway_span;

/* Makes memory readable and/or writable by peers under a name ([A-Za-z0-9._/-]{1,255}). The spans follow one another in
 * the segment's address space, which starts at 0. access: SLIPWAY_ACCESS_REMOTE_READ and/or _WRITE. */
SLIPWAY_API slipway_status slipway_segment_publish(slipway_engine* engine, const char* name, const slipway_span* spans,
                                                   size_t count, uint32_t access, slipway_failure* error);
/* Peers that use it from now on are told E_STALE_REMOTE. After OK no peer touches the memory. */
SLIPWAY_API slipway_status slipway_segment_withdraw(slipway_engine* engine, const char* name, slipway_failure* error);

/* Opens a segment by "host:port/name" (of the node's control listener), or "/name" for one of this engine's own. */
SLIPWAY_API slipway_status slipway_segment_open(slipway_engine* engine, const char* url, uint64_t timeout_ms,
                                                slipway_segment** out, slipway_failure* error);
SLIPWAY_API uint64_t slipway_segment_length(const slipway_segment* segment);
/* Requests in flight keep what they need. NULL is ignored. */
SLIPWAY_API void slipway_segment_close(slipway_segment* segment);

/* ---- transfers --------------------------------------------------------------------------------------------------- */

enum { SLIPWAY_REQUEST_READ = 1 /* segment -> local */, SLIPWAY_REQUEST_WRITE = 2 /* local -> segment */ };

typedef struct slipway_request {
  uint32_t op;     /* SLIPWAY_REQUEST_* */
  uint32_t flags;  /* 0 */
  void* local;     /* any kind of memory that a configured provider knows; host otherwise */
  uint64_t length; /* bytes; 0 completes at once as OK */
  slipway_segment* segment;
  uint64_t offset;   /* bytes from the start of the segment */
  uint64_t reserved; /* 0 */
} slipway_request;

enum { SLIPWAY_PRIORITY_AUTO = 0, SLIPWAY_PRIORITY_SMALL = 1, SLIPWAY_PRIORITY_BULK = 2 };

typedef struct slipway_submit_options {
  uint32_t struct_size;
  uint32_t priority;   /* SLIPWAY_PRIORITY_* */
  uint64_t timeout_ms; /* of the whole batch, staging waits and retries included; 0: transfer.default_deadline_ms */
  /* Called once when the batch is complete, from a thread of the engine or from one that waits; holds no lock, must not
   * block, may release the batch. NULL: none. */
  void (*on_complete)(void* user, slipway_batch* batch);
  void* user;
  /* The batch's copies of device memory come after the work that `stream` holds now, a stream of the device's own
   * interface (CUDA: a CUstream, of which cudaStream_t is another name; NULL: the default stream) and of the kind of
   * memory `stream_kind`, one SLIPWAY_MEM_* bit. 0: the memory is ready as it is. E_INVALID: no such stream, or one
   * that is being captured; E_UNSUPPORTED: that kind has no streams. Copies of other batches may wait for the stream
   * too. */
  uint64_t stream_kind;
  void* stream;
} slipway_submit_options;

/* Submits `count` requests together. Either all are accepted or none is. They run in any order; overlapping targets get
 * one or the other. `requests` is not looked at after the call; the local memory is, until the batch is complete.
 * Errors name the request at fault. options may be NULL. */
SLIPWAY_API slipway_status slipway_submit(slipway_engine* engine, const slipway_request* requests, size_t count,
                                          const slipway_submit_options* options, slipway_batch** out,
                                          slipway_failure* error);

/* IN_PROGRESS, OK when all succeeded, or the status of the first request (by position) that failed. */
SLIPWAY_API slipway_status slipway_batch_poll(slipway_batch* batch);
/* As poll, but waits up to timeout_ms for the end; IN_PROGRESS when that passed. */
SLIPWAY_API slipway_status slipway_batch_wait(slipway_batch* batch, uint64_t timeout_ms);
/* Best effort; the batch still completes, with E_CANCELED for what was cut short. */
SLIPWAY_API slipway_status slipway_batch_cancel(slipway_batch* batch);
/* An eventfd, readable once the batch is complete; the batch's to close. -1: none could be made. */
SLIPWAY_API int slipway_batch_fd(slipway_batch* batch);
/* E_BUSY while it is in progress, and while its callback runs in another thread. */
SLIPWAY_API slipway_status slipway_batch_release(slipway_batch* batch);

typedef struct slipway_request_result {
  uint32_t struct_size;
  slipway_status status;                   /* IN_PROGRESS until the request is complete */
  uint64_t bytes;                          /* moved so far: all of it when OK */
  uint32_t slices, staged_slices, retries; /* of it, and of those of its batch that went as one with it */
  char transport[36];                      /* that served it; "mixed" for several, empty for none */
} slipway_request_result;
SLIPWAY_API slipway_status slipway_batch_result(slipway_batch* batch, size_t index, slipway_request_result* out);
/* What went wrong with request `index`, for a person; empty when nothing did. */
SLIPWAY_API slipway_status slipway_batch_message(slipway_batch* batch, size_t index, char* text, size_t* len);

/* For a request that is not submitted: which transport would serve it, in which order the others would be tried, why
 * each of the rest would not, and how it would be sliced and staged. JSON. */
SLIPWAY_API slipway_status slipway_explain(slipway_engine* engine, const slipway_request* request, char* text,
                                           size_t* len, slipway_failure* error);

/* ---- without an engine ------------------------------------------------------------------------------------------- */

/* Reads the file, the environment overrides and the schemas of the plugins it names, and starts nothing. */
SLIPWAY_API slipway_status slipway_config_check(const char* path, slipway_failure* error);
/* Loads one plugin by its configured name and tells what it offers, as JSON. Runs the plugin's code, so call it in a
 * child process for a plugin that is not trusted to load. `plugin_path` is colon-separated, may be NULL. */
SLIPWAY_API slipway_status slipway_plugin_describe(const char* name, const char* plugin_path, char* text, size_t* len,
                                                   slipway_failure* error);
/* Names and files of the plugins on the path, as JSON; opens none of them. */
SLIPWAY_API slipway_status slipway_plugins_list(const char* plugin_path, char* text, size_t* len);

SLIPWAY_API const char* slipway_status_name(slipway_status status); /* a constant word such as "E_PEER" */
SLIPWAY_API const char* slipway_version(void);

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_ENGINE_H_ */
