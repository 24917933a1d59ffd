#include "core/config/schema_lint.h"

#include <array>
#include <regex>
#include <string_view>
#include <unordered_map>

namespace slipway {
namespace {

constexpr size_t kMaxReferences = 32;  // one leading to the next

// Keywords whose schemas apply to the very same value, so that a circle of them never ends.
constexpr std::array<std::string_view, 3> kSameValueLists = {"allOf", "anyOf", "oneOf"};
constexpr std::array<std::string_view, 4> kSameValue = {"not", "if", "then", "else"};

class Linter {
 public:
  explicit Linter(const Json& root) : root_(root) {}

  // Looks at every node below; its data ("default", "enum") are harmless to look at as well.
  std::string Everything(const Json& node, const std::string& pointer) {
    if (node.is_object()) {
      if (std::string wrong = Patterns(node, pointer); !wrong.empty()) return wrong;
      if (node.contains("$ref") && node["$ref"].is_string() && ResolveSchema(root_, node) == nullptr) {
        return pointer + "/$ref: " + Quoted(node["$ref"].get_ref<const std::string&>()) +
               " leads nowhere in this schema, or in a circle";
      }
      if (Circles(node)) return pointer + ": applies itself to the same value without end";
    }
    if (!node.is_structured()) return {};
    size_t index = 0;
    for (const auto& [key, child] : node.items()) {
      const std::string below = node.is_object() ? PointerTo(pointer, key) : PointerTo(pointer, index++);
      if (std::string wrong = Everything(child, below); !wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  enum class Mark { kOpen, kDone };

  static std::string Pattern(const std::string& text, const std::string& pointer) {
    try {
      const std::regex compiled(text);
      return {};
    } catch (const std::regex_error& e) {
      return pointer + ": " + Quoted(text) + " is no regular expression: " + e.what();
    }
  }
  static std::string Patterns(const Json& node, const std::string& pointer) {
    if (const auto it = node.find("pattern"); it != node.end() && it->is_string()) {
      return Pattern(it->get_ref<const std::string&>(), pointer + "/pattern");
    }
    const auto it = node.find("patternProperties");
    if (it == node.end() || !it->is_object()) return {};
    for (const auto& [key, value] : it->items()) {
      if (std::string wrong = Pattern(key, pointer + "/patternProperties"); !wrong.empty()) return wrong;
    }
    return {};
  }

  // Depth first over the schemas that apply to the same value; each is visited once in the whole check.
  bool Circles(const Json& node) {
    if (!node.is_object()) return false;
    const auto [it, first] = marks_.emplace(&node, Mark::kOpen);
    if (!first) return it->second == Mark::kOpen;
    bool circle = false;
    if (node.contains("$ref")) {
      const Json* const target = ResolveSchema(root_, node);
      circle = target != nullptr && target != &node && Circles(*target);
    }
    for (const std::string_view key : kSameValueLists) {
      if (const auto list = node.find(key); list != node.end() && list->is_array()) {
        for (const Json& child : *list) circle = circle || Circles(child);
      }
    }
    for (const std::string_view key : kSameValue) {
      if (const auto child = node.find(key); child != node.end()) circle = circle || Circles(*child);
    }
    if (const auto dependencies = node.find("dependencies"); dependencies != node.end() && dependencies->is_object()) {
      for (const auto& [key, child] : dependencies->items()) circle = circle || Circles(child);
    }
    marks_[&node] = Mark::kDone;
    return circle;
  }

  const Json& root_;
  std::unordered_map<const Json*, Mark> marks_;
};

}  // namespace

const Json* ResolveSchema(const Json& root, const Json& node) {
  const Json* at = &node;
  for (size_t i = 0; i < kMaxReferences; ++i) {
    if (!at->is_object()) return at;
    const auto ref = at->find("$ref");
    if (ref == at->end()) return at;
    if (!ref->is_string()) return nullptr;
    const auto& text = ref->get_ref<const std::string&>();
    if (text.empty() || text[0] != '#') return nullptr;
    try {
      const Json::json_pointer pointer(text.substr(1));
      if (!root.contains(pointer)) return nullptr;
      at = &root.at(pointer);
    } catch (const Json::exception&) {
      return nullptr;
    }
  }
  return nullptr;
}

bool UsesPatterns(const Json& root) {
  if (!root.is_structured()) return false;
  // "format" is a regular expression of the validator's own.
  constexpr std::array<std::string_view, 3> kKeywords = {"pattern", "patternProperties", "format"};
  if (root.is_object()) {
    for (const std::string_view keyword : kKeywords) {
      if (root.contains(keyword)) return true;
    }
  }
  for (const Json& child : root) {
    if (UsesPatterns(child)) return true;
  }
  return false;
}

std::string LintSchema(const Json& root) { return Linter(root).Everything(root, ""); }

}  // namespace slipway
