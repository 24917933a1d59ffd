#include "tools/conform/plugin_file.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstring>

#include "tools/conform/elf.h"
#include "tools/conform/failure.h"

namespace slipway::conform {
namespace {

// The sizes in revision 1.0: a table may be longer, never shorter.
constexpr uint32_t kPluginBytesV1 = 56, kTransportBytesV1 = 264, kProviderBytesV1 = 152;
static_assert(sizeof(slipway_plugin) >= kPluginBytesV1 && sizeof(slipway_transport) >= kTransportBytesV1 &&
              sizeof(slipway_memory_provider) >= kProviderBytesV1);

bool GoodName(const char* name) {
  if (name == nullptr) return false;
  const size_t n = strnlen(name, 32);
  if (n == 0 || n > 31) return false;
  return std::strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

struct Entry {
  const char* name;
  size_t offset;
};

std::string MissingEntries(const void* table, std::initializer_list<Entry> entries) {
  std::string missing;
  for (const Entry& e : entries) {
    const void* pointer = nullptr;
    std::memcpy(&pointer, static_cast<const char*>(table) + e.offset, sizeof(pointer));
    if (pointer == nullptr) missing += (missing.empty() ? "" : ", ") + std::string(e.name);
  }
  return missing;
}

#define SLIPWAY_ENTRY(type, name) \
  Entry { #name, offsetof(type, name) }

void TransportFaults(const slipway_transport& t, std::vector<std::string>& out) {
  if (t.struct_size < kTransportBytesV1) {
    out.push_back(
        Format("a transport's struct_size is %u, less than the %u of revision 1.0: set it to "
               "sizeof(slipway_transport)",
               t.struct_size, kTransportBytesV1));
    return;
  }
  const std::string name = GoodName(t.name) ? t.name : "?";
  if (name == "?") out.push_back("a transport's name is not [a-z0-9-]{1,31}");
  if (!GoodName(t.protocol)) out.push_back("transport " + name + ": the protocol is not [a-z0-9-]{1,31}");
  if (t.protocol_min > t.protocol_max) out.push_back("transport " + name + ": protocol_min is above protocol_max");
  if (t.reserved0 != 0) out.push_back("transport " + name + ": reserved0 is not 0");
  if (t.version == nullptr || t.vendor == nullptr || t.description == nullptr) {
    out.push_back("transport " + name + ": version, vendor or description is NULL");
  }
  if (t.mem_kinds == 0) out.push_back("transport " + name + ": mem_kinds is 0, so no memory can be moved");
  if ((t.caps & (SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE)) == 0) {
    out.push_back("transport " + name + ": caps has neither READ nor WRITE");
  }
  using T = slipway_transport;
  const std::string missing = MissingEntries(
      &t, {SLIPWAY_ENTRY(T, probe), SLIPWAY_ENTRY(T, create), SLIPWAY_ENTRY(T, get_attrs), SLIPWAY_ENTRY(T, quiesce),
           SLIPWAY_ENTRY(T, destroy), SLIPWAY_ENTRY(T, register_memory), SLIPWAY_ENTRY(T, deregister_memory),
           SLIPWAY_ENTRY(T, query_registered), SLIPWAY_ENTRY(T, export_address), SLIPWAY_ENTRY(T, export_mr),
           SLIPWAY_ENTRY(T, connect), SLIPWAY_ENTRY(T, peer_ready), SLIPWAY_ENTRY(T, disconnect),
           SLIPWAY_ENTRY(T, import_mr), SLIPWAY_ENTRY(T, release_remote), SLIPWAY_ENTRY(T, channel_open),
           SLIPWAY_ENTRY(T, channel_close), SLIPWAY_ENTRY(T, submit), SLIPWAY_ENTRY(T, poll)});
  if (!missing.empty()) out.push_back("transport " + name + ": required entries are NULL: " + missing);
  if ((t.caps & SLIPWAY_CAP_CANCEL) != 0 && t.cancel == nullptr) {
    out.push_back("transport " + name + ": caps has CANCEL but cancel is NULL");
  }
  if ((t.caps & SLIPWAY_CAP_EVENT_FD) != 0 && t.event_fd == nullptr) {
    out.push_back("transport " + name + ": caps has EVENT_FD but event_fd is NULL");
  }
}

void ProviderFaults(const slipway_memory_provider& p, std::vector<std::string>& out) {
  if (p.struct_size < kProviderBytesV1) {
    out.push_back(Format("a memory provider's struct_size is %u, less than the %u of revision 1.0", p.struct_size,
                         kProviderBytesV1));
    return;
  }
  const std::string name = GoodName(p.name) ? p.name : "?";
  if (name == "?") out.push_back("a memory provider's name is not [a-z0-9-]{1,31}");
  if (p.mem_kind == 0 || (p.mem_kind & (p.mem_kind - 1)) != 0) {
    out.push_back("memory provider " + name + ": mem_kind is not one bit");
  }
  using P = slipway_memory_provider;
  const std::string missing =
      MissingEntries(&p, {SLIPWAY_ENTRY(P, probe), SLIPWAY_ENTRY(P, create), SLIPWAY_ENTRY(P, destroy),
                          SLIPWAY_ENTRY(P, classify), SLIPWAY_ENTRY(P, queue_open), SLIPWAY_ENTRY(P, queue_close),
                          SLIPWAY_ENTRY(P, copy_submit), SLIPWAY_ENTRY(P, copy_poll)});
  if (!missing.empty()) out.push_back("memory provider " + name + ": required entries are NULL: " + missing);
  if ((p.pin_host == nullptr) != (p.unpin_host == nullptr)) {
    out.push_back("memory provider " + name + ": pin_host and unpin_host go together, and one of them is NULL");
  }
}

// A major that is not this runner's, told from the file's symbols.
std::string OtherMajor(const std::string& path) {
  for (const std::string& symbol : ReadElf(path).exported) {
    if (symbol.starts_with(SLIPWAY_PLUGIN_SYMBOL_PREFIX))
      return symbol.substr(std::strlen(SLIPWAY_PLUGIN_SYMBOL_PREFIX));
  }
  return {};
}

}  // namespace

std::string OpenPlugin(const std::string& path, PluginFile& out) {
  dlerror();
  out.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (out.handle == nullptr) {
    const char* why = dlerror();
    return Format("dlopen refuses the file: %s", why != nullptr ? why : "no reason given");
  }
  out.plugin = static_cast<const slipway_plugin*>(dlsym(out.handle, SLIPWAY_PLUGIN_SYMBOL));
  if (out.plugin != nullptr) return {};
  const std::string major = OtherMajor(path);
  if (!major.empty()) {
    return Format(
        "the plugin is of ABI major %.20s and this runner checks major %d: use the runner of that SDK, or "
        "build the plugin against this one",
        major.c_str(), SLIPWAY_ABI_MAJOR);
  }
  return Format("the file exports no %s: it is no Slipway plugin, or the symbol is hidden", SLIPWAY_PLUGIN_SYMBOL);
}

std::vector<std::string> DescriptorFaults(const slipway_plugin& p) {
  std::vector<std::string> out;
  if (p.magic != SLIPWAY_ABI_MAGIC) {
    out.push_back(Format("magic is 0x%08x, expected 0x%08x", p.magic, SLIPWAY_ABI_MAGIC));
    return out;  // nothing else can be believed
  }
  if (p.struct_size < kPluginBytesV1) {
    out.push_back(Format("struct_size is %u, less than the %u of revision 1.0", p.struct_size, kPluginBytesV1));
  }
  if (p.abi_major != SLIPWAY_ABI_MAJOR)
    out.push_back(Format("abi_major is %u, expected %d", p.abi_major, SLIPWAY_ABI_MAJOR));
  if (p.pointer_bits != 8 * sizeof(void*)) {
    out.push_back(Format("pointer_bits is %u, expected %zu", p.pointer_bits, 8 * sizeof(void*)));
  }
  if (!out.empty()) return out;
  if (!GoodName(p.plugin_name)) out.push_back("plugin_name is not [a-z0-9-]{1,31}");
  if (p.plugin_version == nullptr || p.build_info == nullptr) out.push_back("plugin_version or build_info is NULL");
  size_t tables = 0;
  for (auto* t = p.transports; t != nullptr && *t != nullptr; ++t, ++tables) TransportFaults(**t, out);
  for (auto* m = p.memory_providers; m != nullptr && *m != nullptr; ++m, ++tables) ProviderFaults(**m, out);
  if (tables == 0) out.push_back("the plugin offers neither a transport nor a memory provider");
  return out;
}

const slipway_transport* FindTransport(const slipway_plugin& plugin, const std::string& name) {
  for (auto* t = plugin.transports; t != nullptr && *t != nullptr; ++t) {
    if (name.empty() || ((*t)->name != nullptr && name == (*t)->name)) return *t;
  }
  return nullptr;
}
const slipway_memory_provider* FindProvider(const slipway_plugin& plugin, const std::string& name) {
  for (auto* p = plugin.memory_providers; p != nullptr && *p != nullptr; ++p) {
    if (name.empty() || ((*p)->name != nullptr && name == (*p)->name)) return *p;
  }
  return nullptr;
}

std::string Join(const std::vector<std::string>& items, const char* between) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : between) + item;
  return text;
}

}  // namespace slipway::conform
