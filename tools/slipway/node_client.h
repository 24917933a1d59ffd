// Asks a running node about itself, over its control address.
#ifndef SLIPWAY_TOOLS_SLIPWAY_NODE_CLIENT_H_
#define SLIPWAY_TOOLS_SLIPWAY_NODE_CLIENT_H_

#include <string>

#include "slipway/status.hpp"
#include "tools/slipway/commands.h"

namespace slipway::cli {

// The node's description as JSON text.
Result<std::string> AskNode(const DescribeArguments& arguments);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_NODE_CLIENT_H_
