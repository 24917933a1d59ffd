#include "core/base/bytes.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>

namespace slipway {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<Unit, 10> kUnits = {{{"TiB", uint64_t{1} << 40},
                                          {"GiB", uint64_t{1} << 30},
                                          {"MiB", uint64_t{1} << 20},
                                          {"KiB", uint64_t{1} << 10},
                                          {"TB", 1'000'000'000'000},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"kB", 1'000},
                                          {"KB", 1'000},
                                          {"B", 1}}};
constexpr uint64_t kMax = (uint64_t{1} << 63) - 1;

}  // namespace

std::optional<uint64_t> ParseSize(std::string_view text) {
  size_t i = 0;
  uint64_t whole = 0;
  while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
    const uint64_t digit = static_cast<uint64_t>(text[i] - '0');
    if (whole > (kMax - digit) / 10) return std::nullopt;
    whole = whole * 10 + digit;
    ++i;
  }
  if (i == 0) return std::nullopt;
  uint64_t fraction = 0;
  uint64_t scale = 1;
  if (i < text.size() && text[i] == '.') {
    const size_t first = ++i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9' && i - first < 6) {
      fraction = fraction * 10 + static_cast<uint64_t>(text[i] - '0');
      scale *= 10;
      ++i;
    }
    if (i == first) return std::nullopt;
  }
  while (i < text.size() && text[i] == ' ') ++i;
  uint64_t unit = 1;
  if (const std::string_view rest = text.substr(i); !rest.empty()) {
    unit = 0;
    for (const Unit& u : kUnits) {
      if (rest == u.name) unit = u.bytes;
    }
    if (unit == 0) return std::nullopt;
  }
  if (whole > kMax / unit) return std::nullopt;
  // fraction < 10^6 and unit <= 2^40, so the product fits.
  const uint64_t part = fraction * unit;
  if (part % scale != 0) return std::nullopt;
  const uint64_t total = whole * unit + part / scale;
  if (total > kMax) return std::nullopt;
  return total;
}

std::string FormatSize(uint64_t bytes) {
  for (const Unit& u : kUnits) {
    if (u.name.size() != 3) break;  // binary units only
    if (bytes < u.bytes) continue;
    if (bytes % u.bytes == 0) return std::to_string(bytes / u.bytes) + std::string(u.name);
    const uint64_t tenths = bytes / (u.bytes / 2);
    if (bytes % (u.bytes / 2) == 0 && tenths < 2000) {
      return std::to_string(bytes / u.bytes) + ".5" + std::string(u.name);
    }
  }
  return std::to_string(bytes) + "B";
}

}  // namespace slipway
