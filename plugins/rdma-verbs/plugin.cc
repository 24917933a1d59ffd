// The entry symbol. Everything else is reached through it.
#include "slipway/sdk/plugin.hpp"

#include "plugins/rdma-verbs/transport.h"

SLIPWAY_PLUGIN("rdma-verbs", "1.0.0", slipway::rdma::RdmaTransport)
