#include "tools/conform/spec.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "slipway/abi/transport.h"

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

// Stops at the first mistake, as "/limits/cycles: expected ...".
class ProfileReader {
 public:
  explicit ProfileReader(std::string& error) : error_(error) {}

  bool ok() const { return error_.empty(); }
  bool Wrong(const std::string& where, const std::string& why) {
    if (ok()) error_ = where + ": " + why;
    return false;
  }
  bool Object(const Json& j, const std::string& where, std::initializer_list<const char*> keys) {
    if (!j.is_object()) return Wrong(where, std::string("expected an object, found ") + j.type_name());
    for (const auto& item : j.items()) {
      bool known = false;
      for (const char* key : keys) known = known || item.key() == key;
      if (!known) return Wrong(where + "/" + item.key(), "unknown key");
    }
    return true;
  }
  void Text(const Json& j, const std::string& where, const char* key, std::string& out, bool required = false) {
    const auto it = j.find(key);
    if (it == j.end()) {
      if (required) Wrong(where + "/" + key, "missing");
      return;
    }
    if (!it->is_string()) {
      Wrong(where + "/" + key, "expected a string");
      return;
    }
    out = it->get<std::string>();
  }
  void Config(const Json& j, const char* key, std::string& out) {
    const auto it = j.find(key);
    if (it == j.end()) return;
    if (!it->is_object()) Wrong(std::string("/") + key, "expected an object");
    out = it->dump();
  }
  void Bits(const Json& j, const char* key, const std::vector<BitName>& names, std::optional<uint64_t>& out) {
    const auto it = j.find(key);
    if (it == j.end()) return;
    const std::string where = std::string("/claims/") + key;
    if (!it->is_array()) {
      Wrong(where, "expected an array of names");
      return;
    }
    out = 0;
    for (const Json& name : *it) {
      uint64_t bit = 0;
      for (const BitName& n : names) {
        if (name.is_string() && name.get<std::string>() == n.name) bit = n.bit;
      }
      if (bit == 0) Wrong(where, "no such name: " + name.dump() + "; there are " + NameBits(names, ~uint64_t{0}));
      *out |= bit;
    }
  }

 private:
  std::string& error_;
};

void ReadWaivers(ProfileReader& r, const Json& list, std::vector<Waiver>& out) {
  if (!list.is_array()) {
    r.Wrong("/waivers", "expected an array");
    return;
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = "/waivers/" + std::to_string(i);
    Waiver w;
    if (!r.Object(list[i], where, {"case", "issue", "expires", "plugin_version"})) return;
    r.Text(list[i], where, "case", w.case_id, true);
    r.Text(list[i], where, "issue", w.issue, true);
    r.Text(list[i], where, "expires", w.expires, true);
    r.Text(list[i], where, "plugin_version", w.plugin_version, true);
    if (r.ok() && !std::regex_match(w.expires, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2}"))) {
      r.Wrong(where + "/expires", "expected a date as 2026-12-31");
    }
    out.push_back(w);
  }
}

void ReadLimits(ProfileReader& r, const Json& j, Limits& out) {
  if (!j.is_object()) {
    r.Wrong("/limits", "expected an object");
    return;
  }
  for (const auto& item : j.items()) {
    const LimitField* found = nullptr;
    for (const LimitField& f : LimitFields()) {
      if (item.key() == f.name) found = &f;
    }
    if (found == nullptr) {
      r.Wrong("/limits/" + item.key(), "unknown limit");
    } else if (!item.value().is_number_unsigned() || item.value().get<uint64_t>() == 0) {
      r.Wrong("/limits/" + item.key(), "expected a whole number greater than 0");
    } else {
      out.*found->field = item.value().get<uint64_t>();
    }
  }
}

void ReadPeerCommand(ProfileReader& r, const Json& j, Profile& p) {
  if (!j.is_array() || j.empty()) {
    r.Wrong("/peer_command", "expected an array of words, a program first");
    return;
  }
  for (const Json& word : j) {
    if (!word.is_string()) {
      r.Wrong("/peer_command", "expected words, found " + std::string(word.type_name()));
      return;
    }
    p.peer_command.push_back(word.get<std::string>());
  }
}

void ReadNoDevice(ProfileReader& r, const Json& j, Profile& p) {
  p.no_device = true;
  if (!r.Object(j, "/no_device", {"config", "env"})) return;
  if (j.contains("config")) p.no_device_config = j["config"].dump();
  if (!j.contains("env")) return;
  if (!j["env"].is_object()) {
    r.Wrong("/no_device/env", "expected an object of strings");
    return;
  }
  for (const auto& item : j["env"].items()) {
    if (!item.value().is_string()) {
      r.Wrong("/no_device/env/" + item.key(), "expected a string");
      return;
    }
    p.no_device_env[item.key()] = item.value().get<std::string>();
  }
}

