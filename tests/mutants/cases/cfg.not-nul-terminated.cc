// cfg.not-nul-terminated: looks for the end of the text itself.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  return strnlen(json, 1 << 20) > 1000000 ? SLIPWAY_E_CONFIG : good_create(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)
