#include <cstdlib>
#include <string>
#include <string_view>

#include "core/config/reader.h"
#include "slipway/options_json.hpp"
#include "tests/fuzz/config/targets.h"

namespace slipway {
namespace {

bool IsOfAConfiguration(slipway_status code) { return code <= SLIPWAY_E_CONFIG_FILE && code >= SLIPWAY_E_CONFIG_ENV; }

bool IsPrintable(std::string_view message) {
  for (const char c : message) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f) return false;
  }
  return true;
}

}  // namespace

void FuzzParse(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const FixedEnvironment none;
  const Result<Options> options = ParseOptions(text, "fuzz", none);
  if (!options.ok()) {
    const Status& status = options.status();
    if (!IsOfAConfiguration(status.code()) || !IsPrintable(status.message())) std::abort();
    return;
  }
  const std::string written = OptionsToJson(*options);
  const Result<Options> again = ParseOptions(written, "fuzz", none);
  if (!again.ok() || OptionsToJson(*again) != written) std::abort();

  // The text as a variable's value: never a crash, and an error only of the environment or of a conflict.
  const FixedEnvironment environment({{"SLIPWAY_PLUGIN_PATH", std::string(text)}});
  const slipway_status code = ParseOptions("{}", "fuzz", environment).status().code();
  if (code != SLIPWAY_OK && code != SLIPWAY_E_CONFIG_ENV) std::abort();
}

}  // namespace slipway
