// The parent: starts a child a case, waits for it within its time, and makes a result of whatever becomes of it.
#ifndef SLIPWAY_TOOLS_CONFORM_RUNNER_H_
#define SLIPWAY_TOOLS_CONFORM_RUNNER_H_

#include <functional>
#include <string>
#include <vector>

#include "tools/conform/case.h"
#include "tools/conform/spec.h"

namespace slipway::conform {

// What became of one child.
struct Outcome {
  std::string status;  // pass, fail, skip, crash, timeout, error
  std::string reason;
  std::string data;    // JSON, of an inquiry that passed
  std::string stacks;  // of a crash or a timeout
  std::string output;  // the end of what it wrote to stdout and stderr
  int signal = 0;      // of a crash
  uint64_t duration_ms = 0;
};

// Runs the specs, `jobs` at a time, in order; `ended(i, outcome)` is told of each as it ends. Those that would start
// after `total_timeout_ms` are given the status "timeout" unstarted.
void RunAll(const std::vector<Spec>& specs, unsigned jobs, uint64_t total_timeout_ms,
            const std::function<void(size_t)>& started, const std::function<void(size_t, const Outcome&)>& ended);
Outcome RunOne(const Spec& spec);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_RUNNER_H_
