#include "core/config/environment.h"

#include <array>
#include <cstdlib>

namespace slipway {
namespace {

class RealEnvironment final : public Environment {
 public:
  std::optional<std::string> Get(const std::string& name) const override {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  }
};

constexpr std::array<EnvironmentOverride, 6> kOverrides = {{
    {"SLIPWAY_PLUGIN_PATH", "/plugin_path", OverrideForm::kPrepend,
     "Folders, separated by colons, searched before those of the key."},
    {"SLIPWAY_LOG_LEVEL", "/log/level", OverrideForm::kText, "One of the key's choices."},
    {"SLIPWAY_CONTROL_LISTEN", "/control/listen", OverrideForm::kText, "HOST:PORT or [V6]:PORT."},
    {"SLIPWAY_STAGING_BYTES", "/memory/staging/bytes", OverrideForm::kSize, "A size such as 64MiB."},
    {"MC_STORE_PIN_MEMORY", "/memory/pin_policy", OverrideForm::kOffSwitch,
     "0 or false: off; 1 or true: as the key says."},
    {"MC_STORE_PIN_MEMORY_MAX_BYTES", "/memory/budget_bytes", OverrideForm::kSize,
     "A size such as 1GiB; 0: no cap but the system's."},
}};

}  // namespace

const Environment& ProcessEnvironment() {
  static const RealEnvironment environment;
  return environment;
}

std::optional<std::string> FixedEnvironment::Get(const std::string& name) const {
  const auto it = values_.find(name);
  if (it == values_.end()) return std::nullopt;
  return it->second;
}

std::span<const EnvironmentOverride> EnvironmentOverrides() { return kOverrides; }

}  // namespace slipway
