// Copying to and from private memory of another process, where the system lets us (as it lets a debugger).
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_PROCESS_COPY_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_PROCESS_COPY_H_

#include <sys/types.h>

#include <cstdint>

#include "slipway/abi/status.h"

namespace slipway::local_memcpy {

// Through a buffer: where this processor copies slowly without, or, for tests, always.
enum class Detour { kWhereQuicker, kAlways };

// OK when all bytes were copied; `moved` says how many were in any case, `native` why not more.
slipway_status ReadProcess(pid_t pid, uint64_t from, void* to, uint64_t bytes, uint64_t& moved, int32_t& native,
                           Detour detour = Detour::kWhereQuicker);
slipway_status WriteProcess(pid_t pid, uint64_t to, const void* from, uint64_t bytes, uint64_t& moved, int32_t& native,
                            Detour detour = Detour::kWhereQuicker);

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_PROCESS_COPY_H_
