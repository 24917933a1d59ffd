// What a process of this program hands on to those that it starts.
#ifndef SLIPWAY_TOOLS_CONFORM_ENVIRONMENT_H_
#define SLIPWAY_TOOLS_CONFORM_ENVIRONMENT_H_

#include <map>
#include <string>
#include <vector>

namespace slipway::conform {

// The variables that this process was started with, and `more` in place of those of the same name. Nothing here depends
// on what they say.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& more = {});
  char* const* data() const { return pointers_.data(); }  // NULL-terminated; lives as long as this

 private:
  std::vector<std::string> entries_;
  std::vector<char*> pointers_;
};

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_ENVIRONMENT_H_
