// Makes the engine that a command runs, from the configuration file or from what is built in.
#ifndef SLIPWAY_TOOLS_SLIPWAY_ENGINE_SOURCE_H_
#define SLIPWAY_TOOLS_SLIPWAY_ENGINE_SOURCE_H_

#include <string>
#include <string_view>
#include <vector>

#include "slipway/engine.hpp"
#include "tools/slipway/commands.h"

namespace slipway::cli {

// The configuration as JSON text: `transports` by name, and a control listener at `listen` (empty: none).
std::string PlainConfig(const std::vector<std::string>& transports, std::string_view listen,
                        std::string_view plugin_path);

// From the file where there is one; otherwise with the plain transports and a listener at `listen`.
Result<Engine> MakeEngine(const EngineArguments& arguments, std::string_view listen);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_ENGINE_SOURCE_H_
