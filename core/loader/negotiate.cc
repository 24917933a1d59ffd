#include "core/loader/negotiate.h"

#include <bit>
#include <cstring>
#include <vector>

#include "core/loader/discover.h"

namespace slipway {
namespace {

// What revision 1.0 had; a plugin of any later minor has at least that. Frozen: they never grow with the headers.
constexpr uint32_t kPluginBytesV1 = 56;
constexpr uint32_t kTransportBytesV1 = 264;
constexpr uint32_t kProviderBytesV1 = 152;
static_assert(sizeof(void*) != 8 ||
              (sizeof(slipway_plugin) >= kPluginBytesV1 && sizeof(slipway_transport) >= kTransportBytesV1 &&
               sizeof(slipway_memory_provider) >= kProviderBytesV1));

using Findings = std::vector<std::string>;

Status Report(slipway_status code, const std::string& path, const std::string& intro, const Findings& findings,
              const std::string& advice) {
  std::string message = path + ": " + intro;
  for (size_t i = 0; i < findings.size(); ++i) message += (i == 0 ? ": " : "; ") + findings[i];
  return {code, message + ". " + advice};
}

std::string Both(const std::string& what, const std::string& plugin, const std::string& core) {
  return what + " is " + plugin + " in the plugin, " + core + " in this core";
}

std::string Hex(uint32_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) out += kDigits[value >> shift & 0xf];
  return out;
}

// A plugin's own string, kept short in case it is not terminated where it should be.
std::string Text(const char* text) {
  constexpr size_t kLongest = 64;
  return text == nullptr ? "(none)" : "\"" + std::string(text, strnlen(text, kLongest)) + "\"";
}

Findings HeaderMismatches(const slipway_plugin& p) {
  Findings found;
  if (p.magic != SLIPWAY_ABI_MAGIC) found.push_back(Both("the magic", Hex(p.magic), Hex(SLIPWAY_ABI_MAGIC)));
  if (p.abi_major != SLIPWAY_ABI_MAJOR) {
    found.push_back(Both("the ABI major", std::to_string(p.abi_major), std::to_string(SLIPWAY_ABI_MAJOR)));
  }
  constexpr uint32_t kPointerBits = 8 * sizeof(void*);
  if (p.pointer_bits != kPointerBits) {
    found.push_back(Both("the size of pointers in bits", std::to_string(p.pointer_bits), std::to_string(kPointerBits)));
  }
  if (p.struct_size < kPluginBytesV1) {
    found.push_back("slipway_plugin has " + std::to_string(p.struct_size) + " bytes in the plugin, at least " +
                    std::to_string(kPluginBytesV1) + " in every revision of this major");
  }
  return found;
}

std::string Called(const char* kind, size_t index, const char* name) {
  return kind + (name == nullptr ? " number " + std::to_string(index) : " " + Text(name));
}

// Calls visit(table, index) for each of a NULL-terminated list; false when the list does not end in time.
template <typename T, typename Visit>
bool ForEachTable(const T* const* list, Visit&& visit) {
  for (size_t i = 0; list != nullptr && list[i] != nullptr; ++i) {
    if (i == kTransportsPerPluginMax) return false;
    visit(*list[i], i);
  }
  return true;
}

Findings TableMismatches(const slipway_plugin& p) {
  Findings found;
  const auto too_short = [&](const char* kind, size_t index, uint32_t size, uint32_t least) {
    if (size < least) {
      found.push_back(std::string(kind) + " number " + std::to_string(index) + " has " + std::to_string(size) +
                      " bytes in the plugin, at least " + std::to_string(least) + " in every revision of this major");
    }
  };
  const bool ended = ForEachTable(p.transports, [&](const slipway_transport& t, size_t i) {
    too_short("transport", i, t.struct_size, kTransportBytesV1);
  });
  const bool ended_too = ForEachTable(p.memory_providers, [&](const slipway_memory_provider& m, size_t i) {
    too_short("memory provider", i, m.struct_size, kProviderBytesV1);
  });
  if (!ended || !ended_too) {
    found.push_back("a list of tables has more than " + std::to_string(kTransportsPerPluginMax) +
                    " entries: it does not end with NULL");
  }
  return found;
}

Findings BadNames(const slipway_plugin& p, std::string_view plugin_name) {
  Findings found;
  if (p.plugin_name == nullptr || plugin_name != p.plugin_name) {
    found.push_back("the plugin calls itself " + Text(p.plugin_name) + ", its file is for \"" +
                    std::string(plugin_name) + "\"");
  }
  const auto check = [&](const char* what, const char* name) {
    if (name != nullptr && !IsPluginName(std::string_view(name, strnlen(name, 64)))) {
      found.push_back(std::string(what) + " " + Text(name) + " is not made of 1 to 31 of a-z, 0-9 and -");
    }
  };
  ForEachTable(p.transports, [&](const slipway_transport& t, size_t) {
    check("the transport name", t.name);
    check("the protocol name", t.protocol);
  });
  ForEachTable(p.memory_providers,
               [&](const slipway_memory_provider& m, size_t) { check("the memory provider name", m.name); });
  return found;
}

// Collects the names of entries that must not be NULL and are.
class Required {
 public:
  explicit Required(std::string table) : table_(std::move(table)) {}
  template <typename Entry>
  Required& Need(const char* name, Entry entry) {
    if (entry == nullptr) Add(name);
    return *this;
  }
  Required& Hold(const char* what, bool holds) {
    if (!holds) Add(what);
    return *this;
  }
  void AppendTo(Findings& findings) const {
    if (!missing_.empty()) findings.push_back(table_ + " lacks " + missing_);
  }

