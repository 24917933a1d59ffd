#include "plugins/cxl/device.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace slipway::cxl {
namespace {

// ---- small files ------------------------------------------------------------------------------------------------

std::optional<std::string> ReadText(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[256];
  const ssize_t n = read(fd, text, sizeof(text));
  close(fd);
  if (n < 0) return {};
  std::string out(text, static_cast<size_t>(n));
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

// Decimal, or hexadecimal after 0x.
std::optional<uint64_t> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadText(path);
  if (!text || text->empty()) return {};
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(text->c_str(), &end, 0);
  if (errno != 0 || *end != '\0') return {};
  return value;
}

std::string Resolve(const std::string& path) {
  char* const real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return {};
  std::string out(real);
  std::free(real);
  return out;
}
std::string LastPart(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }
std::string Parent(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

// The entries of a folder whose names begin with `prefix`, sorted.
std::vector<std::string> Entries(const std::string& folder, std::string_view prefix) {
  std::vector<std::string> out;
  DIR* const dir = opendir(folder.c_str());
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir)) {
    if (std::string_view(entry->d_name).starts_with(prefix)) out.emplace_back(entry->d_name);
  }
  closedir(dir);
  std::sort(out.begin(), out.end());
  return out;
}

std::string Hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// "dax0.0", "mem3": the word and digits (and one point).
bool IsNamed(const std::string& name, std::string_view word) {
  return name.size() > word.size() && name.starts_with(word) &&
         name.find_first_not_of("0123456789.", word.size()) == std::string::npos;
}

// ---- CXL regions ------------------------------------------------------------------------------------------------

struct Region {
  std::string name;
  uint64_t resource = 0, bytes = 0;
  std::vector<std::string> memdevs;
  std::string identity;  // "": some memory device has no serial number
};

// The region's memory devices in the order of its interleaving, each with the part of it that is used.
Region ReadRegion(const std::string& sysfs, const std::string& name) {
  const std::string folder = sysfs + "/bus/cxl/devices/";
  Region region{name,
                ReadNumber(folder + name + "/resource").value_or(0),
                ReadNumber(folder + name + "/size").value_or(0),
                {},
                ""};
  const uint64_t ways = ReadNumber(folder + name + "/interleave_ways").value_or(0);
  std::string text = "CXL";
  bool known = ways > 0;
  for (uint64_t i = 0; i < ways && i < 64; ++i) {
    const std::string decoder = ReadText(folder + name + "/target" + std::to_string(i)).value_or("");
    const std::string memdev = Resolve(Parent(Resolve(folder + decoder)) + "/uport");
    const uint64_t serial = ReadNumber(memdev + "/serial").value_or(0);
    known = known && !decoder.empty() && serial != 0 && serial != UINT64_MAX;
    text += " serial " + Hex(serial) + " at " + Hex(ReadNumber(folder + decoder + "/dpa_resource").value_or(0));
    region.memdevs.push_back(LastPart(memdev));
  }
  if (ways > 1) text += " by " + Hex(ReadNumber(folder + name + "/interleave_granularity").value_or(0));
  if (known) region.identity = text;
  return region;
}

std::vector<Region> ReadRegions(const std::string& sysfs) {
  std::vector<Region> out;
  for (const std::string& name : Entries(sysfs + "/bus/cxl/devices", "region")) {
    if (IsNamed(name, "region")) out.push_back(ReadRegion(sysfs, name));
  }
  return out;
}

bool Contains(const Region& region, uint64_t address) {
  return address >= region.resource && address - region.resource < region.bytes;
}

// ---- one device -------------------------------------------------------------------------------------------------

// What the steps of finding share.
struct Search {
  const WindowConfig& window;
  const Sharing sharing;
  const std::string sysfs, pointer;
  sdk::Error& err;

  slipway_status Fail(slipway_status code, const std::string& message, const char* key = "device") const {
    return err.Fail(code, window.device + ": " + message, pointer + "/" + key, code == SLIPWAY_E_CONFIG ? 0 : errno);
  }
  std::string DaxFolder(const std::string& name) const { return sysfs + "/bus/dax/devices/" + name; }
};

