// abi.header: a required entry is NULL.
#include "tests/mutants/mutant.h"

SLIPWAY_MUTANT_ENTRY(submit, nullptr)
