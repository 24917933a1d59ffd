// What one run is asked to do: the profile of a plugin, its limits, and what a child process is told.
#ifndef SLIPWAY_TOOLS_CONFORM_SPEC_H_
#define SLIPWAY_TOOLS_CONFORM_SPEC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/conform/memory.h"

namespace slipway::conform {

// Bounds, all of them keys of the profile's "limits"; LimitFields() names them with what they mean.
struct Limits {
  uint64_t case_timeout_ms = 60000;
  uint64_t total_timeout_ms = 900000;
  uint64_t op_timeout_ms = 10000;
  uint64_t quiesce_timeout_ms = 5000;
  uint64_t load_ms = 100;
  uint64_t call_p99_us = 5000;
  uint64_t query_p99_us = 200;
  uint64_t cycles = 100;
  uint64_t queries = 100000;
  uint64_t program_ops = 10000;
  uint64_t mr_cycles = 10000;
  uint64_t fuzz_mutations = 500;
  uint64_t wake_races = 10000;
  uint64_t classify_calls = 100000;
  uint64_t size_bytes_max = uint64_t{16} << 20;
  uint64_t cancel_watch_ms = 1000;
  uint64_t rss_growth_bytes = uint64_t{8} << 20;
};
struct LimitField {
  const char* name;
  uint64_t Limits::*field;
  const char* what;
};
const std::vector<LimitField>& LimitFields();

// A failure that is known and accepted for a while. Shown in every report.
struct Waiver {
  std::string case_id, issue, expires /* YYYY-MM-DD */, plugin_version;
};

// Memory of a kind other than host's, for data.device-mem: who can allocate it.
struct MemorySource {
  std::string plugin, config;
};

struct Profile {
  std::string path;                                  // of the file; "" when there is none
  std::string transport, provider;                   // by name; "": the plugin's first
  std::string config = "{}";                         // JSON texts
  std::string peer_config;                           // "": as config
  std::vector<std::string> peer_command;             // brings a peer from another host; empty: one of this host
  std::string second_config;                         // of another device, for life.two-instances; "": as config
  std::string no_device_config;                      // stands for a machine without the device; "": as config
  std::map<std::string, std::string> no_device_env;  // likewise
  bool no_device = false;                            // whether either was given
  std::optional<uint64_t> claimed_caps, claimed_mem_kinds;
  std::map<std::string, MemorySource> memory;  // by the kind's name
  bool segment_memory = false;                 // peers' memory comes from slipway.segment-memory/1
  std::optional<MemoryFile> memory_file;       // where peers' memory comes from
  std::vector<Waiver> waivers;
  Limits limits;
};

// Reads a profile; a wrong one gives `error` with a JSON pointer, and nothing.
std::optional<Profile> ReadProfile(const std::string& path, std::string& error);
std::optional<Profile> ParseProfile(const std::string& text, const std::string& path, std::string& error);

struct BitName {
  const char* name;
  uint64_t bit;
};
const std::vector<BitName>& CapNames();
const std::vector<BitName>& MemKindNames();
// "READ, WRITE"; bits without a name are numbered.
std::string NameBits(const std::vector<BitName>& names, uint64_t bits);

// What a child is told, as JSON text between processes of this program.
struct Spec {
  std::string plugin;   // absolute path
  std::string case_id;  // or an inquiry: see child.h
  Profile profile;
  uint64_t seed = 0;
  uint64_t caps = 0;  // of an instance with the profile's configuration
};
std::string ToText(const Spec& spec);
Spec SpecFromText(const std::string& text);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_SPEC_H_
