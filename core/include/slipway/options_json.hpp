// Options as JSON text: how C++ code passes typed options to slipway_engine_create_from_json.
#ifndef SLIPWAY_OPTIONS_JSON_HPP_
#define SLIPWAY_OPTIONS_JSON_HPP_

#include <array>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slipway/options_fields.hpp"

namespace slipway {
namespace internal {

inline std::string QuoteJson(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      out += "\\u00";
      out += kHex[u >> 4];
      out += kHex[u & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

// A visitor of DescribeFields. `format_bytes` writes sizes, as a JSON value; null: as plain numbers.
class OptionsWriter {
 public:
  using FormatBytes = std::string (*)(uint64_t);
  explicit OptionsWriter(FormatBytes format_bytes = nullptr) : format_bytes_(format_bytes) {}

  template <typename O, typename... Role>
  std::string Object(const O& options, Role... role) {
    const std::string outer = std::move(text_);
    text_ = "{";
    DescribeFields(*this, options, role...);
    std::string object = std::move(text_) + "}";
    text_ = outer;
    return object;
  }

  template <std::integral T>
  void Number(const NumberField& field, T value) {
    const bool size = field.kind == NumberKind::kBytes && format_bytes_ != nullptr;
    Add(field, size ? format_bytes_(static_cast<uint64_t>(value)) : std::to_string(value));
  }
  template <size_t N, typename E>
  void Choice(const ChoiceField<N>& field, E value) {
    const auto index = static_cast<size_t>(value);
    Add(field, QuoteJson(index < N ? field.names[index] : "not a choice"));
  }
  void Text(const TextField& field, const std::string& value) { Add(field, QuoteJson(value)); }
  void TextList(const TextListField& field, const std::vector<std::string>& values) {
    std::string list;
    for (const std::string& value : values) list += (list.empty() ? "" : ",") + QuoteJson(value);
    Add(field, "[" + list + "]");
  }
  void Flag(const Field& field, bool value) { Add(field, value ? "true" : "false"); }
  void JsonObject(const Field& field, const std::string& json_text) {
    Add(field, json_text.empty() ? "{}" : json_text);
  }
  template <typename S>
  void Nested(const Field& field, const S& options) {
    Add(field, Object(options));
  }
  void Plugins(const PluginsField& field, const std::vector<PluginUse>& plugins) {
    std::string list;
    for (const PluginUse& plugin : plugins) list += (list.empty() ? "" : ",") + Object(plugin, field.role);
    Add(field, "[" + list + "]");
  }
  void Segments(const SegmentsField& field, const std::vector<StoreSegmentUse>& segments) {
    std::string list;
    for (const StoreSegmentUse& segment : segments) list += (list.empty() ? "" : ",") + Object(segment);
    Add(field, "[" + list + "]");
  }

 private:
  void Add(const Field& field, const std::string& value) {
    if (text_.size() > 1) text_ += ',';
    text_ += QuoteJson(field.key) + ":" + value;
  }

  const FormatBytes format_bytes_;
  std::string text_;
};

}  // namespace internal

// All of `options` as one JSON object on one line, which the configuration reader turns back into equal options.
// Performs no checks: text that is not UTF-8, an enumerator or number out of range, or options_json that is not one
// JSON object is written as it is, for the reader to refuse.
inline std::string OptionsToJson(const Options& options) { return internal::OptionsWriter().Object(options); }

}  // namespace slipway

#endif  // SLIPWAY_OPTIONS_JSON_HPP_
