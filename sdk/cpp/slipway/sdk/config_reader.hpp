// Reading a plugin's configuration strictly: unknown and repeated keys, wrong types and values out of range are
// E_CONFIG, with the JSON pointer in slipway_error.where and what would be right in the message.
//
// Optional: the rest of the SDK does not include it, and it needs nlohmann/json (include it in one source file). Used
// so:
//
//   nlohmann::json json;
//   if (auto s = ParseConfig(text, json, err); s != SLIPWAY_OK) return s;
//   ConfigReader reader(json, "", err);
//   reader.UInt("threads", config.threads, 0, 64);
//   reader.Bytes("inline_bytes", config.inline_bytes, 0, 1 << 20);
//   return reader.Finish();
#ifndef SLIPWAY_SDK_CONFIG_READER_HPP_
#define SLIPWAY_SDK_CONFIG_READER_HPP_

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "slipway/sdk/error.hpp"
#include "slipway/sdk/nearest.hpp"

namespace slipway::sdk {

// A whole number of bytes: "4096", "64KiB", "2 GiB"; binary units KiB, MiB, GiB, TiB, or B. False for anything else.
inline bool ParseBytes(std::string_view text, uint64_t& out) {
  uint64_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  static constexpr struct {
    std::string_view name;
    unsigned shift;
  } kUnits[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
  for (const auto& unit : kUnits) {
    if (text != unit.name) continue;
    if (number > std::numeric_limits<uint64_t>::max() >> unit.shift) return false;
    out = number << unit.shift;
    return true;
  }
  return false;
}

// The text as one JSON object: not NUL-terminated, from a file that anybody may have written.
inline slipway_status ParseConfig(std::string_view text, nlohmann::json& out, Error& err) {
  constexpr int kDeepest = 32;
  using Event = nlohmann::json::parse_event_t;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string repeated;
  bool too_deep = false;
  const auto watch = [&](int depth, Event event, nlohmann::json& value) {
    too_deep = too_deep || depth > kDeepest;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second)
      repeated = value.get<std::string>();
    return !too_deep;
  };
  try {
    out = nlohmann::json::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception& e) {
    if (!too_deep) return err.Fail(SLIPWAY_E_CONFIG, std::string("the configuration is not JSON: ") + e.what());
  }
  if (too_deep) return err.Fail(SLIPWAY_E_CONFIG, "the configuration is nested more than 32 levels deep");
  if (!repeated.empty()) return err.Fail(SLIPWAY_E_CONFIG, "the key \"" + repeated + "\" is there twice: keep one");
  if (!out.is_object()) {
    return err.Fail(SLIPWAY_E_CONFIG, std::string("the configuration is not an object but ") + out.type_name());
  }
  return SLIPWAY_OK;
}

// Reads one object key by key; absent keys leave their output alone. The first failure is kept and reported by
// Finish(). Holds references to the JSON and the error report. Not thread-safe.
class ConfigReader {
 public:
  // `pointer` is the JSON pointer of `object`: "" for the root.
  ConfigReader(const nlohmann::json& object, std::string pointer, Error& err)
      : object_(object), pointer_(std::move(pointer)), err_(err) {
    if (!object_.is_object()) FailAt(pointer_, std::string("expected an object, found ") + object_.type_name());
  }

  // An integer of T's type within [min, max].
  template <typename T>
  ConfigReader& UInt(const char* key, T& out, std::type_identity_t<T> min, std::type_identity_t<T> max) {
    static_assert(std::is_unsigned_v<T>);
    const nlohmann::json* value = Find(key);
    if (value == nullptr) return *this;
    if (!value->is_number_integer()) return WrongType(key, "an integer", *value);
    if (!value->is_number_unsigned()) return OutOfRange(key, value->dump(), std::to_string(min), std::to_string(max));
    return Take(key, value->get<uint64_t>(), out, min, max);
  }

  // An integer, or a text such as "64KiB".
  ConfigReader& Bytes(const char* key, uint64_t& out, uint64_t min, uint64_t max) {
    const nlohmann::json* value = Find(key);
    if (value == nullptr || !value->is_string()) return UInt(key, out, min, max);
    uint64_t bytes = 0;
    if (!ParseBytes(value->get_ref<const std::string&>(), bytes)) {
      return WrongType(key, "bytes as an integer or as text such as \"64KiB\"", *value);
    }
    return Take(key, bytes, out, min, max);
  }

  ConfigReader& Bool(const char* key, bool& out) {
    const nlohmann::json* value = Find(key);
    if (value == nullptr) return *this;
    if (!value->is_boolean()) return WrongType(key, "true or false", *value);
    out = value->get<bool>();
    return *this;
  }

