#include "core/config/schema_valijson.h"

// Without this it ends the process on a schema that it does not understand.
#define VALIJSON_USE_EXCEPTIONS 1

#include <new>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace slipway {
namespace {

// "[\"lanes\"]" -> "lanes", "[0]" -> "0"; the first is "<root>".
std::vector<std::string> PathOf(const std::vector<std::string>& context) {
  std::vector<std::string> path;
  for (size_t i = 1; i < context.size(); ++i) {
    std::string part = context[i];
    if (part.size() >= 2 && part.front() == '[' && part.back() == ']') part = part.substr(1, part.size() - 2);
    if (part.size() >= 2 && part.front() == '"' && part.back() == '"') part = part.substr(1, part.size() - 2);
    path.push_back(std::move(part));
  }
  return path;
}

}  // namespace

SchemaVerdict ValidateDraft7(const std::string& schema_text, const std::string& json) {
  SchemaVerdict verdict;
  try {
    const auto schema_json = nlohmann::json::parse(schema_text);
    const auto value_json = nlohmann::json::parse(json);
    valijson::Schema schema;
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
    parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(schema_json), schema);

    valijson::Validator validator;
    valijson::ValidationResults results;
    if (validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(value_json), &results)) return verdict;
    // The deepest says most; those above only say that something below them failed.
    SchemaViolation worst;
    for (const auto& error : results) {
      std::vector<std::string> path = PathOf(error.context);
      if (worst.description.empty() || path.size() > worst.path.size()) worst = {std::move(path), error.description};
    }
    verdict.violation = std::move(worst);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    verdict.schema_error = e.what();
  }
  return verdict;
}

}  // namespace slipway
