// Where registered memory lies, and the names that travel.
#ifndef SLIPWAY_PLUGINS_CXL_MEMORY_H_
#define SLIPWAY_PLUGINS_CXL_MEMORY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/cxl/window.h"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::cxl {

// A place in a window.
struct Place {
  const Window* window = nullptr;
  uint64_t offset = 0;
};

using Windows = std::vector<std::unique_ptr<Window>>;

// Those of the configuration, in its order.
slipway_status OpenWindows(const Config& config, const sdk::Host& host, Windows& out, sdk::Error& err);

// Where [address, address + length) lies, when all of it is one piece of one window: in the window's own mapping, or in
// any shared mapping of the same device that this process has. False elsewhere.
bool FindPlace(const Windows& windows, const void* address, uint64_t length, Place& out);

// The window of that identity; NULL when there is none.
const Window* FindWindow(const Windows& windows, const Identity& identity);

// What this process knows of its mappings of windows, of all instances: the same bytes may lie at two addresses, and a
// slice from one to the other overlaps although the addresses do not. Thread-safe.
class Aliases {
 public:
  static Aliases& Get();
  // Random; tells this process from every other.
  uint64_t process() const { return process_; }
  void Add(const void* address, uint64_t length, const Identity& window, uint64_t offset) SLIPWAY_EXCLUDES(mutex_);
  void Remove(const void* address, uint64_t length) SLIPWAY_EXCLUDES(mutex_);
  // Whether [address, +length) is known to lie in that window; then where.
  bool Find(const void* address, uint64_t length, const Identity& window, uint64_t* offset) const
      SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Alias {
    uint64_t length, offset;
    Identity window;
  };
  Aliases();

  const uint64_t process_;
  mutable Mutex mutex_;
  std::multimap<uintptr_t, Alias> aliases_ SLIPWAY_GUARDED_BY(mutex_);
};

uint64_t RandomNumber();  // never 0

// ---- names that travel: plain structs and a checksum, so that damage on the way is noticed -----------------------

struct AddressBlob {
  uint64_t magic = 0x31307264646c7863;  // "cxlddr01"
  Identity device{};                    // that the boards lie on
  uint64_t nonce = 0, process = 0;
  uint32_t board = 0, sharing = 0;
};
struct MrBlob {
  uint64_t magic = 0x3130676d656c7863;  // "cxlemg01"
  uint64_t nonce = 0, key = 0, offset = 0, length = 0;
  Identity window{};
  uint32_t slot = 0, access = 0;
};
inline constexpr uint32_t kAddressBytes = sizeof(AddressBlob) + sizeof(uint64_t);
inline constexpr uint32_t kMrBytes = sizeof(MrBlob) + sizeof(uint64_t);

std::string Encode(const AddressBlob& blob);
std::string Encode(const MrBlob& blob);
// False for anything that Encode did not make.
bool Decode(std::string_view bytes, AddressBlob& out);
bool Decode(std::string_view bytes, MrBlob& out);

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_MEMORY_H_
