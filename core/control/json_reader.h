// Reading JSON that a peer wrote: bounded while parsing, strict about types, errors named by their JSON pointer.
// For this folder's .cc files.
#ifndef SLIPWAY_CORE_CONTROL_JSON_READER_H_
#define SLIPWAY_CORE_CONTROL_JSON_READER_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "slipway/status.hpp"

namespace slipway {

// Deep enough for a description with room; a peer gains nothing by more.
inline constexpr size_t kMaxJsonDepth = 32;

// An error has `code`. Refuses what is not JSON, is nested deeper than kMaxJsonDepth, repeats a key in one object, or
// has more than `max_values` values and keys: parsed, each costs many times its text.
Result<nlohmann::json> ParseJson(std::string_view text, size_t max_values, slipway_status code);

// Where a value stands, as a chain on the stack: written out only for an error.
struct JsonPlace {
  const JsonPlace* parent = nullptr;
  const char* key = nullptr;  // null: an element of an array
  size_t index = 0;

  std::string Pointer() const;
};

// Reads members of one object. Every call after a failed one does nothing, so that callers check once.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& value, const JsonPlace& place, slipway_status code, Status* status);

  uint64_t Uint(const char* key, uint64_t max = UINT64_MAX);
  bool Bool(const char* key);
  const std::string& String(const char* key, size_t max_bytes);
  std::string Bytes(const char* key, size_t max_bytes);  // of base64
  const nlohmann::json& Array(const char* key, size_t max_count);
  const nlohmann::json& Object(const char* key);

  void Fail(const char* key, const std::string& what);
  bool ok() const { return status_->ok(); }

 private:
  const nlohmann::json* Member(const char* key);

  const nlohmann::json* value_;
  const JsonPlace& place_;
  const slipway_status code_;
  Status* const status_;
};

// Written so that it never throws: bytes that are not UTF-8 are replaced.
std::string DumpJson(const nlohmann::json& value);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_JSON_READER_H_
