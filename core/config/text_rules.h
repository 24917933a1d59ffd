// What the texts of a configuration may be (TextRule of slipway/options_fields.hpp).
#ifndef SLIPWAY_CORE_CONFIG_TEXT_RULES_H_
#define SLIPWAY_CORE_CONFIG_TEXT_RULES_H_

#include <string>
#include <string_view>

#include "slipway/options_fields.hpp"

namespace slipway {

bool FollowsRule(TextRule rule, std::string_view text);

// For messages, after "expected".
std::string ExpectedText(TextRule rule);

// A regular expression of JSON Schema that every text which follows the rule matches; empty: none is needed.
const char* PatternOf(TextRule rule);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_TEXT_RULES_H_
