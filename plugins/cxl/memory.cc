#include "plugins/cxl/memory.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <type_traits>

namespace slipway::cxl {
namespace {

// ---- mappings of this process ------------------------------------------------------------------------------------

// One line of /proc/self/maps.
struct Mapping {
  uintptr_t begin = 0, end = 0;
  uint64_t offset = 0, inode = 0;
  unsigned major = 0, minor = 0;
  bool shared = false;
  std::string path;
};

bool ParseMapping(const char* line, Mapping& out) {
  char rights[5] = {};
  int path_at = 0;
  if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &out.begin, &out.end, rights,
                  &out.offset, &out.major, &out.minor, &out.inode, &path_at) < 7) {
    return false;
  }
  out.shared = rights[3] == 's';
  out.path = line + path_at;
  while (!out.path.empty() && out.path.back() == '\n') out.path.pop_back();
  return true;
}

// Whether it maps the window's device, through whichever of its names.
bool Maps(const Mapping& mapping, const Window& window) {
  struct stat mine {};
  if (!mapping.shared || stat(window.device().path.c_str(), &mine) != 0) return false;
  if (mapping.inode == mine.st_ino && mapping.major == major(mine.st_dev) && mapping.minor == minor(mine.st_dev))
    return true;
  struct stat its {};
  return S_ISCHR(mine.st_mode) && mapping.path.starts_with("/") && stat(mapping.path.c_str(), &its) == 0 &&
         S_ISCHR(its.st_mode) && its.st_rdev == mine.st_rdev;
}

// The mapping that begins at or before `address` and covers it; false when nothing does.
bool MappingAt(std::FILE* maps, uintptr_t address, Mapping& out) {
  char line[4608];
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    Mapping mapping;
    if (!ParseMapping(line, mapping) || mapping.end <= address) continue;
    if (mapping.begin > address) return false;
    out = std::move(mapping);
    return true;
  }
  return false;
}

// In mappings that the application made itself. They may be several that continue each other.
bool FindMapped(const Windows& windows, uintptr_t address, uint64_t length, Place& out) {
  std::FILE* const maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return false;
  Place place;
  uint64_t covered = 0;
  while (covered < length) {
    Mapping mapping;
    if (!MappingAt(maps, address + covered, mapping)) break;
    const uint64_t offset = mapping.offset + (address + covered - mapping.begin);
    if (place.window == nullptr) {
      for (const auto& window : windows) {
        if (Maps(mapping, *window)) place = {window.get(), offset};
      }
      if (place.window == nullptr) break;
    } else if (!Maps(mapping, *place.window) || offset != place.offset + covered) {
      break;
    }
    covered = mapping.end - address;
  }
  std::fclose(maps);
  if (covered < length) return false;
  out = place;
  return true;
}

// ---- names -------------------------------------------------------------------------------------------------------

// FNV-1a (Fowler, Noll, Vo). Damage only: what a liar writes is checked against the boards.
uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

template <typename T>
std::string Pack(const T& value) {
  static_assert(std::has_unique_object_representations_v<T>, "padding would travel");
  std::string out(reinterpret_cast<const char*>(&value), sizeof(value));
  const uint64_t sum = Checksum(out);
  return out.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
}

template <typename T>
bool Unpack(std::string_view bytes, T& out) {
  T read;
  uint64_t sum = 0;
  if (bytes.size() != sizeof(T) + sizeof(sum)) return false;
  std::memcpy(&read, bytes.data(), sizeof(read));
  std::memcpy(&sum, bytes.data() + sizeof(read), sizeof(sum));
  if (read.magic != T{}.magic || sum != Checksum(bytes.substr(0, sizeof(read)))) return false;
  out = read;
  return true;
}

}  // namespace

bool FindPlace(const Windows& windows, const void* address, uint64_t length, Place& out) {
  for (const auto& window : windows) {
    uint64_t offset = 0;
    if (!window->OffsetOf(address, &offset)) continue;
    if (length > window->bytes() - offset) return false;
    out = {window.get(), offset};
    return true;
  }
  return FindMapped(windows, reinterpret_cast<uintptr_t>(address), length, out);
}

slipway_status OpenWindows(const Config& config, const sdk::Host& host, Windows& out, sdk::Error& err) {
  for (size_t i = 0; i < config.windows.size(); ++i) {
    const std::string pointer = "/windows/" + std::to_string(i);
    auto window = std::make_unique<Window>();
    const slipway_status s = window->Open(config.windows[i], config, pointer, err);
    if (s != SLIPWAY_OK) return s;
    if (FindWindow(out, window->identity()) != nullptr) {
      return err.Fail(SLIPWAY_E_CONFIG, window->device().path + " is there twice: keep one", pointer + "/device");
    }
    if (window->device().kind == DeviceKind::kFile) {
      host.Log(SLIPWAY_LOG_WARNING, window->device().path +
                                        " is an ordinary file and no CXL memory: this is for development, and for "
                                        "memory that the system manages");
    }
    out.push_back(std::move(window));
  }
  return SLIPWAY_OK;
}

const Window* FindWindow(const Windows& windows, const Identity& identity) {
  for (const auto& window : windows) {
    if (window->identity() == identity) return window.get();
  }
  return nullptr;
}

// ---- aliases -----------------------------------------------------------------------------------------------------

Aliases::Aliases() : process_(RandomNumber()) {}

Aliases& Aliases::Get() {
  static Aliases* const aliases = new Aliases;  // late callers may outlive every static destructor
  return *aliases;
}

void Aliases::Add(const void* address, uint64_t length, const Identity& window, uint64_t offset) {
  MutexLock lock(mutex_);
  aliases_.emplace(reinterpret_cast<uintptr_t>(address), Alias{length, offset, window});
}

void Aliases::Remove(const void* address, uint64_t length) {
  MutexLock lock(mutex_);
  const auto [begin, end] = aliases_.equal_range(reinterpret_cast<uintptr_t>(address));
  for (auto it = begin; it != end; ++it) {
    if (it->second.length != length) continue;
    aliases_.erase(it);
    return;
  }
}

bool Aliases::Find(const void* address, uint64_t length, const Identity& window, uint64_t* offset) const {
  const auto at = reinterpret_cast<uintptr_t>(address);
  MutexLock lock(mutex_);
  for (const auto& [begin, alias] : aliases_) {
    if (begin >= at + length) break;
    if (at >= begin + alias.length || alias.window != window) continue;
    *offset = alias.offset + (at - begin);  // also where it begins before the alias: overlap is judged modulo 2^64
    return true;
  }
  return false;
}

uint64_t RandomNumber() {
  uint64_t number = 0;
  while (number == 0) {
    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
      throw std::runtime_error("the system has no random numbers (getrandom failed)");
    }
  }
  return number;
}

std::string Encode(const AddressBlob& blob) { return Pack(blob); }
std::string Encode(const MrBlob& blob) { return Pack(blob); }
bool Decode(std::string_view bytes, AddressBlob& out) { return Unpack(bytes, out); }
bool Decode(std::string_view bytes, MrBlob& out) { return Unpack(bytes, out); }

}  // namespace slipway::cxl