  ConfigReader& String(const char* key, std::string& out, size_t bytes_max = 4096) {
    const nlohmann::json* value = Find(key);
    if (value == nullptr) return *this;
    if (!value->is_string()) return WrongType(key, "a string", *value);
    if (value->get_ref<const std::string&>().size() > bytes_max) {
      return FailAt(PointerOf(key), "longer than " + std::to_string(bytes_max) + " bytes");
    }
    out = value->get<std::string>();
    return *this;
  }

  ConfigReader& Strings(const char* key, std::vector<std::string>& out, size_t count_max = 64) {
    const nlohmann::json* value = Find(key);
    if (value == nullptr) return *this;
    if (!value->is_array()) return WrongType(key, "an array of strings", *value);
    if (value->size() > count_max) return FailAt(PointerOf(key), "more than " + std::to_string(count_max) + " entries");
    std::vector<std::string> read;
    for (size_t i = 0; i < value->size(); ++i) {
      const nlohmann::json& element = (*value)[i];
      if (!element.is_string()) {
        return FailAt(PointerOf(key) + "/" + std::to_string(i),
                      std::string("expected a string, found ") + element.type_name());
      }
      read.push_back(element.get<std::string>());
    }
    out = std::move(read);
    return *this;
  }

  // One of a few words; `out` becomes its index.
  ConfigReader& Choice(const char* key, size_t& out, const std::vector<std::string>& choices) {
    const nlohmann::json* value = Find(key);
    if (value == nullptr) return *this;
    if (!value->is_string()) return WrongType(key, "a string", *value);
    const std::string& word = value->get_ref<const std::string&>();
    const auto found = std::find(choices.begin(), choices.end(), word);
    if (found == choices.end()) {
      std::string list;
      for (const std::string& c : choices) list += (list.empty() ? "" : ", ") + ("\"" + c + "\"");
      return FailAt(PointerOf(key), "\"" + word + "\" is none of " + list);
    }
    out = static_cast<size_t>(found - choices.begin());
    return *this;
  }

  // The value of a key that needs a reader of its own; NULL when it is absent. Read it with
  // ConfigReader(*value, reader.PointerOf(key), err).
  const nlohmann::json* Find(const char* key) {
    known_.emplace_back(key);
    if (status_ != SLIPWAY_OK) return nullptr;
    const auto it = object_.find(key);
    return it == object_.end() ? nullptr : &*it;
  }

  std::string PointerOf(std::string_view key) const {
    std::string out = pointer_ + "/";
    for (const char c : key) {
      if (c == '~') {
        out += "~0";
      } else if (c == '/') {
        out += "~1";
      } else {
        out += c;
      }
    }
    return out;
  }

  // A finding of the author's own, such as two values that cannot go together.
  ConfigReader& Refuse(std::string_view key, const std::string& message) { return FailAt(PointerOf(key), message); }

  // After every key was asked for: the first failure, or a key that nobody asked for.
  slipway_status Finish() {
    if (status_ != SLIPWAY_OK) return status_;
    for (const auto& item : object_.items()) {
      if (std::find(known_.begin(), known_.end(), item.key()) != known_.end()) continue;
      const std::string nearest = Nearest(item.key(), known_);
      FailAt(PointerOf(item.key()),
             "unknown key" + (nearest.empty() ? KnownKeys() : "; did you mean \"" + nearest + "\"?"));
      break;
    }
    return status_;
  }

 private:
  template <typename T>
  ConfigReader& Take(const char* key, uint64_t value, T& out, T min, T max) {
    if (value < min || value > max) {
      return OutOfRange(key, std::to_string(value), std::to_string(min), std::to_string(max));
    }
    out = static_cast<T>(value);
    return *this;
  }
  ConfigReader& WrongType(const char* key, const std::string& expected, const nlohmann::json& found) {
    return FailAt(PointerOf(key), "expected " + expected + ", found " + found.type_name());
  }
  ConfigReader& OutOfRange(const char* key, const std::string& value, const std::string& min, const std::string& max) {
    return FailAt(PointerOf(key), value + " is out of range: expected " + min + " to " + max);
  }
  ConfigReader& FailAt(const std::string& pointer, const std::string& message) {
    if (status_ == SLIPWAY_OK) status_ = err_.Fail(SLIPWAY_E_CONFIG, message, pointer);
    return *this;
  }
  std::string KnownKeys() const {
    std::string out;
    for (const std::string& key : known_) out += (out.empty() ? "; it takes " : ", ") + key;
    return out.empty() ? "; it takes no keys" : out;
  }

  const nlohmann::json& object_;
  const std::string pointer_;
  Error& err_;
  std::vector<std::string> known_;
  slipway_status status_ = SLIPWAY_OK;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_CONFIG_READER_HPP_
