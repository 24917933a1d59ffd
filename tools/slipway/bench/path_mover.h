// One path, opened: an engine of this process that moves to and from the path's target, timed and verified.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_PATH_MOVER_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_PATH_MOVER_H_

#include <memory>
#include <vector>

#include "slipway/engine.hpp"
#include "tools/slipway/bench/layout.h"
#include "tools/slipway/bench/paths.h"
#include "tools/slipway/bench/row.h"
#include "tools/slipway/bench/target.h"

namespace slipway::cli::bench {

Layout LayoutOf(const Row& row);

// Not thread-safe. `local` and `other`, of equal size, outlive it.
class PathMover {
 public:
  static Result<std::unique_ptr<PathMover>> Open(const PathPlan& plan, const Mapping& local, const Mapping& other);
  ~PathMover();

  // Warms up, fills the source anew, moves for `seconds`, and checks every byte at the destination. E_INTERNAL with
  // the words of WrongData when one differs. `strictly`: before that moves everything once and checks it then, as
  // moving again would hide what came too late.
  Result<Sample> Measure(const Row& row, double seconds, bool strictly);

 private:
  explicit PathMover(const Mapping& local);
  std::vector<Request> RequestsOf(const Row& row, const Layout& layout) const;
  // Submits `requests` as `row` says, again and again for `seconds`; `seconds` 0: all of them once.
  Result<Sample> Run(const Row& row, const std::vector<Request>& requests, double seconds);
  Status FillSource(const Row& row);
  Status CheckDestination(const Row& row);
  Result<Sample> RunTogether(const std::vector<Request>& requests, double seconds);
  Result<Sample> RunInFlight(const std::vector<Request>& requests, double seconds);

  const Mapping& local_;
  Engine engine_;
  std::unique_ptr<Target> target_;  // ends before the engine that may publish it
  Segment segment_;
  uint64_t seed_;  // of the last fill; begins anywhere, as the local memory is used by other paths as well
};

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_PATH_MOVER_H_
