#include "core/control/json_reader.h"

#include <set>
#include <vector>

#include "core/control/base64.h"

namespace slipway {
namespace {

using nlohmann::json;

const json kEmptyArray = json::array();
const json kEmptyObject = json::object();
const std::string kEmptyString;

// Reads a text once without keeping it, and stops at the first thing that must not be parsed. Kept apart from parsing
// since the library's own way of watching it do so takes time quadratic in the length of an array.
class Checker final : public nlohmann::json_sax<json> {
 public:
  explicit Checker(size_t max_values) : max_values_(max_values) {}

  bool null() override { return CountOne(); }
  bool boolean(bool) override { return CountOne(); }
  bool number_integer(number_integer_t) override { return CountOne(); }
  bool number_unsigned(number_unsigned_t) override { return CountOne(); }
  bool number_float(number_float_t, const string_t&) override { return CountOne(); }
  bool string(string_t&) override { return CountOne(); }
  bool binary(binary_t&) override { return Refuse("binary"); }
  bool start_object(size_t) override { return Enter(); }
  bool end_object() override { return Leave(); }
  bool start_array(size_t) override { return Enter(); }
  bool end_array() override { return Leave(); }
  bool key(string_t& name) override {
    return keys_.back().insert(name).second ? CountOne() : Refuse("an object has the same key twice");
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Refuse("not JSON at byte " + std::to_string(position));
  }

  const std::string& problem() const { return problem_; }

 private:
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool CountOne() { return ++values_ <= max_values_ || Refuse("more than " + std::to_string(max_values_) + " values"); }
  bool Enter() {
    if (keys_.size() >= kMaxJsonDepth) return Refuse("nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
    keys_.emplace_back();
    return CountOne();
  }
  bool Leave() {
    keys_.pop_back();
    return true;
  }

  const size_t max_values_;
  size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // one for each object or array that is open
  std::string problem_;
};

}  // namespace

Result<json> ParseJson(std::string_view text, size_t max_values, slipway_status code) {
  try {
    // The parser takes a NUL for the end of the text and does not look behind it.
    const size_t nul = text.find('\0');
    if (nul != std::string_view::npos) return Status(code, "not JSON at byte " + std::to_string(nul) + ": a NUL");
    Checker checker(max_values);
    if (!json::sax_parse(text.begin(), text.end(), &checker)) return Status(code, "refused: " + checker.problem());
    json value = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded()) return Status(code, "not JSON");
    return value;
  } catch (const std::exception& e) {
    return Status(code, std::string("not JSON: ") + e.what());
  }
}

std::string JsonPlace::Pointer() const {
  std::string out = parent == nullptr ? "" : parent->Pointer();
  if (key != nullptr) {
    if (*key != '\0') out += std::string("/") + key;
  } else {
    out += "/" + std::to_string(index);
  }
  return out;
}

JsonObject::JsonObject(const json& value, const JsonPlace& place, slipway_status code, Status* status)
    : value_(&value), place_(place), code_(code), status_(status) {
  if (!value.is_object()) {
    Fail("", std::string("is of type ") + value.type_name() + ", expected an object");
    value_ = &kEmptyObject;
  }
}

void JsonObject::Fail(const char* key, const std::string& what) {
  if (!ok()) return;
  const std::string pointer = JsonPlace{&place_, key, 0}.Pointer();
  *status_ = Status(code_, (pointer.empty() ? "the JSON text" : pointer) + " " + what);
}

const json* JsonObject::Member(const char* key) {
  if (!ok()) return nullptr;
  const auto found = value_->find(key);
  if (found != value_->end()) return &*found;
  Fail(key, "is missing");
  return nullptr;
}

uint64_t JsonObject::Uint(const char* key, uint64_t max) {
  const json* member = Member(key);
  if (member == nullptr) return 0;
  if (!member->is_number_unsigned()) {
    Fail(key, std::string("is of type ") + member->type_name() + ", expected an integer that is not negative");
    return 0;
  }
  const uint64_t value = member->get<uint64_t>();
  if (value > max) Fail(key, "is " + std::to_string(value) + ", expected at most " + std::to_string(max));
  return value;
}

bool JsonObject::Bool(const char* key) {
  const json* member = Member(key);
  if (member == nullptr) return false;
  if (!member->is_boolean()) {
    Fail(key, std::string("is of type ") + member->type_name() + ", expected true or false");
    return false;
  }
  return member->get<bool>();
}

const std::string& JsonObject::String(const char* key, size_t max_bytes) {
  const json* member = Member(key);
  if (member == nullptr) return kEmptyString;
  if (!member->is_string()) {
    Fail(key, std::string("is of type ") + member->type_name() + ", expected a string");
    return kEmptyString;
  }
  const std::string& value = member->get_ref<const std::string&>();
  if (value.size() > max_bytes) {
    Fail(key, "has " + std::to_string(value.size()) + " bytes, expected at most " + std::to_string(max_bytes));
    return kEmptyString;
  }
  return value;
}

std::string JsonObject::Bytes(const char* key, size_t max_bytes) {
  const std::string& text = String(key, (max_bytes + 2) / 3 * 4);
  if (!ok()) return {};
  std::optional<std::string> bytes = Base64Decode(text);
  if (!bytes || bytes->size() > max_bytes) {
    Fail(key, bytes ? "holds more than " + std::to_string(max_bytes) + " bytes" : "is not base64");
    return {};
  }
  return *std::move(bytes);
}

const json& JsonObject::Array(const char* key, size_t max_count) {
  const json* member = Member(key);
  if (member == nullptr) return kEmptyArray;
  if (!member->is_array()) {
    Fail(key, std::string("is of type ") + member->type_name() + ", expected an array");
    return kEmptyArray;
  }
  if (member->size() > max_count) {
    Fail(key, "has " + std::to_string(member->size()) + " elements, expected at most " + std::to_string(max_count));
    return kEmptyArray;
  }
  return *member;
}

const json& JsonObject::Object(const char* key) {
  const json* member = Member(key);
  return member == nullptr ? kEmptyObject : *member;  // the JsonObject made of it checks the type
}

std::string DumpJson(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace slipway
