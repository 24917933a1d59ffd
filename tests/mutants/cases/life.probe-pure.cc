// life.probe-pure: every probe leaves a descriptor open.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Probe(const slipway_host* host, const char* json, size_t len, slipway_attrs* out, slipway_error* error) {
  return dup(STDIN_FILENO) < 0 ? SLIPWAY_E_IO : good_probe(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(probe, Probe)
