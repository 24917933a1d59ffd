#include "core/config/generate.h"

#include <concepts>
#include <string_view>

#include "core/base/bytes.h"
#include "core/config/environment.h"
#include "core/config/json_document.h"
#include "core/config/text_rules.h"
#include "slipway/options_fields.hpp"
#include "slipway/options_json.hpp"

namespace slipway {
namespace {

std::string SizeValue(uint64_t bytes) {
  const std::string text = FormatSize(bytes);
  return text.back() == 'B' && text.find("iB") != std::string::npos ? '"' + text + '"' : std::to_string(bytes);
}

// A visitor that builds the "properties" of one object.
class SchemaWriter {
 public:
  template <typename O, typename... Role>
  Json Object(const O& options, Role... role) {
    Json outer = std::move(properties_);
    properties_ = Json::object();
    DescribeFields(*this, options, role...);
    Json schema = {{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties_)}};
    properties_ = std::move(outer);
    return schema;
  }

  template <std::integral T>
  void Number(const NumberField& field, T value) {
    Json& p = Put(field, {{"type", "integer"}});
    if (field.kind == NumberKind::kBytes) {
      p["type"] = Json::array({"integer", "string"});
      p["pattern"] = R"(^[0-9]+(\.[0-9]{1,6})? *(B|[KMGT]iB|[kKMGT]B)?$)";
    }
    p["minimum"] = field.min;
    p["maximum"] = field.max;
    p["default"] =
        field.kind == NumberKind::kBytes ? Json::parse(SizeValue(static_cast<uint64_t>(value))) : Json(value);
  }
  template <size_t N, typename E>
  void Choice(const ChoiceField<N>& field, E value) {
    Json& p = Put(field, {{"enum", field.names}});
    p["default"] = field.names[static_cast<size_t>(value)];
  }
  void Text(const TextField& field, const std::string& value) {
    Json& p = Put(field, TextSchema(field.rule));
    p["default"] = value;
  }
  void Flag(const Field& field, bool value) { Put(field, {{"type", "boolean"}, {"default", value}}); }
  void TextList(const TextListField& field, const std::vector<std::string>& value) {
    Put(field,
        {{"type", "array"}, {"maxItems", field.max_items}, {"items", TextSchema(field.rule)}, {"default", value}});
  }
  void JsonObject(const Field& field, const std::string&) {
    Put(field, {{"type", "object"}, {"default", Json::object()}});
  }
  template <typename S>
  void Nested(const Field& field, const S& options) {
    Put(field, Object(options));
  }
  void Plugins(const PluginsField& field, const std::vector<PluginUse>&) {
    Json item = Object(PluginUse{}, field.role);
    item["properties"]["name"].erase("default");
    item["required"] = Json::array({"name"});
    Put(field,
        {{"type", "array"}, {"maxItems", field.max_items}, {"items", std::move(item)}, {"default", Json::array()}});
  }
  void Segments(const SegmentsField& field, const std::vector<StoreSegmentUse>&) {
    Json item = Object(StoreSegmentUse{});
    item["properties"]["name"].erase("default");
    item["required"] = Json::array({"name"});
    Put(field,
        {{"type", "array"}, {"maxItems", field.max_items}, {"items", std::move(item)}, {"default", Json::array()}});
  }

 private:
  static Json TextSchema(TextRule rule) {
    Json schema = {{"type", "string"}, {"maxLength", kMaxTextBytes}};
    if (const std::string pattern = PatternOf(rule); !pattern.empty()) schema["pattern"] = pattern;
    return schema;
  }
  Json& Put(const Field& field, Json schema) {
    Json documented = {{"description", field.doc}};
    documented.update(schema);
    return properties_[field.key] = std::move(documented);
  }

  Json properties_ = Json::object();
};

// A visitor that writes one row of Markdown a key.
class TableWriter {
 public:
  template <typename O, typename... Role>
  void Object(const std::string& prefix, const O& options, Role... role) {
    const std::string outer = std::move(prefix_);
    prefix_ = prefix;
    DescribeFields(*this, options, role...);
    prefix_ = outer;
  }
  const std::string& rows() const { return rows_; }

