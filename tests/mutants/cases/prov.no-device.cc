// prov.no-device: is linked with the device's library, which is not there.
#include "tests/mutants/mutant.h"

extern "C" int driver_that_is_not_installed();

namespace {

slipway_status Probe(const slipway_host* host, const char* json, size_t len, slipway_error* error) {
  return driver_that_is_not_installed() == 0 ? SLIPWAY_E_DEVICE : good_provider_probe(host, json, len, error);
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(probe, Probe)
