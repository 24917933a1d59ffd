#include "tools/slipway/output.h"

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "slipway/engine.h"
#include "tools/slipway/exit_code.h"

namespace slipway::cli {
namespace {

// Length of the UTF-8 sequence that starts `text`, 0 when it does not start with one.
size_t Utf8Length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  if (length == 3 && ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) >= 0xa0))) return 0;
  if (length == 4 && ((lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) >= 0x90))) return 0;
  return length;
}

void AppendEscaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (static_cast<unsigned char>(c) >= 0x20) {
    out += c;
    return;
  }
  std::array<char, 8> hex{};
  std::snprintf(hex.data(), hex.size(), "\\u%04x", static_cast<unsigned char>(c));
  out += hex.data();
}

}  // namespace

std::string JsonQuote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0)
      out += "\\ufffd";
    else if (length == 1)
      AppendEscaped(out, text[0]);
    else
      out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + "\"";
}

JsonObject& JsonObject::AddJson(std::string_view key, std::string_view json) {
  if (text_.size() > 1) text_ += ", ";
  text_ += JsonQuote(key);
  text_ += ": ";
  text_ += json;
  return *this;
}

JsonObject& JsonObject::Add(std::string_view key, std::string_view value) { return AddJson(key, JsonQuote(value)); }

JsonObject& JsonObject::Add(std::string_view key, double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6f", std::isfinite(value) ? value : 0.0);
  return AddJson(key, text.data());
}

std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) c = '?';
  return out;
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text.data();
}

std::string FormatRate(double bytes, double seconds) {
  return seconds > 0 ? FormatBytes(static_cast<uint64_t>(bytes / seconds)) + "/s" : "-";
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  const std::string copy(text);
  if (copy.empty() || copy[0] < '0' || copy[0] > '9') return std::nullopt;  // strtod takes signs, blanks, inf and nan
  if (copy.size() > 1 && (copy[1] == 'x' || copy[1] == 'X')) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  std::string_view unit(end);
  if (!unit.empty() && unit[0] == ' ') unit.remove_prefix(1);
  if (unit.empty() || unit == "B") {
    char* whole_end = nullptr;
    const unsigned long long whole = std::strtoull(copy.c_str(), &whole_end, 10);
    if (whole_end == end && number < 1.8e19) return whole;
    return std::nullopt;
  }
  constexpr std::string_view kLetters = "KMGTP";
  const size_t power = kLetters.find(unit[0]);
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = unit.substr(1);
  if (!rest.empty() && rest != "iB" && rest != "B") return std::nullopt;
  const double bytes = number * std::pow(rest == "B" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  if (!(bytes < 9.0e18)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

bool Output::shows_progress() const {
  if (progress_ == Progress::kAuto) return !json_ && isatty(STDERR_FILENO) == 1;
  return progress_ == Progress::kAlways;
}

void Output::Line(const std::string& text) const {
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

int Output::Fail(std::string_view command, const Status& status, std::string_view hint) const {
  return Fail(command, status, ExitFor(status.code()), hint);
}

int Output::Fail(std::string_view command, const Status& status, int exit_code, std::string_view hint) const {
  const std::string next = hint.empty() ? NextStep(status.code()) : std::string(hint);
  const char* name = slipway_status_name(status.code());
  std::fprintf(stderr, "slipway %.*s: %s: %s\n", static_cast<int>(command.size()), command.data(), name,
               Printable(status.message()).c_str());
  if (!next.empty()) std::fprintf(stderr, "  next: %s\n", next.c_str());
  if (json_) {
    JsonObject error;
    error.Add("status", name).Add("code", status.code()).Add("message", status.message()).Add("next", next);
    JsonObject reply;
    reply.Add("ok", false).Add("command", command).Add("exit", exit_code).AddJson("error", error.str());
    Line(reply.str());
  }
  return exit_code;
}

}  // namespace slipway::cli
