/* The object store in C: bytes and tensors under keys, in segments of memory that nodes contribute.
 *
 * The rules of slipway/engine.h hold here too: all functions are thread-safe unless they say otherwise, handles are
 * opaque, text is UTF-8, times are milliseconds, lengths are bytes, and where a function that can fail is given a
 * `slipway_failure`, it fills it.
 *
 * Keys are 1 to SLIPWAY_STORE_KEY_MAX bytes of UTF-8 without control characters; they need no NUL. Buffers may be any
 * kind of memory that the engine knows: host memory, pinned or pageable, or a device's. They are the caller's, and are
 * not looked at after the call.
 *
 * What a write means. It is atomic: readers see the old value, or none, until the whole of the new one is there. A
 * write that fails leaves no trace: what was under the key is still there, and the space is free again. A value of no
 * bytes is a value.
 *
 * Batches. Functions that take `count` items give each its own status in `statuses` (may be NULL), and go on past items
 * that fail; they return OK when none failed, otherwise the status of the first that did, and say why in `error`. A
 * call that is malformed - NULL with a length, a length that wraps around the address space, the same key twice, an
 * unknown option - is refused as a whole: E_INVALID, nothing is changed, every status is E_INVALID, and the message
 * names the item. */
#ifndef SLIPWAY_STORE_H_
#define SLIPWAY_STORE_H_

#include "slipway/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_STORE_KEY_MAX 1024
#define SLIPWAY_TENSOR_RANK_MAX 32

typedef struct slipway_store slipway_store;           /* create or open .. close */
typedef struct slipway_store_view slipway_store_view; /* a value that stays as it is until it is released */

/* ---- the store --------------------------------------------------------------------------------------------------- */

/* An engine with its store, from one JSON file (configs/README.md, section store). Where store.connect names a node,
 * the store is that node's and this process is its client; otherwise it is this process's own, with the segments that
 * the configuration lists. */
