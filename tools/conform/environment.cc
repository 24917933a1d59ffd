#include "tools/conform/environment.h"

#include <fstream>

namespace slipway::conform {

Environment::Environment(const std::map<std::string, std::string>& more) {
  std::ifstream file("/proc/self/environ", std::ios::binary);
  for (std::string entry; std::getline(file, entry, '\0');) {
    if (!more.contains(entry.substr(0, entry.find('=')))) entries_.push_back(entry);
  }
  for (const auto& [name, value] : more) entries_.push_back(name + "=" + value);
  for (std::string& entry : entries_) pointers_.push_back(entry.data());
  pointers_.push_back(nullptr);
}

}  // namespace slipway::conform
