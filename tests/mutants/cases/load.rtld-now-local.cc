// load.rtld-now-local: a symbol that nothing defines.
#include "tests/mutants/mutant.h"

extern "C" slipway_status slipway_surely_defined_nowhere(slipway_peer*);

SLIPWAY_MUTANT_ENTRY(disconnect, slipway_surely_defined_nowhere)