SLIPWAY_API slipway_status slipway_store_create_from_file(const char* path, slipway_store** out,
                                                          slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_create_from_json(const char* json, size_t length, slipway_store** out,
                                                          slipway_failure* error);
/* The store of an engine that exists: with `address` NULL or "" the engine's own, as its configuration says, made by
 * the first call and the same in later ones; otherwise that of the node whose control listener is at "host:port".
 * Peers can use an engine's own store, over its control listener, once it has been opened. */
SLIPWAY_API slipway_status slipway_store_open(slipway_engine* engine, const char* address, uint64_t timeout_ms,
                                              slipway_store** out, slipway_failure* error);
/* Gives the handle back; with an engine's last handle its store goes, with all that is in it, and with a store that was
 * created its engine does. Views may be released later; their memory stays. Not to be called beside other calls on the
 * same handle. NULL is ignored. */
SLIPWAY_API void slipway_store_close(slipway_store* store);
/* The engine below, which belongs to the store. */
SLIPWAY_API slipway_engine* slipway_store_engine(slipway_store* store);
/* Segments, space, objects and counters, as one JSON object. */
SLIPWAY_API slipway_status slipway_store_describe(slipway_store* store, char* text, size_t* len,
                                                  slipway_failure* error);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

enum { SLIPWAY_IF_EXISTS_KEEP = 0 /* says SLIPWAY_EXISTS */, SLIPWAY_IF_EXISTS_ERROR = 1 /* E_EXISTS */ };
/* What a full store does with the object. */
enum {
  SLIPWAY_KEEP_DEFAULT = 0,     /* evictable */
  SLIPWAY_KEEP_EVICTABLE = 1,   /* evicted when it is the least recently used */
  SLIPWAY_KEEP_SOFT_PINNED = 2, /* evicted when no evictable one is left */
  SLIPWAY_KEEP_PINNED = 3       /* never evicted */
};
enum { SLIPWAY_CHECKSUM_DEFAULT = 0 /* store.checksums */, SLIPWAY_CHECKSUM_ON = 1, SLIPWAY_CHECKSUM_OFF = 2 };

/* NULL where these are asked for: all 0. */
typedef struct slipway_store_write_options {
  uint32_t struct_size;
  uint32_t if_exists;                    /* SLIPWAY_IF_EXISTS_*; of put, not of upsert */
  uint32_t keep;                         /* SLIPWAY_KEEP_* */
  uint32_t checksum;                     /* SLIPWAY_CHECKSUM_* */
  uint32_t replicas;                     /* in different segments; 0: store.replicas */
  uint32_t preferred_count;              /* of preferred_segments */
  const char* const* preferred_segments; /* names, tried in order before the others */
  const char* group;                     /* objects of a group are evicted together; NULL: none; up to 255 bytes */
  uint64_t timeout_ms;                   /* of the whole call; 0: store.deadline_ms */
  /* As of slipway_submit_options: copies of device memory of this kind come after what `stream` holds at the call. */
  uint64_t stream_kind;
  void* stream;
} slipway_store_write_options;

/* One value, from `part_count` buffers that follow one another in it. */
typedef struct slipway_store_item {
  const char* key;
  size_t key_length;
  const slipway_span* parts; /* of a length of 0 or more; NULL address only with length 0 */
  size_t part_count;         /* 0: an empty value */
} slipway_store_item;

/* Stores values under keys that have none. A key that has one keeps it: SLIPWAY_EXISTS, or E_EXISTS as the options say;
 * of two writers one wins and the other is told.
 * E_NO_SPACE: nothing can be evicted to make room; E_TOO_LARGE: no segment could ever hold it; E_DEADLINE;
 * E_STAGING_NOT_CONFIGURED, E_STAGING_EXHAUSTED; what the transports say. */
SLIPWAY_API slipway_status slipway_store_put(slipway_store* store, const char* key, size_t key_length,
                                             const void* address, uint64_t length,
                                             const slipway_store_write_options* options, slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_put_batch(slipway_store* store, const slipway_store_item* items, size_t count,
                                                   const slipway_store_write_options* options, slipway_status* statuses,
                                                   slipway_failure* error);
/* As put, but a key that has a value gets the new one. Readers see the old one until then, and the key is never
 * without; who reads the old one goes on undisturbed. */
SLIPWAY_API slipway_status slipway_store_upsert(slipway_store* store, const char* key, size_t key_length,
                                                const void* address, uint64_t length,
                                                const slipway_store_write_options* options, slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_upsert_batch(slipway_store* store, const slipway_store_item* items,
                                                      size_t count, const slipway_store_write_options* options,
                                                      slipway_status* statuses, slipway_failure* error);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Whether checksums, where an object has them, are compared: of every chunk that is touched, also where only a part of
 * it is read. What goes from another process straight into a device's memory cannot be looked at, and is not compared.
 */
enum { SLIPWAY_VERIFY_DEFAULT = 0 /* store.verify_reads */, SLIPWAY_VERIFY_ON = 1, SLIPWAY_VERIFY_OFF = 2 };

/* NULL where these are asked for: all 0. */
typedef struct slipway_store_read_options {
  uint32_t struct_size;
  uint32_t verify;     /* SLIPWAY_VERIFY_* */
  uint64_t timeout_ms; /* of the whole call; 0: store.deadline_ms */
  /* As of slipway_submit_options: copies of device memory of this kind come after what `stream` holds at the call. */
  uint64_t stream_kind;
  void* stream;
} slipway_store_read_options;

/* Copies the value into [address, address + capacity); *length (may be NULL) is set to the value's length.
 * E_NOT_FOUND; E_BUFFER_TOO_SMALL: nothing was copied, *length says what is needed; E_CHECKSUM: the bytes are not those
 * that were written, and what is in the buffer must not be used. */
SLIPWAY_API slipway_status slipway_store_get_into(slipway_store* store, const char* key, size_t key_length,
                                                  void* address, uint64_t capacity, uint64_t* length,
                                                  const slipway_store_read_options* options, slipway_failure* error);
/* The same for many: an item's parts are filled in order. `lengths` (may be NULL) has `count` entries. */
SLIPWAY_API slipway_status slipway_store_get_into_batch(slipway_store* store, const slipway_store_item* items,
                                                        size_t count, uint64_t* lengths,
                                                        const slipway_store_read_options* options,
                                                        slipway_status* statuses, slipway_failure* error);

typedef struct slipway_store_range {
  void* address;   /* where the bytes go */
  uint64_t length; /* how many */
  uint64_t offset; /* from the start of the value */
} slipway_store_range;
/* Copies parts of one value. E_RANGE names a range that is not within it; nothing is copied then. */
SLIPWAY_API slipway_status slipway_store_get_into_ranges(slipway_store* store, const char* key, size_t key_length,
                                                         const slipway_store_range* ranges, size_t count,
                                                         const slipway_store_read_options* options,
                                                         slipway_failure* error);

typedef struct slipway_store_key {
  const char* key;
  size_t key_length;
} slipway_store_key;

/* The value itself, where it lies in this process (no copy; it stays as it is, upserts and removals go on beside it),
 * otherwise a copy in host memory that the view owns. On success to be released. E_NOT_FOUND, E_CHECKSUM. */
SLIPWAY_API slipway_status slipway_store_get(slipway_store* store, const char* key, size_t key_length,
                                             const slipway_store_read_options* options, slipway_store_view** out,
                                             slipway_failure* error);
/* `views` has `count` entries, NULL for keys that failed. */
SLIPWAY_API slipway_status slipway_store_get_batch(slipway_store* store, const slipway_store_key* keys, size_t count,
                                                   const slipway_store_read_options* options,
                                                   slipway_store_view** views, slipway_status* statuses,
                                                   slipway_failure* error);
/* As slipway_store_get, but never a copy: E_UNSUPPORTED where the value is not in this process's host memory. */
SLIPWAY_API slipway_status slipway_store_get_buffer(slipway_store* store, const char* key, size_t key_length,
                                                    const slipway_store_read_options* options, slipway_store_view** out,
                                                    slipway_failure* error);
/* Not to be written to. Never NULL, not for a value of no bytes either. */
SLIPWAY_API const void* slipway_store_view_data(const slipway_store_view* view);
SLIPWAY_API uint64_t slipway_store_view_length(const slipway_store_view* view);
SLIPWAY_API int slipway_store_view_is_copy(const slipway_store_view* view);
/* From any thread, also after the store was closed. A view that is kept keeps its space. NULL is ignored. */
SLIPWAY_API void slipway_store_view_release(slipway_store_view* view);

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* A tensor is stored as a safetensors file with one tensor named "tensor": 8 bytes of header length, little-endian, a
 * JSON header, and the elements in row-major order from a multiple of 64 bytes on. */

/* By the names of the file format. */
enum {
  SLIPWAY_DTYPE_BOOL = 1,
  SLIPWAY_DTYPE_U8 = 2,
  SLIPWAY_DTYPE_I8 = 3,
  SLIPWAY_DTYPE_U16 = 4,
  SLIPWAY_DTYPE_I16 = 5,
  SLIPWAY_DTYPE_U32 = 6,
  SLIPWAY_DTYPE_I32 = 7,
  SLIPWAY_DTYPE_U64 = 8,
  SLIPWAY_DTYPE_I64 = 9,
  SLIPWAY_DTYPE_F16 = 10,
  SLIPWAY_DTYPE_BF16 = 11,
  SLIPWAY_DTYPE_F32 = 12,
  SLIPWAY_DTYPE_F64 = 13,
  SLIPWAY_DTYPE_F8_E4M3 = 14,
  SLIPWAY_DTYPE_F8_E5M2 = 15,
  SLIPWAY_DTYPE_F8_E8M0 = 16,
  SLIPWAY_DTYPE_C64 = 17 /* two F32 */
};
/* "F32" and so on, NULL for what is none; bytes of one element, 0 for what is none; the dtype of a name, 0: none. */
SLIPWAY_API const char* slipway_dtype_name(uint32_t dtype);
SLIPWAY_API uint32_t slipway_dtype_bytes(uint32_t dtype);
SLIPWAY_API uint32_t slipway_dtype_from_name(const char* name);

/* A tensor in memory, as DLPack describes one. */
typedef struct slipway_tensor {
  void* data;             /* the element at index 0, 0, ...; may be NULL where there is no element */
  const int64_t* shape;   /* `rank` extents of 0 or more; NULL with rank 0 */
  const int64_t* strides; /* `rank` strides in elements, also 0 and negative ones; NULL: row-major, without gaps */
  uint32_t rank;          /* 0: one element */
  uint32_t dtype;         /* SLIPWAY_DTYPE_* */
} slipway_tensor;

/* Stores tensors. What is not in row-major order is put in order on the way, where it lies: a device's elements never
 * pass through pageable host memory. Statuses as of put; E_INVALID (of the whole call) for a shape that makes no sense.
 */
SLIPWAY_API slipway_status slipway_store_put_tensor(slipway_store* store, const char* key, size_t key_length,
                                                    const slipway_tensor* tensor,
                                                    const slipway_store_write_options* options, slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_put_tensor_batch(slipway_store* store, const slipway_store_key* keys,
                                                          const slipway_tensor* tensors, size_t count,
                                                          const slipway_store_write_options* options,
                                                          slipway_status* statuses, slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_upsert_tensor(slipway_store* store, const char* key, size_t key_length,
                                                       const slipway_tensor* tensor,
                                                       const slipway_store_write_options* options,
                                                       slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_upsert_tensor_batch(slipway_store* store, const slipway_store_key* keys,
                                                             const slipway_tensor* tensors, size_t count,
                                                             const slipway_store_write_options* options,
                                                             slipway_status* statuses, slipway_failure* error);

/* What a stored tensor is. */
typedef struct slipway_tensor_info {
  uint32_t struct_size; /* set by the caller */
  uint32_t dtype;
  uint32_t rank;
  uint32_t reserved;
  uint64_t data_offset; /* of the elements, from the start of the object */
  uint64_t data_length; /* bytes */
  int64_t shape[SLIPWAY_TENSOR_RANK_MAX];
} slipway_tensor_info;

/* Reads the header alone. E_NOT_FOUND; E_NOT_TENSOR: the object is no safetensors file with exactly one tensor. */
SLIPWAY_API slipway_status slipway_store_tensor_info(slipway_store* store, const char* key, size_t key_length,
                                                     const slipway_store_read_options* options,
                                                     slipway_tensor_info* info, slipway_failure* error);
/* As slipway_store_get, with what it is; the elements are at view_data + info.data_offset. */
SLIPWAY_API slipway_status slipway_store_get_tensor(slipway_store* store, const char* key, size_t key_length,
                                                    const slipway_store_read_options* options,
                                                    slipway_tensor_info* info, slipway_store_view** out,
                                                    slipway_failure* error);
/* `infos` and `views` have `count` entries each. */
SLIPWAY_API slipway_status slipway_store_get_tensor_batch(slipway_store* store, const slipway_store_key* keys,
                                                          size_t count, const slipway_store_read_options* options,
                                                          slipway_tensor_info* infos, slipway_store_view** views,
                                                          slipway_status* statuses, slipway_failure* error);
/* Fills the memory of `target`, whose shape and dtype must be those of what is stored (E_NOT_TENSOR says what differs);
 * its strides may be any that do not make elements overlap. */
SLIPWAY_API slipway_status slipway_store_get_tensor_into(slipway_store* store, const char* key, size_t key_length,
                                                         const slipway_tensor* target,
                                                         const slipway_store_read_options* options,
                                                         slipway_failure* error);

/* ---- keys -------------------------------------------------------------------------------------------------------- */

typedef struct slipway_store_info {
  uint32_t struct_size; /* set by the caller */
  uint32_t keep;        /* SLIPWAY_KEEP_EVICTABLE .. _PINNED */
  uint32_t replicas;
  uint32_t checksummed; /* 0 or 1 */
  uint64_t length;      /* bytes */
  uint64_t version;     /* another after each write, growing */
} slipway_store_info;

/* OK or E_NOT_FOUND; counts as no use of the object. */
SLIPWAY_API slipway_status slipway_store_exists(slipway_store* store, const char* key, size_t key_length,
                                                slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_stat(slipway_store* store, const char* key, size_t key_length,
                                              slipway_store_info* info, slipway_failure* error);
/* For many: `infos` (may be NULL) has `count` entries, each with its struct_size set. */
SLIPWAY_API slipway_status slipway_store_stat_batch(slipway_store* store, const slipway_store_key* keys, size_t count,
                                                    slipway_store_info* infos, slipway_status* statuses,
                                                    slipway_failure* error);
/* E_NOT_FOUND where there is none. Who reads the value goes on undisturbed. */
SLIPWAY_API slipway_status slipway_store_remove(slipway_store* store, const char* key, size_t key_length,
                                                slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_remove_batch(slipway_store* store, const slipway_store_key* keys, size_t count,
                                                      slipway_status* statuses, slipway_failure* error);
/* Removes what begins with `prefix`, pinned objects too; *removed (may be NULL): how many. */
SLIPWAY_API slipway_status slipway_store_remove_all(slipway_store* store, const char* prefix, size_t prefix_length,
                                                    uint64_t* removed, slipway_failure* error);
/* Calls `each` for the objects whose keys begin with `prefix`, by key in the order of bytes, until it returns other
 * than 0. No lock is held meanwhile; objects written or removed during the call may or may not be seen. */
typedef int (*slipway_store_each)(void* user, const char* key, size_t key_length, const slipway_store_info* info);
SLIPWAY_API slipway_status slipway_store_list(slipway_store* store, const char* prefix, size_t prefix_length,
                                              slipway_store_each each, void* user, slipway_failure* error);

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Tells the engine about a buffer that many calls will use, so that transports that need it can take the bytes from
 * where they are: slipway_memory_declare and _undeclare of the engine below. */
SLIPWAY_API slipway_status slipway_store_register_buffer(slipway_store* store, void* address, uint64_t length,
                                                         slipway_failure* error);
SLIPWAY_API slipway_status slipway_store_unregister_buffer(slipway_store* store, void* address, uint64_t length,
                                                           uint64_t timeout_ms, slipway_failure* error);

/* Where the memory of a segment comes from. */
typedef struct slipway_store_segment_options {
  uint32_t struct_size;
  uint32_t flags;   /* 0 */
  uint64_t length;  /* bytes; 0 with `file`: all of it */
  const char* file; /* mapped, shared; made or made longer as needed; NULL: memory of the process */
  void* address;    /* memory of the caller, which stays mapped until unmounted; NULL: none */
  /* The memory that this transport has for segments (slipway_memory_allocate), of CXL windows for example; given back
   * when the segment is unmounted. Views of values in it are released before the engine is destroyed, which takes it
   * back. NULL: none. Give one of file, address and transport, or none. */
  const char* transport;
} slipway_store_segment_options;

/* Adds a segment [A-Za-z0-9._-]{1,63} to this process's own store; pinned and registered as far as the policy asks.
 * On failure everything is as before. E_SEGMENT_EXISTS; E_UNSUPPORTED where the store is another node's. */
SLIPWAY_API slipway_status slipway_store_mount_segment(slipway_store* store, const char* name,
                                                       const slipway_store_segment_options* options,
                                                       slipway_failure* error);
/* Takes the segment away, and with it the objects that have no replica elsewhere; waits up to timeout_ms for who reads
 * or writes there. E_REGION_BUSY: some still do; the segment stays, and may be unmounted later. */
SLIPWAY_API slipway_status slipway_store_unmount_segment(slipway_store* store, const char* name, uint64_t timeout_ms,
                                                         slipway_failure* error);

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_STORE_H_ */
