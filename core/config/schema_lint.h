// Whether a schema can be applied without harm, and its references. Internal to core/config.
#ifndef SLIPWAY_CORE_CONFIG_SCHEMA_LINT_H_
#define SLIPWAY_CORE_CONFIG_SCHEMA_LINT_H_

#include <string>

#include "core/config/json_document.h"

namespace slipway {

// The node that `node` stands for: itself, or what its local $ref ("#/definitions/x") leads to. Null: it leads nowhere.
const Json* ResolveSchema(const Json& root, const Json& node);

// What is wrong with it; empty: nothing that this looks for. These are the things that would hang or break a validator:
// references that lead nowhere, out of the document or back to themselves, and regular expressions that are none.
std::string LintSchema(const Json& root);

// Whether it matches texts against regular expressions anywhere.
bool UsesPatterns(const Json& root);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_SCHEMA_LINT_H_
