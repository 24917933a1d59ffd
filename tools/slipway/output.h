// How every command speaks: text for a person or one JSON object a line for a program on standard output, failures on
// standard error (and, with --json, as an object on standard output as well).
#ifndef SLIPWAY_TOOLS_SLIPWAY_OUTPUT_H_
#define SLIPWAY_TOOLS_SLIPWAY_OUTPUT_H_

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "slipway/status.hpp"

namespace slipway::cli {

// One JSON object, built in order. Text is escaped, and bytes that are not UTF-8 become U+FFFD.
class JsonObject {
 public:
  JsonObject& Add(std::string_view key, std::string_view value);
  JsonObject& Add(std::string_view key, const char* value) { return Add(key, std::string_view(value)); }
  JsonObject& Add(std::string_view key, double value);
  template <std::integral Number>
  JsonObject& Add(std::string_view key, Number value) {
    if constexpr (std::same_as<Number, bool>)
      return AddJson(key, value ? "true" : "false");
    else
      return AddJson(key, std::to_string(value));
  }
  // `json` is JSON already.
  JsonObject& AddJson(std::string_view key, std::string_view json);
  std::string str() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

std::string JsonQuote(std::string_view text);
// For a terminal: control characters, which may come from a peer, become '?'.
std::string Printable(std::string_view text);

std::string FormatBytes(uint64_t bytes);               // "1.50 MiB"
std::string FormatRate(double bytes, double seconds);  // "1.50 GiB/s"
// "4096", "64KiB", "1.5 GiB", "1GB"; nothing when it is not a size or does not fit.
std::optional<uint64_t> ParseSize(std::string_view text);

class Output {
 public:
  enum class Progress { kAuto, kAlways, kNever };

  Output(bool json, Progress progress) : json_(json), progress_(progress) {}

  bool json() const { return json_; }
  // Whether progress is to be shown: asked for, or standard error is a terminal.
  bool shows_progress() const;

  // One line on standard output, at once.
  void Line(const std::string& text) const;
  // Says what failed and what to do next; gives the exit status. `hint` replaces the usual next step.
  int Fail(std::string_view command, const Status& status, std::string_view hint = {}) const;
  int Fail(std::string_view command, const Status& status, int exit_code, std::string_view hint) const;

 private:
  const bool json_;
  const Progress progress_;
};

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_OUTPUT_H_
