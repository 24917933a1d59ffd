// What copies within this process are compared with: memcpy of the same buffers, by one thread and by several.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_COPIES_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_COPIES_H_

#include <cstdint>

#include "tools/slipway/bench/row.h"
#include "tools/slipway/local_file.h"

namespace slipway::cli::bench {

// As many threads as a copy is worth: one a core, at most 16.
uint32_t CopyThreadsMax();
// Copies `bytes` from the one to the other again and again for `seconds`, each copy shared out among `threads`.
Result<Sample> MeasureMemcpy(const Mapping& from, const Mapping& to, uint64_t bytes, uint32_t threads, double seconds);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_COPIES_H_
