// life.create-destroy-x100: every instance leaves a descriptor open.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  return dup(STDIN_FILENO) < 0 ? SLIPWAY_E_IO : good_create(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)
