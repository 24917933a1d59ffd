// The other end of a path: memory that is published, filled and checked where it is, so that what arrived is judged
// without the transport that brought it.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_TARGET_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_TARGET_H_

#include <memory>
#include <string>

#include "slipway/engine.hpp"
#include "tools/slipway/bench/layout.h"
#include "tools/slipway/bench/paths.h"
#include "tools/slipway/local_file.h"

namespace slipway::cli::bench {

class Target {
 public:
  virtual ~Target() = default;
  // What the initiator opens.
  virtual std::string url() const = 0;
  virtual Status Fill(uint64_t bytes, uint64_t seed) = 0;
  // Whether a write of `layout` arrived, from a local memory filled with `seed`. E_INTERNAL names the first difference.
  virtual Status Check(const Layout& layout, uint64_t seed) = 0;
};

// In this process, published by the initiator's own engine; `memory` and `engine` outlive it.
Result<std::unique_ptr<Target>> MakeOwnTarget(const Engine& engine, const Mapping& memory);
// In a child process with an engine of its own and `room` bytes.
Result<std::unique_ptr<Target>> MakeChildTarget(const PathPlan& plan, uint64_t room);

// The child's side: takes its orders from standard input, until that ends. Gives the exit status.
int RunTarget();

// "bytes differ from position N on"
Status WrongData(uint64_t position);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_TARGET_H_
