// Everything that one run measures, in the order of a round.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_PLAN_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_PLAN_H_

#include <memory>
#include <vector>

#include "tools/slipway/bench/path_mover.h"
#include "tools/slipway/bench/paths.h"
#include "tools/slipway/bench/raw_sockets.h"
#include "tools/slipway/bench/row.h"
#include "tools/slipway/commands.h"
#include "tools/slipway/local_file.h"

namespace slipway::cli::bench {

// Owns what the items measure with.
struct Plan {
  Mapping local, other;  // of equal size, huge enough for every row
  std::vector<std::unique_ptr<PathMover>> movers;
  std::unique_ptr<RawSockets> raw_sockets;
  std::vector<Item> items;  // what is to be compared stands together
  std::vector<Skipped> skipped;
};

// Opens every path, and plans what it is compared with. A path that cannot be opened is skipped where none was asked
// for by name; otherwise that is the failure.
Result<std::unique_ptr<Plan>> MakePlan(const BenchArguments& arguments);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_PLAN_H_
