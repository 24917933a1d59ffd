// cfg.schema-valid: the schema is none.
#include "tests/mutants/mutant.h"

SLIPWAY_MUTANT_ENTRY(config_schema, R"({"type": "object", "properties": 7})")
