// abi.newer-host: takes only a host table of the length it knows.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  return host->struct_size != sizeof(*host) ? SLIPWAY_E_INVALID : good_create(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)
