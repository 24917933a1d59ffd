// The extension "slipway.copy/1" of the host's table: copies by memory providers, lent to transports.
#ifndef SLIPWAY_CORE_ENGINE_COPY_EXTENSION_H_
#define SLIPWAY_CORE_ENGINE_COPY_EXTENSION_H_

#include "core/memory/copier.h"
#include "slipway/abi/copy.h"

namespace slipway {

// The constant table. Its functions take for `ctx` that of a host whose HostServices::Copies() is not null.
const slipway_host_copy* CopyExtension();

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_COPY_EXTENSION_H_
