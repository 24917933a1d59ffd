#include "tools/conform/schema.h"

// Without this it ends the process on a schema that it does not understand.
#define VALIJSON_USE_EXCEPTIONS 1

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

// Validates many values by one schema.
class Validator {
 public:
  explicit Validator(const std::string& text) {
    try {
      const Json json = Json::parse(text);
      if (!json.is_object()) {
        error_ = "it is no JSON object";
        return;
      }
      valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
      parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(json), schema_);
    } catch (const std::exception& e) {
      error_ = e.what();
    }
  }
  const std::string& error() const { return error_; }
  bool Valid(const Json& value, std::string* why = nullptr) {
    valijson::Validator validator;
    valijson::ValidationResults results;
    if (validator.validate(schema_, valijson::adapters::NlohmannJsonAdapter(value), &results)) return true;
    if (why != nullptr && results.numErrors() > 0) {
      const auto& first = *results.begin();
      for (const std::string& part : first.context) *why += part;
      *why += ": " + first.description;
    }
    return false;
  }

 private:
  std::string error_;
  valijson::Schema schema_;
};

// Pointers to the keys that the schema describes, in objects that are described in place.
void CollectKeys(const Json& schema, const Json::json_pointer& at, std::vector<Json::json_pointer>& keys,
                 std::vector<Json::json_pointer>& objects, int depth = 0) {
  if (depth > 4 || !schema.is_object() || !schema.contains("properties")) return;
  objects.push_back(at);
  for (const auto& item : schema["properties"].items()) {
    keys.push_back(at / item.key());
    CollectKeys(item.value(), at / item.key(), keys, objects, depth + 1);
  }
}

Json AnyValue(Random& random) {
  switch (random.Below(12)) {
    case 0:
      return nullptr;
    case 1:
      return true;
    case 2:
      return -1;
    case 3:
      return 0;
    case 4:
      return uint64_t{0xFFFFFFFFFFFFFFFF};
    case 5:
      return 1e308;
    case 6:
      return std::string(random.Below(5000), 'x');
    case 7:
      return "-1KiB";
    case 8:
      return Json::array();
    case 9:
      return Json::object();
    case 10:
      return 0.5;
    default:
      return std::string("\0\x01\xC3\xA9\xF0\x9F\x9A\xA2", 8);
  }
}

std::string MutateStructure(const Json& sample, const std::string& schema_text, Random& random) {
  Json j = sample;
  std::vector<Json::json_pointer> keys, objects;
  const Json schema = Json::parse(schema_text, nullptr, false);
  CollectKeys(schema.is_discarded() ? Json::object() : schema, Json::json_pointer(), keys, objects);
  for (const auto& item : j.items()) keys.push_back(Json::json_pointer() / item.key());
  const uint64_t changes = 1 + random.Below(3);
  for (uint64_t i = 0; i < changes; ++i) {
    if (keys.empty() || random.OneIn(6)) {
      j["k" + std::to_string(random.Next())] = AnyValue(random);
      continue;
    }
    const Json::json_pointer& key = keys[random.Below(keys.size())];
    if (!key.parent_pointer().empty()) {
      Json::json_pointer parent = key.parent_pointer();
      if (!j.contains(parent) || !j[parent].is_object()) j[parent] = Json::object();
    }
    Json value = AnyValue(random);
    if (random.OneIn(5)) value = Json::array({value, AnyValue(random)});
    j[key] = value;
  }
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string MutateBytes(std::string text, Random& random) {
  const uint64_t changes = 1 + random.Below(8);
  for (uint64_t i = 0; i < changes; ++i) {
    const size_t at = random.Below(text.size() + 1);
    switch (random.Below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << random.Below(8)));
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(random.Next()));
        break;
      case 2:
        if (at < text.size()) text.erase(at, 1 + random.Below(4));
        break;
      case 3:
        text.resize(at);
        break;
      case 4:
        text.insert(at, std::string(1 + random.Below(2000), "[{\"9-"[random.Below(5)]));
        break;
      default:
        text.insert(at, text.substr(0, random.Below(64)));
    }
  }
  return text;
}

}  // namespace

SchemaVerdict CheckSchema(const std::string& schema, const std::string& json) {
  SchemaVerdict verdict;
  Validator validator(schema);
  verdict.schema_error = validator.error();
  if (!verdict.schema_error.empty()) return verdict;
  const Json value = Json::parse(json, nullptr, false);
  if (value.is_discarded()) {
    verdict.violation = "it is no JSON";
  } else {
    validator.Valid(value, &verdict.violation);
  }
  return verdict;
}

std::vector<WrongConfig> WrongTypes(const std::string& schema, const std::string& sample) {
  std::vector<WrongConfig> out;
  Validator validator(schema);
  if (!validator.error().empty()) return out;
  std::vector<Json::json_pointer> keys, objects;
  CollectKeys(Json::parse(schema), Json::json_pointer(), keys, objects);
  const Json values[] = {nullptr, true, -7, 1.5, "wrong", Json::array({Json::object()}), Json::object({{"a", 1}})};
  for (const auto& key : keys) {
    for (const Json& value : values) {
      Json j = Json::parse(sample);
      try {
        j[key] = value;
      } catch (const Json::exception&) {
        continue;
      }
      // Where the schema takes the value, it is not wrong.
      if (!validator.Valid(j)) out.push_back({key.back(), j.dump(), value.type_name()});
    }
  }
  return out;
}

std::vector<WrongConfig> UnknownKeys(const std::string& schema, const std::string& sample) {
  std::vector<WrongConfig> out;
  std::vector<Json::json_pointer> keys, objects;
  const Json described = Json::parse(schema, nullptr, false);
  CollectKeys(described.is_discarded() ? Json::object() : described, Json::json_pointer(), keys, objects);
  if (objects.empty()) objects.push_back(Json::json_pointer());
  for (const auto& object : objects) {
    Json j = Json::parse(sample);
    if (!object.empty() && !j.contains(object)) continue;
    if (!j[object].is_object()) continue;
    j[object]["surely_unknown_key"] = 1;
    out.push_back({"surely_unknown_key", j.dump(), "unknown"});
  }
  return out;
}

std::string Mutate(const std::string& sample, const std::string& schema, Random& random) {
  if (random.OneIn(50)) return std::string(random.Below(20000), '[');
  if (random.OneIn(100)) return {};
  const Json json = Json::parse(sample, nullptr, false);
  std::string text = json.is_object() && !random.OneIn(3) ? MutateStructure(json, schema, random) : sample;
  if (random.OneIn(2)) text = MutateBytes(text, random);
  return text;
}

}  // namespace slipway::conform