// The device-DAX node in a region, or on a memory device, of that name.
slipway_status DaxOf(const Search& search, std::string& out) {
  const std::string& name = search.window.device;
  std::vector<Region> regions = ReadRegions(search.sysfs);
  std::erase_if(regions, [&](const Region& r) {
    return r.name != name && std::find(r.memdevs.begin(), r.memdevs.end(), name) == r.memdevs.end();
  });
  errno = ENODEV;
  if (regions.empty()) {
    return search.Fail(SLIPWAY_E_DEVICE,
                       "no CXL region is called so or lies on it: see `cxl list -MR`, and `cxl create-region`");
  }
  std::vector<std::string> found;
  for (const std::string& dax : Entries(search.sysfs + "/bus/dax/devices", "dax")) {
    const uint64_t resource = ReadNumber(search.DaxFolder(dax) + "/resource").value_or(0);
    if (std::any_of(regions.begin(), regions.end(), [&](const Region& r) { return Contains(r, resource); })) {
      found.push_back(dax);
    }
  }
  if (found.empty()) {
    return search.Fail(SLIPWAY_E_DEVICE,
                       "has no device-DAX node: `ndctl create-namespace -m devdax`, or for volatile "
                       "memory `daxctl reconfigure-device -m devdax`");
  }
  if (found.size() > 1) {
    return search.Fail(SLIPWAY_E_CONFIG, "has " + std::to_string(found.size()) +
                                             " device-DAX nodes: name one, such as \"" + found.front() + "\"");
  }
  out = found.front();
  return SLIPWAY_OK;
}

// What all who share the device can know it by; empty where there is nothing.
std::string DaxIdentity(const Search& search, const std::string& name, uint64_t resource) {
  for (const Region& region : ReadRegions(search.sysfs)) {
    if (Contains(region, resource) && !region.identity.empty()) {
      return region.identity + " from " + Hex(resource - region.resource);
    }
  }
  const std::string above = Parent(Resolve(search.DaxFolder(name)));
  const std::string uuid = ReadText(above + "/uuid").value_or("");
  return uuid.empty() ? "" : "namespace " + uuid;
}

slipway_status ReadDax(const Search& search, const std::string& name, Device& out) {
  const std::string folder = search.DaxFolder(name);
  errno = ENODEV;
  if (Resolve(folder).empty()) return search.Fail(SLIPWAY_E_DEVICE, "no such device-DAX node: see `daxctl list`");
  const std::string driver = LastPart(Resolve(folder + "/driver"));
  if (driver == "kmem") {
    errno = EBUSY;
    return search.Fail(SLIPWAY_E_BUSY, "the system uses it as its own memory: `daxctl reconfigure-device -m devdax " +
                                           name + "`, or name a file in memory and its \"numa_node\"");
  }
  errno = ENODEV;
  if (driver.empty()) {
    return search.Fail(SLIPWAY_E_DEVICE, "no driver serves it: `daxctl enable-device " + name + "`");
  }
  out.kind = DeviceKind::kDevDax;
  out.path = "/dev/" + name;
  out.bytes = ReadNumber(folder + "/size").value_or(0);
  out.align = ReadNumber(folder + "/align").value_or(uint64_t{2} << 20);
  out.numa_node = static_cast<int32_t>(ReadNumber(folder + "/numa_node").value_or(UINT32_MAX));
  errno = EINVAL;
  if (out.bytes == 0 || out.align < 4096 || (out.align & (out.align - 1)) != 0 || out.bytes % out.align != 0) {
    return search.Fail(SLIPWAY_E_DEVICE, "its size, " + std::to_string(out.bytes) +
                                             " bytes, is no multiple of its alignment, " + std::to_string(out.align) +
                                             ": make the namespace or region anew");
  }
  const uint64_t resource = ReadNumber(folder + "/resource").value_or(0);
  out.identity = DaxIdentity(search, name, resource);
  if (out.identity.empty()) {
    out.identity = "boot " + BootId() + " address " + Hex(resource);
    out.host_only = true;
  }
  return SLIPWAY_OK;
}

slipway_status ReadFile(const Search& search, const struct statx& info, Device& out) {
  constexpr uint64_t kPage = 4096;
  out.path = search.window.device;
  out.kind = (info.stx_attributes & STATX_ATTR_DAX) != 0 ? DeviceKind::kFsDax : DeviceKind::kFile;
  out.bytes = info.stx_size;
  out.align = kPage;
  errno = EINVAL;
  if (out.bytes == 0 || out.bytes % kPage != 0) {
    return search.Fail(SLIPWAY_E_DEVICE, "the file's size, " + std::to_string(out.bytes) +
                                             " bytes, is no multiple of 4096 greater than 0: see `truncate -s`");
  }
  // A number may be used again for another file, the time of its making then differs.
  out.identity = "boot " + BootId() + " file " + std::to_string(info.stx_dev_major) + ":" +
                 std::to_string(info.stx_dev_minor) + ":" + std::to_string(info.stx_ino) + " of " +
                 std::to_string(info.stx_btime.tv_sec) + "." + std::to_string(info.stx_btime.tv_nsec);
  out.host_only = true;
  return SLIPWAY_OK;
}

