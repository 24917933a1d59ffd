#include "core/config/schema_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <new>
#include <string_view>
#include <vector>

#include "core/config/errors.h"
#include "core/config/json_document.h"
#include "core/config/schema_lint.h"
#ifdef SLIPWAY_WITH_VALIJSON
#include "core/config/schema_valijson.h"
#endif
#include "slipway/options_fields.hpp"

namespace slipway {
namespace {

constexpr size_t kMaxSchemaBytes = 1u << 20;
// The standard library's regular expressions recur with every character, up to some kilobytes of stack for each.
constexpr size_t kMaxMatchedBytes = 1024;
constexpr const char* kTakesNoKeys = R"({"type": "object", "additionalProperties": false})";

bool HasType(const Json& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  return type == "integer" && value.is_number_integer();
}

std::vector<std::string> TypesOf(const Json& schema) {
  std::vector<std::string> types;
  const auto it = schema.find("type");
  if (it == schema.end()) return types;
  if (it->is_string()) types.push_back(it->get<std::string>());
  if (!it->is_array()) return types;
  for (const Json& type : *it) {
    if (type.is_string()) types.push_back(type.get<std::string>());
  }
  return types;
}

// One of the schema's own numbers; null: there is none.
const Json* NumberOf(const Json& schema, const char* keyword) {
  const auto it = schema.find(keyword);
  return it != schema.end() && it->is_number() ? &*it : nullptr;
}

// The commoner keywords in words, for "expected ...".
std::string Describe(const Json& schema) {
  const auto choices = schema.find("enum");
  if (choices != schema.end() && choices->is_array()) {
    std::string out = "one of ";
    for (const Json& choice : *choices) out += (&choice == &choices->front() ? "" : ", ") + choice.dump();
    return out;
  }
  if (const auto constant = schema.find("const"); constant != schema.end()) return constant->dump();
  std::string out;
  for (const std::string& type : TypesOf(schema)) {
    const bool vowel = type == "integer" || type == "array" || type == "object";
    out += (out.empty() ? "" : " or ") + std::string(type == "null" ? "" : vowel ? "an " : "a ") + type;
  }
  if (out.empty()) out = "a value";
  constexpr std::array<std::pair<const char*, const char*>, 8> kWords = {{{"minimum", " of at least "},
                                                                          {"exclusiveMinimum", " above "},
                                                                          {"maximum", " of at most "},
                                                                          {"exclusiveMaximum", " below "},
                                                                          {"multipleOf", " that is a multiple of "},
                                                                          {"minLength", " with a length of at least "},
                                                                          {"maxLength", " with a length of at most "},
                                                                          {"maxItems", " with a size of at most "}}};
  bool first = true;
  for (const auto& [keyword, words] : kWords) {
    if (const Json* const number = NumberOf(schema, keyword)) {
      out += (first ? "" : " and") + std::string(words) + number->dump();
      first = false;
    }
  }
  if (const auto it = schema.find("pattern"); it != schema.end()) out += " that matches " + it->dump();
  return out;
}

// Finds the commoner violations and words them well; what it does not know, it lets pass.
class Walker {
 public:
  Walker(const Json& root, ConfigErrors& errors)
      : root_(root), errors_(errors), max_text_bytes_(UsesPatterns(root) ? kMaxMatchedBytes : kMaxTextBytes) {}

  void Check(const Json& schema_or_ref, const Json& value, const std::string& pointer) {
    const Json* const schema = ResolveSchema(root_, schema_or_ref);
    if (value.is_string() && value.get_ref<const std::string&>().size() > max_text_bytes_) {
      return Add(SLIPWAY_E_CONFIG_VALUE, value, pointer, "at most " + std::to_string(max_text_bytes_) + " bytes");
    }
    // Below an unknown schema only the lengths of texts are looked at.
    const Json none = Json::object();
    const Json& known = schema != nullptr && schema->is_object() ? *schema : none;
    if (!Type(known, value, pointer) || !Value(known, value, pointer)) return;
    if (value.is_object()) Members(known, value, pointer);
    if (value.is_array()) Items(known, value, pointer);
  }

