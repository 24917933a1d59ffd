// cfg.wrong-type-each: a value of the wrong type ends the process.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  const slipway_status s = good_create(host, json, len, out, error);
  if (s == SLIPWAY_E_CONFIG && error != nullptr && strcmp(error->where, "/max_inflight") == 0) abort();
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)