slipway_status ReadPath(const Search& search, Device& out) {
  struct statx info {};
  if (statx(AT_FDCWD, search.window.device.c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &info) != 0) {
    return search.Fail(SLIPWAY_E_DEVICE, std::string(std::strerror(errno)) + ": see `daxctl list` and `cxl list`");
  }
  if (S_ISREG(info.stx_mode)) return ReadFile(search, info, out);
  if (!S_ISCHR(info.stx_mode)) {
    return search.Fail(SLIPWAY_E_CONFIG, "is neither a device-DAX node nor a file");
  }
  const std::string number = std::to_string(info.stx_rdev_major) + ":" + std::to_string(info.stx_rdev_minor);
  const std::string name = LastPart(Resolve(search.sysfs + "/dev/char/" + number));
  if (!IsNamed(name, "dax")) return search.Fail(SLIPWAY_E_CONFIG, "is a device of another kind than device-DAX");
  const slipway_status s = ReadDax(search, name, out);
  if (s == SLIPWAY_OK) out.path = search.window.device;  // as it was named: /dev may lie elsewhere
  return s;
}

// What the options of the window ask of the device that was found.
slipway_status CheckOptions(const Search& search, Device& out) {
  const WindowConfig& window = search.window;
  if (window.offset >= out.bytes) {
    return search.Fail(SLIPWAY_E_CONFIG,
                       "begins beyond the end of the device, which has " + std::to_string(out.bytes) + " bytes",
                       "offset");
  }
  if (window.bytes > out.bytes - window.offset) {
    return search.Fail(SLIPWAY_E_CONFIG,
                       "ends beyond the end of the device, which has " + std::to_string(out.bytes) + " bytes", "bytes");
  }
  if (window.numa_node != WindowConfig::kAnyNode && out.kind != DeviceKind::kFile) {
    return search.Fail(SLIPWAY_E_CONFIG, "is memory of its own and cannot be bound to a node", "numa_node");
  }
  if (!window.identity.empty()) {
    out.identity = "named " + window.identity;
    out.host_only = false;
  }
  if (out.host_only && search.sharing != Sharing::kHost) {
    return search.Fail(SLIPWAY_E_CONFIG,
                       "has no serial number by which other hosts could know it: give it a name that "
                       "is the same on all of them",
                       "identity");
  }
  return SLIPWAY_OK;
}

}  // namespace

std::string Device::Describe() const {
  switch (kind) {
    case DeviceKind::kDevDax:
      return path + " (device-DAX, " + identity + ")";
    case DeviceKind::kFsDax:
      return path + " (file on a DAX mount)";
    case DeviceKind::kFile:
      break;
  }
  return path + " (ORDINARY FILE, NOT CXL)";
}

Identity IdentityOf(const std::string& text) {
  // FNV-1a (Fowler, Noll, Vo), twice from different beginnings.
  uint64_t a = 0xcbf29ce484222325, b = 0x9ae16a3b2f90404f;
  for (const char c : text) {
    a = (a ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    b = (b ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  Identity out;
  std::memcpy(out.data(), &a, sizeof(a));
  std::memcpy(out.data() + sizeof(a), &b, sizeof(b));
  return out;
}

std::string BootId() { return ReadText("/proc/sys/kernel/random/boot_id").value_or("unknown"); }

slipway_status FindDevice(const WindowConfig& window, Sharing sharing, const std::string& sysfs,
                          const std::string& pointer, Device& out, sdk::Error& err) {
  const Search search{window, sharing, sysfs, pointer, err};
  Device found;
  std::string name = window.device;
  slipway_status s = SLIPWAY_OK;
  if (IsNamed(name, "mem") || IsNamed(name, "region")) s = DaxOf(search, name);
  if (s == SLIPWAY_OK) s = IsNamed(name, "dax") ? ReadDax(search, name, found) : ReadPath(search, found);
  if (s == SLIPWAY_OK) s = CheckOptions(search, found);
  if (s == SLIPWAY_OK) out = std::move(found);
  return s;
}

}  // namespace slipway::cxl
