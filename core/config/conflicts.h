// Values that are each right and cannot go together.
#ifndef SLIPWAY_CORE_CONFIG_CONFLICTS_H_
#define SLIPWAY_CORE_CONFIG_CONFLICTS_H_

#include <map>
#include <string>

#include "core/config/errors.h"
#include "slipway/options.hpp"

namespace slipway {

// Which variable set a key, by the key's pointer.
using Overridden = std::map<std::string, std::string>;

// Adds an E_CONFIG_CONFLICT for each.
void CheckConflicts(const Options& options, const Overridden& overridden, ConfigErrors& errors);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_CONFLICTS_H_
