// prov.pin-unpin: unpins nothing.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Unpin(slipway_provider*, slipway_pin*, slipway_error*) { return SLIPWAY_OK; }

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(unpin_host, Unpin)
