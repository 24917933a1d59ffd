// Runs this program again to let one plugin describe itself, so that a plugin that crashes or hangs takes only its own
// process with it.
#ifndef SLIPWAY_TOOLS_SLIPWAY_PLUGIN_CHILD_H_
#define SLIPWAY_TOOLS_SLIPWAY_PLUGIN_CHILD_H_

#include <cstdint>
#include <string>

#include "slipway/status.hpp"

namespace slipway::cli {

// How the child ended, in one word: "ok", "refused", "crashed", "hung".
struct PluginReport {
  std::string state;
  std::string detail;  // JSON when ok, why otherwise
};

// Waits up to `timeout_ms`, then kills the child and everything in its process group. Reads at most 1 MiB of report.
PluginReport DescribeInChild(const std::string& name, const std::string& plugin_path, uint64_t timeout_ms);

// The child's side: describes the plugin and writes the report to `report_fd`. Gives the exit status.
int DescribeAsChild(const std::string& name, const std::string& plugin_path, int report_fd);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_PLUGIN_CHILD_H_
