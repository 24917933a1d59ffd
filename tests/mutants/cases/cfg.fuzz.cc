// cfg.fuzz: a long text ends the process.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

slipway_status Probe(const slipway_host* host, const char* json, size_t len, slipway_attrs* out, slipway_error* error) {
  if (len > 300) abort();
  return good_probe(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(probe, Probe)
