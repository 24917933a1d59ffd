// This core's own version.
#ifndef SLIPWAY_CORE_BASE_VERSION_H_
#define SLIPWAY_CORE_BASE_VERSION_H_

namespace slipway {

// "1.0.0", as the build has it; for people, and for plugins that log who their host is.
const char* CoreVersion();

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_VERSION_H_
