#include "core/config/json_document.h"

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <utility>
#include <vector>

namespace slipway {
namespace {

constexpr int kNumberOverflow = 406;  // of the parser: legal JSON, but no number of ours

struct Place {
  size_t line, column;
};

// Where byte `offset` of the text is, both from 1; columns count bytes.
Place PlaceOf(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t newline = before.rfind('\n');
  const auto lines = static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  return {lines + 1, before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1};
}

// The parser's words without its own numbering of errors and places, which is ours to give.
std::string PlainWords(std::string_view message) {
  for (const std::string_view before : {"syntax error", "while parsing", "number overflow"}) {
    if (const size_t at = message.find(before); at != std::string_view::npos) return std::string(message.substr(at));
  }
  return std::string(message);
}

// Receives the parser's events and builds the tree. An explicit stack, so that depth costs no stack space.
class TreeBuilder final : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(std::string_view text, Json& root, ConfigErrors& errors) : text_(text), root_(root), errors_(errors) {}

  bool null() override { return Put(Json(nullptr)) != nullptr; }
  bool boolean(bool v) override { return Put(Json(v)) != nullptr; }
  bool number_integer(int64_t v) override { return Put(Json(v)) != nullptr; }
  bool number_unsigned(uint64_t v) override { return Put(Json(v)) != nullptr; }
  bool number_float(double v, const std::string&) override { return Put(Json(v)) != nullptr; }
  bool string(std::string& v) override { return Put(Json(std::move(v))) != nullptr; }
  bool binary(Json::binary_t&) override { return false; }  // not in text

  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(std::string& key) override {
    Level& level = levels_.back();
    level.repeated = !level.seen.insert(key).second;
    level.key = std::move(key);
    if (level.repeated && skipping_ == 0) {
      errors_.Add(SLIPWAY_E_CONFIG_KEY, PointerTo(Pointer(), level.key),
                  "found this key again, expected each key once: remove one of them", Position());
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    const Place place = PlaceOf(text_, position == 0 ? 0 : position - 1);
    const std::string at = "line " + std::to_string(place.line) + ", column " + std::to_string(place.column) + ": ";
    if (e.id == kNumberOverflow) {
      errors_.Add(SLIPWAY_E_CONFIG_VALUE, "", at + Words(e) + ", expected a number that a double can hold");
    } else {
      errors_.Add(SLIPWAY_E_CONFIG_SYNTAX, "", at + "not JSON: " + Words(e));
    }
    return false;
  }

 private:
  struct Level {
    Json* node;  // null inside of a repeated key, whose value is not kept
    std::string key;
    bool repeated = false;
    std::unordered_set<std::string> seen;
  };

  static std::string Words(const nlohmann::detail::exception& e) {
    // Quoted() escapes what is not printable; the outer quotes are not wanted here.
    const std::string quoted = Quoted(PlainWords(e.what()), 300);
    return quoted.substr(1, quoted.size() - 2);
  }

  bool Open(Json value) {
    if (levels_.size() >= kMaxJsonDepth) {
      errors_.Add(SLIPWAY_E_CONFIG_SYNTAX, "",
                  "found nesting deeper than " + std::to_string(kMaxJsonDepth) + " levels, expected at most that");
      return false;
    }
    const bool skip = Skipped();
    Json* const node = Put(std::move(value));
    levels_.push_back({skip ? nullptr : node, {}, false, {}});
    if (skip) ++skipping_;
    return true;
  }
  bool Close() {
    if (levels_.back().node == nullptr) --skipping_;
    levels_.pop_back();
    return true;
  }
  bool Skipped() const {
    return skipping_ > 0 || (!levels_.empty() && levels_.back().repeated && levels_.back().node->is_object());
  }

  // Where the value came to lie. For one that is not kept, any place but null.
  Json* Put(Json value) {
    if (Skipped()) return &root_;
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.node->is_array()) {
      level.node->push_back(std::move(value));
      return &level.node->back();
    }
    // The vector underneath: the map's own insertion looks for the key once more, in linear time.
    auto& members =
        static_cast<std::vector<std::pair<const std::string, Json>>&>(level.node->get_ref<Json::object_t&>());
    members.emplace_back(std::move(level.key), std::move(value));
    return &members.back().second;
  }

  std::string Pointer() const {
    std::string out;
    for (size_t i = 0; i + 1 < levels_.size(); ++i) {
      const Json& node = *levels_[i].node;
      // The open value is the last of its parent.
      if (node.is_array()) {
        out = PointerTo(out, node.size() - 1);
      } else {
        out = PointerTo(out, static_cast<const std::string&>(node.get_ref<const Json::object_t&>().back().first));
      }
    }
    return out;
  }
  DocumentPosition Position() const {
    DocumentPosition out;
    for (const Level& level : levels_) {
      const size_t size = level.node->size();
      out.push_back(&level == &levels_.back() || size == 0 ? size : size - 1);
    }
    return out;
  }

  const std::string_view text_;
  Json& root_;
  ConfigErrors& errors_;
  std::vector<Level> levels_;
  size_t skipping_ = 0;  // open levels whose values are not kept
};

}  // namespace

bool ParseJson(std::string_view text, Json& out, ConfigErrors& errors) {
  if (text.size() > kMaxJsonBytes) {
    errors.Add(SLIPWAY_E_CONFIG_SYNTAX, "",
               "found more than " + std::to_string(kMaxJsonBytes >> 20) + " MiB of text, expected at most that");
    return false;
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    errors.Add(SLIPWAY_E_CONFIG_SYNTAX, "", "found no text, expected a JSON object; the least is {}");
    return false;
  }
  TreeBuilder builder(text, out, errors);
  return Json::sax_parse(text.begin(), text.end(), &builder);
}

std::string Found(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    case Json::value_t::string:
      return "string " + Quoted(value.get_ref<const std::string&>());
    case Json::value_t::array:
      return "an array";
    case Json::value_t::object:
      return "an object";
    default:
      return "number " + value.dump();
  }
}

}  // namespace slipway