 private:
  void Add(slipway_status code, const Json& found, const std::string& pointer, const std::string& expected) {
    errors_.Add(code, pointer, "found " + Found(found) + ", expected " + expected);
  }

  bool Type(const Json& schema, const Json& value, const std::string& pointer) {
    const std::vector<std::string> types = TypesOf(schema);
    if (types.empty() || std::any_of(types.begin(), types.end(), [&](const auto& t) { return HasType(value, t); })) {
      return true;
    }
    // A fraction is of the right JSON type and still no integer.
    const bool fraction = value.is_number() && std::find(types.begin(), types.end(), "integer") != types.end();
    Add(fraction ? SLIPWAY_E_CONFIG_VALUE : SLIPWAY_E_CONFIG_TYPE, value, pointer, Describe(schema));
    return false;
  }

  bool Value(const Json& schema, const Json& value, const std::string& pointer) {
    bool right = true;
    if (const auto choices = schema.find("enum");
        choices != schema.end() && choices->is_array() && !value.is_structured()) {
      right = std::find(choices->begin(), choices->end(), value) != choices->end();
    }
    if (value.is_number()) {
      const Json* const min = NumberOf(schema, "minimum");
      const Json* const max = NumberOf(schema, "maximum");
      right = right && (min == nullptr || value >= *min) && (max == nullptr || value <= *max);
    }
    if (!right) Add(SLIPWAY_E_CONFIG_VALUE, value, pointer, Describe(schema));
    return right;
  }

  void Members(const Json& schema, const Json& value, const std::string& pointer) {
    const auto properties = schema.find("properties");
    const bool has = properties != schema.end() && properties->is_object();
    std::vector<std::string_view> names;
    if (has) {
      for (const auto& [key, child] : properties->items()) names.push_back(key);
    }
    const auto additional = schema.find("additionalProperties");
    const bool closed = additional != schema.end() && additional->is_boolean() && !additional->get<bool>() &&
                        !schema.contains("patternProperties");
    for (const auto& [key, child] : value.items()) {
      const std::string below = PointerTo(pointer, key);
      if (key.size() > max_text_bytes_) {
        errors_.Add(SLIPWAY_E_CONFIG_KEY, below,
                    "found a key of " + std::to_string(key.size()) + " bytes, expected at most " +
                        std::to_string(max_text_bytes_));
      } else if (has && properties->contains(key)) {
        Check(properties->find(key).value(), child, below);
      } else if (closed) {
        errors_.Add(SLIPWAY_E_CONFIG_KEY, below, "found an unknown key" + Suggestion(key, names));
      } else {
        Check(additional != schema.end() && !schema.contains("patternProperties") ? *additional : Json(true), child,
              below);
      }
    }
    const auto required = schema.find("required");
    if (required == schema.end() || !required->is_array()) return;
    for (const Json& name : *required) {
      if (!name.is_string() || value.contains(name.get_ref<const std::string&>())) continue;
      const auto& key = name.get_ref<const std::string&>();
      const Json* const child =
          has && properties->contains(key) ? ResolveSchema(root_, *properties->find(key)) : nullptr;
      errors_.Add(SLIPWAY_E_CONFIG_VALUE, PointerTo(pointer, key),
                  "found nothing, expected " + (child != nullptr && child->is_object() ? Describe(*child) : "a value"));
    }
  }

  void Items(const Json& schema, const Json& value, const std::string& pointer) {
    const auto items = schema.find("items");
    const Json any(true);
    const Json& each = items != schema.end() && items->is_object() ? *items : any;
    for (size_t i = 0; i < value.size(); ++i) Check(each, value[i], PointerTo(pointer, i));
  }

