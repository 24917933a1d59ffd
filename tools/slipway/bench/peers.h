// Programs of others that measure the same thing, where they are installed: run in the same round, so that a ratio is
// about one machine in one state.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_PEERS_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_PEERS_H_

#include <vector>

#include "tools/slipway/bench/paths.h"
#include "tools/slipway/bench/row.h"

namespace slipway::cli::bench {

// What compares with `rows`, Slipway's. Appends to `skipped` what is not installed and would have.
std::vector<Item> PeerItems(const std::vector<Row>& rows, std::vector<Skipped>* skipped);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_PEERS_H_
