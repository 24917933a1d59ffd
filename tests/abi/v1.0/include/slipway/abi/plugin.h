/* The one symbol that a plugin exports: constant data, so that no code runs to read it. */
#ifndef SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_PLUGIN_H_
#define SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_PLUGIN_H_

#include "slipway/abi/memory_provider.h"
#include "slipway/abi/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_ABI_MAGIC 0x31574c53u /* 'S' 'L' 'W' '1', little endian */
#define SLIPWAY_ABI_MAJOR 1           /* also in the entry symbol's name: another major is another symbol */
#define SLIPWAY_ABI_MINOR 0           /* tables only append; what is there is told by struct_size */

#define SLIPWAY_PLUGIN_SYMBOL "slipway_plugin_v1"
#define SLIPWAY_PLUGIN_SYMBOL_PREFIX "slipway_plugin_v" /* followed by the major */

#define SLIPWAY_EXPORT __attribute__((visibility("default")))

typedef struct slipway_plugin {
  uint32_t magic;       /* SLIPWAY_ABI_MAGIC */
  uint32_t struct_size; /* sizeof(slipway_plugin) */
  uint16_t abi_major, abi_minor;
  uint32_t pointer_bits;   /* 8 * sizeof(void *) */
  const char* plugin_name; /* [a-z0-9-]{1,31}; the file is libslipway-NAME.so */
  const char *plugin_version, *build_info;
  const slipway_transport* const* transports;             /* NULL-terminated; may be NULL: none */
  const slipway_memory_provider* const* memory_providers; /* NULL-terminated; may be NULL: none */
} slipway_plugin;

SLIPWAY_EXPORT extern const slipway_plugin slipway_plugin_v1;

#ifdef __cplusplus
}
#endif
#endif /* SLIPWAY_TESTS_ABI_V1_0_INCLUDE_SLIPWAY_ABI_PLUGIN_H_ */
