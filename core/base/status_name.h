// Names of statuses, and conversion from a plugin's error report.
#ifndef SLIPWAY_CORE_BASE_STATUS_NAME_H_
#define SLIPWAY_CORE_BASE_STATUS_NAME_H_

#include <string>

#include "slipway/status.hpp"

namespace slipway {

// A constant word such as "E_PEER" or "E_PLUGIN_NOT_FOUND"; "E_UNKNOWN" for a code that is none.
const char* StatusName(slipway_status code);

enum class BlastRadius { kNone, kOperation, kPeer, kInstance };
// What a status of a plugin takes down with it. A code that the ABI does not define counts as the instance's.
BlastRadius BlastRadiusOf(slipway_status code);

// An error report to pass to a plugin: sized, otherwise empty.
slipway_error EmptyError();

// The status that a plugin returned, with what it wrote into `error` (its strings are not trusted to be terminated).
// `who` names the plugin or call and begins the message.
Status FromPlugin(slipway_status code, const slipway_error& error, const std::string& who);

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_STATUS_NAME_H_
