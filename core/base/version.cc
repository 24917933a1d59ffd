#include "core/base/version.h"

namespace slipway {

const char* CoreVersion() { return SLIPWAY_VERSION; }

}  // namespace slipway