 private:
  void Add(const char* name) { missing_ += (missing_.empty() ? "" : ", ") + std::string(name); }

  const std::string table_;
  std::string missing_;
};

void MissingEntries(const slipway_transport& t, size_t index, Findings& findings) {
  Required r(Called("transport", index, t.name));
  r.Need("name", t.name).Need("version", t.version).Need("vendor", t.vendor).Need("description", t.description);
  r.Need("protocol", t.protocol).Hold("a protocol_min that is at most protocol_max", t.protocol_min <= t.protocol_max);
  r.Need("probe", t.probe).Need("create", t.create).Need("get_attrs", t.get_attrs).Need("quiesce", t.quiesce);
  r.Need("destroy", t.destroy).Need("register_memory", t.register_memory);
  r.Need("deregister_memory", t.deregister_memory).Need("query_registered", t.query_registered);
  r.Need("export_address", t.export_address).Need("export_mr", t.export_mr).Need("connect", t.connect);
  r.Need("peer_ready", t.peer_ready).Need("disconnect", t.disconnect).Need("import_mr", t.import_mr);
  r.Need("release_remote", t.release_remote).Need("channel_open", t.channel_open);
  r.Need("channel_close", t.channel_close).Need("submit", t.submit).Need("poll", t.poll);
  r.Hold("cancel, which CAP_CANCEL promises", t.cancel != nullptr || (t.caps & SLIPWAY_CAP_CANCEL) == 0);
  r.Hold("event_fd, which CAP_EVENT_FD promises", t.event_fd != nullptr || (t.caps & SLIPWAY_CAP_EVENT_FD) == 0);
  r.AppendTo(findings);
}

void MissingEntries(const slipway_memory_provider& m, size_t index, Findings& findings) {
  Required r(Called("memory provider", index, m.name));
  r.Need("name", m.name).Need("version", m.version).Need("vendor", m.vendor).Need("description", m.description);
  r.Hold("a mem_kind that is one bit", std::has_single_bit(m.mem_kind));
  r.Need("probe", m.probe).Need("create", m.create).Need("destroy", m.destroy).Need("classify", m.classify);
  r.Hold("unpin_host, which pin_host needs", (m.pin_host == nullptr) == (m.unpin_host == nullptr));
  r.Need("queue_open", m.queue_open).Need("queue_close", m.queue_close);
  r.Need("copy_submit", m.copy_submit).Need("copy_poll", m.copy_poll);
  r.AppendTo(findings);
}

}  // namespace

Status CheckDescriptor(const slipway_plugin& p, std::string_view plugin_name, const std::string& path) {
  Findings mismatches = HeaderMismatches(p);
  // A descriptor that does not fit is not followed any further: its pointers may be anything.
  if (mismatches.empty()) mismatches = TableMismatches(p);
  if (!mismatches.empty()) {
    return Report(SLIPWAY_E_PLUGIN_ABI_MISMATCH, path, "the plugin does not fit this core", mismatches,
                  "Build the plugin against this core's SDK");
  }
  if (const Findings names = BadNames(p, plugin_name); !names.empty()) {
    return Report(SLIPWAY_E_PLUGIN_NAME, path, "names do not fit", names,
                  "Rename the file, or correct the plugin's descriptor");
  }
  Findings missing;
  ForEachTable(p.transports, [&](const slipway_transport& t, size_t i) { MissingEntries(t, i, missing); });
  ForEachTable(p.memory_providers, [&](const slipway_memory_provider& m, size_t i) { MissingEntries(m, i, missing); });
  const bool empty = (p.transports == nullptr || p.transports[0] == nullptr) &&
                     (p.memory_providers == nullptr || p.memory_providers[0] == nullptr);
  if (empty) missing.push_back("it offers no transport and no memory provider");
  if (p.plugin_version == nullptr) missing.push_back("the descriptor lacks plugin_version");
  if (missing.empty()) return Status::Ok();
  return Report(SLIPWAY_E_PLUGIN_INCOMPLETE, path, "required entries are missing", missing,
                "This is a fault in the plugin: tell its author");
}

}  // namespace slipway
