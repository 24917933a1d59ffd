// The entry symbol. Everything else is reached through it.
#include "slipway/sdk/plugin.hpp"

#include "plugins/tcp/transport.h"

SLIPWAY_PLUGIN("tcp", "1.0.0", slipway::tcp::TcpTransport)
