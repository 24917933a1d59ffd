// What the process's exit status says. Scripts rely on these numbers: they only ever grow.
#ifndef SLIPWAY_TOOLS_SLIPWAY_EXIT_CODE_H_
#define SLIPWAY_TOOLS_SLIPWAY_EXIT_CODE_H_

#include <string>

#include "slipway/status.h"

namespace slipway::cli {

enum Exit : int {
  kExitOk = 0,
  kExitInternal = 1,      // a fault of Slipway itself, or of the system under it
  kExitUsage = 2,         // the command line
  kExitConfig = 3,        // the configuration file
  kExitUnreachable = 4,   // nobody there, or the address does not resolve
  kExitTransfer = 5,      // bytes were to move and did not all arrive
  kExitPlugin = 6,        // a plugin cannot be loaded
  kExitFile = 7,          // a local file cannot be read, written, or does not fit
  kExitSegment = 8,       // the segment does not exist, is too small or does not allow it
  kExitAddressInUse = 9,  // somebody listens there already
  kExitDenied = 10,       // secret or certificate refused
};

Exit ExitFor(slipway_status status);

// What a person can do next about `status`; empty when the message alone says it.
std::string NextStep(slipway_status status);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_EXIT_CODE_H_
