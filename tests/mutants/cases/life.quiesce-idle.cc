// life.quiesce-idle: quiesce never returns.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Quiesce(slipway_instance*, uint64_t, slipway_error*) {
  for (;;) pause();
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(quiesce, Quiesce)
