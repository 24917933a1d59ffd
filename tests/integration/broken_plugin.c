/* Plugins that do harm when they are opened, one a macro, to show that listing plugins survives them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "slipway/abi/plugin.h"

const slipway_plugin slipway_plugin_v1 = {
    .magic = SLIPWAY_ABI_MAGIC,
    .struct_size = sizeof(slipway_plugin),
    .abi_major = SLIPWAY_ABI_MAJOR,
    .abi_minor = SLIPWAY_ABI_MINOR,
    .pointer_bits = 8 * sizeof(void*),
    .plugin_name = BROKEN_NAME,
    .plugin_version = "1.0.0",
};

__attribute__((constructor)) static void DoHarm(void) {
#if defined(BROKEN_CRASHES)
  abort();
#elif defined(BROKEN_EXITS)
  _exit(0);
#elif defined(BROKEN_HANGS)
  while (1) pause();
#elif defined(BROKEN_FLOODS)
  char noise[65536];
  memset(noise, 'x', sizeof(noise));
  for (int fd = 1; fd < 10; ++fd)
    for (int i = 0; i < 64; ++i)
      if (write(fd, noise, sizeof(noise)) < 0) break;
#endif
}
