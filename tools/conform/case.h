// A case: one thing that the contract asks, and how it is found out.
#ifndef SLIPWAY_TOOLS_CONFORM_CASE_H_
#define SLIPWAY_TOOLS_CONFORM_CASE_H_

#include <span>
#include <string>
#include <vector>

#include "slipway/abi/plugin.h"
#include "tools/conform/memory.h"
#include "tools/conform/spec.h"

namespace slipway::conform {

// What a case is given, in the child process that runs it.
struct Context {
  const Spec& spec;
  const slipway_transport* t = nullptr;        // NULL for providers' cases and those that open the plugin themselves
  const slipway_memory_provider* p = nullptr;  // likewise
  uint64_t seed = 0;

  const Profile& profile() const { return spec.profile; }
  const Limits& limits() const { return spec.profile.limits; }
  bool Has(uint64_t caps) const { return (spec.caps & caps) == caps; }
  // Whether peers are other processes; else they are other instances in this one.
  bool cross_process() const { return Has(SLIPWAY_CAP_CROSS_PROCESS); }
  // Where memory comes from that is registered for peers: for Buffer.
  const MemoryFile* exposed() const { return profile().memory_file ? &*profile().memory_file : nullptr; }
  const std::string& peer_config() const {
    return profile().peer_config.empty() ? profile().config : profile().peer_config;
  }
};

enum class Level { kMust, kCapability, kWarning };
enum class Kind { kAnyPlugin, kTransport, kProvider };

struct Case {
  const char* id;
  Level level;
  Kind kind;
  uint64_t caps;      // all of them are needed, else the case is skipped
  bool peer;          // there is a peer: another process, where the transport reaches one
  bool opens_itself;  // opens the plugin on its own: runs even where it cannot be opened
  const char* what;
  void (*run)(Context&);
};

// One function a file of cases.
std::span<const Case> LoadCases();
std::span<const Case> LifeCases();
std::span<const Case> ConfigCases();
std::span<const Case> RegistrationCases();
std::span<const Case> MemoryCases();
std::span<const Case> DataCases();
std::span<const Case> CompletionCases();
std::span<const Case> ConcurrencyCases();
std::span<const Case> FailureCases();
std::span<const Case> ProviderCases();

// All, in the order in which they run and are shown.
const std::vector<const Case*>& AllCases();
const Case* FindCase(const std::string& id);
const char* LevelName(Level level);
// Whether `id` matches, where '*' stands for any run of characters and '?' for one.
bool Matches(const std::string& pattern, const std::string& id);
// The ids of mustpass/VERSION.txt, which are part of this program; empty when there is no such version.
std::vector<std::string> MustPass(const std::string& version);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_CASE_H_