void ReadMemory(ProfileReader& r, const Json& j, Profile& p) {
  if (!j.is_object()) {
    r.Wrong("/memory", "expected an object by memory kind");
    return;
  }
  for (const auto& item : j.items()) {
    const std::string where = "/memory/" + item.key();
    if (!r.Object(item.value(), where, {"plugin", "config"})) return;
    MemorySource source{"", "{}"};
    r.Text(item.value(), where, "plugin", source.plugin, true);
    if (item.value().contains("config")) source.config = item.value()["config"].dump();
    p.memory[item.key()] = source;
  }
}

void ReadMemoryFile(ProfileReader& r, const Json& j, Profile& p) {
  MemoryFile file;
  if (!r.Object(j, "/memory_file", {"path", "offset", "bytes"})) return;
  r.Text(j, "/memory_file", "path", file.path, true);
  const auto number = [&](const char* key, uint64_t& out) {
    const auto it = j.find(key);
    if (it == j.end() || !it->is_number_unsigned() || it->get<uint64_t>() % MemoryFile::kUnit != 0) {
      r.Wrong(std::string("/memory_file/") + key, "expected a multiple of 2097152");
    } else {
      out = it->get<uint64_t>();
    }
  };
  number("offset", file.offset);
  number("bytes", file.bytes);
  p.memory_file = file;
}

}  // namespace

const std::vector<LimitField>& LimitFields() {
  static const std::vector<LimitField> fields = {
      {"case_timeout_ms", &Limits::case_timeout_ms, "one case, then its processes are killed"},
      {"total_timeout_ms", &Limits::total_timeout_ms, "all cases together; later ones are not started"},
      {"op_timeout_ms", &Limits::op_timeout_ms, "one transfer, or reaching a peer"},
      {"quiesce_timeout_ms", &Limits::quiesce_timeout_ms, "quiesce()"},
      {"load_ms", &Limits::load_ms, "opening the file and reading its descriptors"},
      {"call_p99_us", &Limits::call_p99_us, "99 of 100 submit and poll calls"},
      {"query_p99_us", &Limits::query_p99_us, "99 of 100 query_registered calls"},
      {"cycles", &Limits::cycles, "create and destroy, pin and unpin x10"},
      {"queries", &Limits::queries, "query_registered in reg.query-pure"},
      {"program_ops", &Limits::program_ops, "operations of data.random-program"},
      {"mr_cycles", &Limits::mr_cycles, "registrations of mem.vma-count"},
      {"fuzz_mutations", &Limits::fuzz_mutations, "mutations of cfg.fuzz and fail.blob-fuzz"},
      {"wake_races", &Limits::wake_races, "rounds of comp.wake-or-fd"},
      {"classify_calls", &Limits::classify_calls, "calls of prov.classify-pure"},
      {"size_bytes_max", &Limits::size_bytes_max, "the longest transfer tried"},
      {"cancel_watch_ms", &Limits::cancel_watch_ms, "how long memory is watched after a cancel"},
      {"rss_growth_bytes", &Limits::rss_growth_bytes, "resident memory that may come with use"}};
  return fields;
}

const std::vector<BitName>& CapNames() {
  static const std::vector<BitName> names = {{"NEEDS_LOCAL_REG", SLIPWAY_CAP_NEEDS_LOCAL_REG},
                                             {"NEEDS_REMOTE_REG", SLIPWAY_CAP_NEEDS_REMOTE_REG},
                                             {"CROSS_PROCESS", SLIPWAY_CAP_CROSS_PROCESS},
                                             {"CROSS_HOST", SLIPWAY_CAP_CROSS_HOST},
                                             {"READ", SLIPWAY_CAP_READ},
                                             {"WRITE", SLIPWAY_CAP_WRITE},
                                             {"CANCEL", SLIPWAY_CAP_CANCEL},
                                             {"EVENT_FD", SLIPWAY_CAP_EVENT_FD},
                                             {"PEER_FAILURE", SLIPWAY_CAP_PEER_FAILURE},
                                             {"FORK_SAFE", SLIPWAY_CAP_FORK_SAFE},
                                             {"REG_THREADSAFE", SLIPWAY_CAP_REG_THREADSAFE},
                                             {"DMABUF", SLIPWAY_CAP_DMABUF},
                                             {"ENCRYPTED", SLIPWAY_CAP_ENCRYPTED}};
  return names;
}

const std::vector<BitName>& MemKindNames() {
  static const std::vector<BitName> names = [] {
    static std::string private_names[32];
    std::vector<BitName> all = {{"host", SLIPWAY_MEM_HOST},
                                {"cuda", SLIPWAY_MEM_CUDA},
                                {"rocm", SLIPWAY_MEM_ROCM},
                                {"musa", SLIPWAY_MEM_MUSA},
                                {"cxl", SLIPWAY_MEM_CXL}};
    for (int bit = 32; bit < 64; ++bit) {
      private_names[bit - 32] = "private-" + std::to_string(bit);
      all.push_back({private_names[bit - 32].c_str(), uint64_t{1} << bit});
    }
    return all;
  }();
  return names;
}