  template <std::integral T>
  void Number(const NumberField& field, T value) {
    const bool size = field.kind == NumberKind::kBytes;
    const auto text = [&](int64_t v) { return size ? SizeValue(static_cast<uint64_t>(v)) : std::to_string(v); };
    Row(field, std::string(Unit(field.kind)) + ", " + text(field.min) + " to " + text(field.max), text(value));
  }
  template <size_t N, typename E>
  void Choice(const ChoiceField<N>& field, E value) {
    std::string names;
    for (const char* name : field.names) names += (names.empty() ? "`\"" : ", `\"") + std::string(name) + "\"`";
    Row(field, names, Quote(field.names[static_cast<size_t>(value)]));
  }
  void Text(const TextField& field, const std::string& value) {
    Row(field, "string", FollowsRule(field.rule, value) ? Quote(value) : "");
  }
  void Flag(const Field& field, bool value) { Row(field, "true or false", value ? "true" : "false"); }
  void TextList(const TextListField& field, const std::vector<std::string>&) {
    Row(field, "array of at most " + std::to_string(field.max_items) + " strings", "[]");
  }
  void JsonObject(const Field& field, const std::string&) { Row(field, "object", "{}"); }
  template <typename S>
  void Nested(const Field& field, const S& options) {
    Row(field, "object", "");
    Object(prefix_ + field.key + ".", options);
  }
  void Plugins(const PluginsField& field, const std::vector<PluginUse>&) {
    Row(field, "array of at most " + std::to_string(field.max_items) + " objects", "[]");
    Object(prefix_ + field.key + "[].", PluginUse{}, field.role);
  }
  void Segments(const SegmentsField& field, const std::vector<StoreSegmentUse>&) {
    Row(field, "array of at most " + std::to_string(field.max_items) + " objects", "[]");
    Object(prefix_ + field.key + "[].", StoreSegmentUse{});
  }

 private:
  static std::string Quote(const std::string& text) { return '"' + text + '"'; }
  static const char* Unit(NumberKind kind) {
    switch (kind) {
      case NumberKind::kBytes:
        return "size";
      case NumberKind::kMilliseconds:
        return "milliseconds";
      case NumberKind::kMicroseconds:
        return "microseconds";
      case NumberKind::kPercent:
        return "percent";
      case NumberKind::kCount:
        break;
    }
    return "number";
  }
  void Row(const Field& field, const std::string& value, const std::string& standard) {
    rows_ += "| `" + prefix_ + field.key + "` | " + value + " | " + (standard.empty() ? "" : "`" + standard + "`") +
             " | " + field.doc + " |\n";
  }

  std::string prefix_;
  std::string rows_;
};

std::string KeyTable() {
  TableWriter table;
  table.Object("", Options{});
  return "| key | value | default | what it changes |\n|---|---|---|---|\n" + table.rows();
}

std::string EnvironmentTable() {
  std::string out = "| variable | key | value |\n|---|---|---|\n";
  for (const EnvironmentOverride& entry : EnvironmentOverrides()) {
    std::string key = std::string(entry.pointer).substr(1);
    for (char& c : key) c = c == '/' ? '.' : c;
    out += "| `" + std::string(entry.name) + "` | `" + key + "` | " + entry.doc + " |\n";
  }
  return out;
}

// False when the marks `<!-- NAME: begin -->` and `<!-- NAME: end -->` are not both there, in this order.
bool ReplaceBetween(std::string& text, const std::string& name, const std::string& content) {
  const std::string begin = "<!-- " + name + ": begin -->\n";
  const std::string end = "<!-- " + name + ": end -->";
  const size_t from = text.find(begin);
  if (from == std::string::npos) return false;
  const size_t to = text.find(end, from);
  if (to == std::string::npos) return false;
  text.replace(from + begin.size(), to - from - begin.size(), content);
  return true;
}

}  // namespace

std::string ReferenceJson(const Options& options) {
  Json document = {{"$schema", "./slipway.schema.json"}};
  document.update(Json::parse(internal::OptionsWriter(SizeValue).Object(options)));
  return document.dump(2) + "\n";
}

std::string EditorSchemaJson() {
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "Slipway configuration"}};
  schema.update(SchemaWriter().Object(Options{}));
  schema["properties"]["$schema"] =
      Json::object({{"type", "string"}, {"description", "Where editors find this schema; ignored."}});
  return schema.dump(2) + "\n";
}

std::optional<std::string> UpdateReadme(const std::string& readme) {
  std::string out = readme;
  if (!ReplaceBetween(out, "keys", KeyTable()) || !ReplaceBetween(out, "environment", EnvironmentTable())) {
    return std::nullopt;
  }
  return out;
}

}  // namespace slipway
