// Which ways bytes can go on this machine: every transport that is configured, or installed, within this process or to
// another one, with as many streams as asked for.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_PATHS_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_PATHS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "slipway/status.hpp"
#include "tools/slipway/commands.h"

namespace slipway::cli::bench {

struct PathPlan {
  std::string transport;
  bool two_processes = false;
  uint32_t streams = 1;
  std::string medium;  // as in Row
  std::string label;   // "tcp, two processes, 4 streams"
  std::string memory_kind = "host";
  // Complete configurations, on one line each, with this one transport; the target listens.
  std::string target_config, initiator_config;
};

// What is not measured, and why.
struct Skipped {
  std::string what, why;
};

struct Paths {
  std::vector<PathPlan> plans;
  std::vector<Skipped> skipped;
};

// Reads the configuration file, or else the installed plugins, each described by a process of its own. Opens nothing.
Result<Paths> PlanPaths(const BenchArguments& arguments);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_PATHS_H_
