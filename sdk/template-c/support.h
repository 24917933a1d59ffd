/* What every entry of the table needs: reporting failures, structs and bytes of the caller's size, the configuration,
 * and names that come from strangers. */
#ifndef SLIPWAY_SDK_TEMPLATE_C_SUPPORT_H_
#define SLIPWAY_SDK_TEMPLATE_C_SUPPORT_H_

#include <stdbool.h>

#include "slipway/abi/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills `e`, which may be NULL or of another revision, and returns `code`. */
slipway_status fail(slipway_error* e, slipway_status code, const char* where, const char* message);

/* Fills the caller's struct from a whole one of ours, as far as the caller's struct_size reaches. */
slipway_status give(void* out, const void* whole, size_t size);
/* The two-call length idiom. */
slipway_status give_bytes(const void* bytes, size_t size, void* buf, size_t* len, slipway_error* e);

/* Whether this plugin can work with the core's table. */
bool usable(const slipway_host* host);

/* This transport takes no keys, so that it needs no JSON library: an empty object, or the first key is at fault. */
extern const char kSchema[];
slipway_status read_config(const char* json, size_t len, slipway_error* e);

/* What the contract says of every range. */
slipway_status check_range(const slipway_range* r, slipway_error* e);

/* An address or a registration, as it travels. */
typedef struct name {
  char magic[8];
  uint64_t process, pid, instance, key, length, access; /* the last three are 0 in an address */
  uint64_t sum;                                         /* of what is before: damage on the way is noticed */
} name;
slipway_status give_name(name* n, const char* magic, void* buf, size_t* len, slipway_error* e);
bool take_name(const void* bytes, size_t len, const char* magic, name* out);

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_SDK_TEMPLATE_C_SUPPORT_H_ */