  const Json& root_;
  ConfigErrors& errors_;
  const size_t max_text_bytes_;
};

Status SchemaAtFault(const std::string& source, const std::string& pointer, const std::string& why) {
  const std::string quoted = Quoted(why, 400);
  return Status(
      SLIPWAY_E_PLUGIN_CONFIG,
      source + ": " + pointer +
          ": cannot be checked, because the plugin's own JSON Schema is at fault, not this configuration; tell "
          "the plugin's author: " +
          quoted.substr(1, quoted.size() - 2));
}

#ifdef SLIPWAY_WITH_VALIJSON
Status CheckWhole(const Json& schema, const std::string& schema_text, const Json& value, const std::string& json,
                  const std::string& pointer, const std::string& source) {
  const SchemaVerdict verdict = ValidateDraft7(schema_text, json);
  if (!verdict.schema_error.empty()) return SchemaAtFault(source, pointer, verdict.schema_error);
  if (!verdict.violation) return {};
  // The value, and as far as properties lead there its schema, for the words.
  const Json* at = &value;
  const Json* expected = ResolveSchema(schema, schema);
  std::string below = pointer;
  for (const std::string& part : verdict.violation->path) {
    below = PointerTo(below, part);
    const bool index = at != nullptr && at->is_array() && part.find_first_not_of("0123456789") == std::string::npos;
    if (index) {
      const auto i = static_cast<size_t>(std::strtoull(part.c_str(), nullptr, 10));
      at = i < at->size() ? &(*at)[i] : nullptr;
      expected = nullptr;
      continue;
    }
    at = at != nullptr && at->is_object() && at->contains(part) ? &*at->find(part) : nullptr;
    const bool known = expected != nullptr && expected->is_object() && expected->contains("properties") &&
                       (*expected)["properties"].is_object() && (*expected)["properties"].contains(part);
    expected = known ? ResolveSchema(schema, (*expected)["properties"][part]) : nullptr;
  }
  std::string what = at == nullptr ? "" : "found " + Found(*at) + ", ";
  if (expected != nullptr && expected->is_object() && at != nullptr && !at->is_structured()) {
    what += "expected " + Describe(*expected) + ": ";
  }
  ConfigErrors errors;
  errors.Add(SLIPWAY_E_CONFIG_VALUE, below, what + verdict.violation->description);
  return errors.ToStatus(source);
}
#endif

Status Check(const std::string& schema_text, const std::string& json, const std::string& pointer,
             const std::string& source) {
  ConfigErrors schema_errors;
  Json schema;
  if (schema_text.size() > kMaxSchemaBytes) return SchemaAtFault(source, pointer, "it is longer than 1 MiB");
  if (!ParseJson(schema_text, schema, schema_errors) || !schema_errors.empty()) {
    return SchemaAtFault(source, pointer, schema_errors.ToStatus("it is no JSON").message());
  }
  if (!schema.is_object()) return SchemaAtFault(source, pointer, "it is " + Found(schema) + " and not an object");
  if (const std::string wrong = LintSchema(schema); !wrong.empty()) return SchemaAtFault(source, pointer, wrong);

  ConfigErrors errors;
  Json value;
  if (!ParseJson(json, value, errors) || !errors.empty()) return errors.ToStatus(source + ": " + pointer);
  if (!value.is_object()) {
    errors.Add(SLIPWAY_E_CONFIG_TYPE, pointer, "found " + Found(value) + ", expected an object");
    return errors.ToStatus(source);
  }
#ifdef SLIPWAY_WITH_VALIJSON
  // An empty object only finds out whether the schema can be used at all, before it is used to accuse anyone.
  const SchemaVerdict trial = ValidateDraft7(schema_text, "{}");
  if (!trial.schema_error.empty()) return SchemaAtFault(source, pointer, trial.schema_error);
#endif
  Walker(schema, errors).Check(schema, value, pointer);
  if (!errors.empty()) return errors.ToStatus(source);
#ifdef SLIPWAY_WITH_VALIJSON
  return CheckWhole(schema, schema_text, value, json, pointer, source);
#else
  return {};
#endif
}

}  // namespace

bool ChecksWholeSchema() {
#ifdef SLIPWAY_WITH_VALIJSON
  return true;
#else
  return false;
#endif
}

Status CheckAgainstSchema(const std::string& schema_text, const std::string& json, const std::string& pointer_prefix,
                          const std::string& source) {
  try {
    return Check(schema_text.empty() ? kTakesNoKeys : schema_text, json, pointer_prefix, source);
  } catch (const std::bad_alloc&) {
    return Status(SLIPWAY_E_NOMEM, source + ": " + pointer_prefix + ": out of memory while checking");
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_INTERNAL, source + ": " + pointer_prefix + ": " + e.what());
  }
}

}  // namespace slipway
