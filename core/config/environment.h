// The environment variables that override configuration keys: the only place in the tree that reads any.
#ifndef SLIPWAY_CORE_CONFIG_ENVIRONMENT_H_
#define SLIPWAY_CORE_CONFIG_ENVIRONMENT_H_

#include <map>
#include <optional>
#include <span>
#include <string>

namespace slipway {

class Environment {
 public:
  virtual ~Environment() = default;
  // Thread-safe as long as nobody changes the environment.
  virtual std::optional<std::string> Get(const std::string& name) const = 0;
};

// The process's own. The object is constant and lives for the whole process.
const Environment& ProcessEnvironment();

// What a test, or a caller that wants no overrides, says it is.
class FixedEnvironment final : public Environment {
 public:
  FixedEnvironment() = default;
  explicit FixedEnvironment(std::map<std::string, std::string> values) : values_(std::move(values)) {}
  std::optional<std::string> Get(const std::string& name) const override;

 private:
  std::map<std::string, std::string> values_;  // constant after construction
};

// How the variable's text becomes the key's value.
enum class OverrideForm {
  kText,      // as it is
  kSize,      // "67108864", "64MiB"
  kPrepend,   // folders separated by colons, put before those of the key
  kOffSwitch  // 0 or false: the key becomes "off"; 1 or true: it stays
};

struct EnvironmentOverride {
  const char* name;
  const char* pointer;  // of the key
  OverrideForm form;
  const char* doc;
};

// All of them, in the order in which they apply. A variable that is set and empty counts as not set.
std::span<const EnvironmentOverride> EnvironmentOverrides();

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_ENVIRONMENT_H_