std::string NameBits(const std::vector<BitName>& names, uint64_t bits) {
  std::string text;
  for (const BitName& n : names) {
    if ((bits & n.bit) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(n.name);
  }
  return text.empty() ? "none" : text;
}

std::optional<Profile> ParseProfile(const std::string& text, const std::string& path, std::string& error) {
  error.clear();
  const Json j = Json::parse(text, nullptr, false, true);
  if (j.is_discarded()) {
    error = "the profile is not JSON";
    return {};
  }
  Profile p;
  p.path = path;
  ProfileReader r(error);
  if (!r.Object(j, "",
                {"transport", "provider", "config", "peer_config", "peer_command", "second_config", "no_device",
                 "claims", "memory", "memory_file", "segment_memory", "waivers", "limits", "$comment"})) {
    return {};
  }
  r.Text(j, "", "transport", p.transport);
  r.Text(j, "", "provider", p.provider);
  r.Config(j, "config", p.config);
  r.Config(j, "peer_config", p.peer_config);
  r.Config(j, "second_config", p.second_config);
  if (j.contains("peer_command")) ReadPeerCommand(r, j["peer_command"], p);
  if (j.contains("claims") && r.Object(j["claims"], "/claims", {"caps", "mem_kinds"})) {
    r.Bits(j["claims"], "caps", CapNames(), p.claimed_caps);
    r.Bits(j["claims"], "mem_kinds", MemKindNames(), p.claimed_mem_kinds);
  }
  if (j.contains("no_device")) ReadNoDevice(r, j["no_device"], p);
  if (j.contains("memory")) ReadMemory(r, j["memory"], p);
  if (j.contains("memory_file")) ReadMemoryFile(r, j["memory_file"], p);
  if (const auto it = j.find("segment_memory"); it != j.end()) {
    if (!it->is_boolean()) r.Wrong("/segment_memory", "expected true or false");
    p.segment_memory = it->is_boolean() && it->get<bool>();
  }
  if (j.contains("waivers")) ReadWaivers(r, j["waivers"], p.waivers);
  if (j.contains("limits")) ReadLimits(r, j["limits"], p.limits);
  if (!r.ok()) return {};
  return p;
}

std::optional<Profile> ReadProfile(const std::string& path, std::string& error) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    error = "cannot be read";
    return {};
  }
  return ParseProfile(text.str(), path, error);
}

std::string ToText(const Spec& s) {
  Json limits, memory = Json::object();
  for (const LimitField& f : LimitFields()) limits[f.name] = s.profile.limits.*f.field;
  for (const auto& [kind, source] : s.profile.memory) memory[kind] = {source.plugin, source.config};
  const Profile& p = s.profile;
  Json file;
  if (p.memory_file)
    file = {{"path", p.memory_file->path}, {"offset", p.memory_file->offset}, {"bytes", p.memory_file->bytes}};
  return Json{{"plugin", s.plugin},
              {"case", s.case_id},
              {"seed", s.seed},
              {"caps", s.caps},
              {"transport", p.transport},
              {"provider", p.provider},
              {"config", p.config},
              {"peer_config", p.peer_config},
              {"peer_command", p.peer_command},
              {"second_config", p.second_config},
              {"no_device", p.no_device},
              {"no_device_config", p.no_device_config},
              {"no_device_env", p.no_device_env},
              {"memory", memory},
              {"memory_file", file},
              {"segment_memory", p.segment_memory},
              {"limits", limits}}
      .dump();
}

Spec SpecFromText(const std::string& text) {
  const Json j = Json::parse(text);
  Spec s;
  s.plugin = j["plugin"];
  s.case_id = j["case"];
  s.seed = j["seed"];
  s.caps = j["caps"];
  Profile& p = s.profile;
  p.transport = j["transport"];
  p.provider = j["provider"];
  p.config = j["config"];
  p.peer_config = j["peer_config"];
  p.peer_command = j["peer_command"].get<std::vector<std::string>>();
  p.second_config = j["second_config"];
  p.no_device = j["no_device"];
  p.no_device_config = j["no_device_config"];
  p.no_device_env = j["no_device_env"].get<std::map<std::string, std::string>>();
  p.segment_memory = j["segment_memory"];
  for (const auto& item : j["memory"].items()) {
    p.memory[item.key()] = {item.value()[0].get<std::string>(), item.value()[1].get<std::string>()};
  }
  if (const Json& file = j["memory_file"]; !file.is_null()) {
    p.memory_file =
        MemoryFile{file["path"].get<std::string>(), file["offset"].get<uint64_t>(), file["bytes"].get<uint64_t>()};
  }
  for (const LimitField& f : LimitFields()) p.limits.*f.field = j["limits"][f.name];
  return s;
}

}  // namespace slipway::conform
