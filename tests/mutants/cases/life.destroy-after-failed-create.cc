// life.destroy-after-failed-create: a failed create leaves a descriptor open.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  const slipway_status s = good_create(host, json, len, out, error);
  if (s != SLIPWAY_OK && dup(STDIN_FILENO) < 0) return SLIPWAY_E_IO;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)
