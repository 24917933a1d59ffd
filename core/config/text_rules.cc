#include "core/config/text_rules.h"

#include <algorithm>

#include "core/config/listen_address.h"

namespace slipway {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

bool IsPluginName(std::string_view text) {
  return !text.empty() && text.size() <= 31 &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsLower(c) || IsDigit(c) || c == '-'; });
}

bool IsEngineName(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return IsLower(c) || IsUpper(c) || IsDigit(c) || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace

bool FollowsRule(TextRule rule, std::string_view text) {
  if (text.size() > kMaxTextBytes || std::any_of(text.begin(), text.end(), IsControl)) return false;
  switch (rule) {
    case TextRule::kAny:
    case TextRule::kPathOrEmpty:
      return true;
    case TextRule::kPath:
      return !text.empty();
    case TextRule::kEngineName:
      return IsEngineName(text);
    case TextRule::kPluginName:
      return IsPluginName(text);
    case TextRule::kPluginNameOrEmpty:
      return text.empty() || IsPluginName(text);
    case TextRule::kListenAddress:
      return text.empty() || ParseListenAddress(text).has_value();
  }
  return false;
}

std::string ExpectedText(TextRule rule) {
  const std::string bound = " of at most " + std::to_string(kMaxTextBytes) + " bytes without control characters";
  switch (rule) {
    case TextRule::kAny:
      return "a string" + bound;
    case TextRule::kPathOrEmpty:
      return "a string with a path, or an empty one," + bound;
    case TextRule::kPath:
      return "a string with a path, not empty," + bound;
    case TextRule::kEngineName:
      return "a string of 1 to 63 letters, digits, '.', '_' and '-'";
    case TextRule::kPluginName:
      return "a string of 1 to 31 lower-case letters, digits and '-'";
    case TextRule::kPluginNameOrEmpty:
      return "an empty string, or one of 1 to 31 lower-case letters, digits and '-'";
    case TextRule::kListenAddress:
      return "a string HOST:PORT or [V6]:PORT such as \"127.0.0.1:7700\" (port 0: any free one), or an empty one";
  }
  return "a string";
}

const char* PatternOf(TextRule rule) {
  switch (rule) {
    case TextRule::kEngineName:
      return "^[A-Za-z0-9._-]{1,63}$";
    case TextRule::kPluginName:
      return "^[a-z0-9-]{1,31}$";
    case TextRule::kPluginNameOrEmpty:
      return "^[a-z0-9-]{0,31}$";
    case TextRule::kPath:
      return "^.+$";
    case TextRule::kListenAddress:
      return "^$|^[A-Za-z0-9._-]*:[0-9]{1,5}$|^\\[[0-9A-Fa-f:.%A-Za-z0-9]+\\]:[0-9]{1,5}$";
    case TextRule::kAny:
    case TextRule::kPathOrEmpty:
      break;
  }
  return "";
}

}  // namespace slipway
