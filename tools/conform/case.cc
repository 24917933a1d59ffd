#include "tools/conform/case.h"

#include <fnmatch.h>

#include <algorithm>
#include <sstream>

#include "tools/conform/mustpass_lists.h"

namespace slipway::conform {

const std::vector<const Case*>& AllCases() {
  static const std::vector<const Case*> all = [] {
    std::vector<const Case*> list;
    for (const std::span<const Case> group :
         {LoadCases(), LifeCases(), ConfigCases(), RegistrationCases(), MemoryCases(), DataCases(), CompletionCases(),
          ConcurrencyCases(), FailureCases(), ProviderCases()}) {
      for (const Case& c : group) list.push_back(&c);
    }
    return list;
  }();
  return all;
}

const Case* FindCase(const std::string& id) {
  const auto it = std::find_if(AllCases().begin(), AllCases().end(), [&](const Case* c) { return id == c->id; });
  return it == AllCases().end() ? nullptr : *it;
}

const char* LevelName(Level level) { return level == Level::kMust ? "M" : level == Level::kCapability ? "C" : "W"; }

bool Matches(const std::string& pattern, const std::string& id) { return fnmatch(pattern.c_str(), id.c_str(), 0) == 0; }

std::vector<std::string> MustPass(const std::string& version) {
  std::vector<std::string> ids;
  for (const MustPassList& list : kMustPassLists) {
    if (version != list.version) continue;
    std::istringstream text(list.text);
    for (std::string line; std::getline(text, line);) {
      if (!line.empty() && line[0] != '#') ids.push_back(line);
    }
  }
  return ids;
}

}  // namespace slipway::conform
