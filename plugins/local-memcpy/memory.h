// What is registered, and how another instance of this process reaches it.
//
// The transport's wire is a table, in the loaded object, of the instances alive in this process: that is how two
// engines talk to each other. Nothing else is shared between instances.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_MEMORY_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_MEMORY_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "slipway/abi/memory.h"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::local_memcpy {

using Key = std::array<unsigned char, 16>;

// Memory that peers may reach until it is revoked. Whoever copies holds it with Enter() and Leave(), so that revoking
// can wait for copies in progress.
class Grant {
 public:
  Grant(const slipway_range& range, uint32_t access, const Key& key)
      : addr(static_cast<char*>(range.addr)),
        length(range.length),
        mem_kind(range.mem_kind),
        access(access),
        key(key) {}

  // False once it is revoked; the memory may be touched only between a true Enter() and Leave().
  bool Enter() {
    if ((state_.fetch_add(1, std::memory_order_acquire) & kRevoked) == 0) return true;
    Leave();
    return false;
  }
  void Leave() { state_.fetch_sub(1, std::memory_order_release); }
  // After it nobody of this process enters. False when somebody was still inside at `deadline_ns` of the host's clock;
  // it is granted again then.
  bool Revoke(const sdk::Host& host, uint64_t deadline_ns);
  void Reopen() { state_.fetch_and(~kRevoked, std::memory_order_release); }

  // How other processes reach it.
  enum class Reach : uint32_t { kNone, kPrivate, kShared };
  Reach reach = Reach::kNone;              // set before it is exported
  std::atomic<uint32_t> slot{UINT32_MAX};  // on the instance's board

  char* const addr;
  const uint64_t length;
  const uint64_t mem_kind;
  const uint32_t access;
  const Key key;

 private:
  static constexpr uint64_t kRevoked = uint64_t{1} << 63;
  std::atomic<uint64_t> state_{0};
};

// One instance as its peers see it. Outlives the instance while a peer knows it.
class Endpoint {
 public:
  explicit Endpoint(uint64_t id) : id(id) {}

  uint64_t Add(std::shared_ptr<Grant> grant);  // returns the registration's id, never used again
  void Remove(uint64_t registration);
  std::shared_ptr<Grant> Find(uint64_t registration) const;

  // Refuses all peers from now on; says so for good.
  void Close() { closed_.store(true, std::memory_order_release); }
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  const uint64_t id;

 private:
  std::atomic<bool> closed_{false};
  mutable Mutex mutex_;
  uint64_t next_registration_ SLIPWAY_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, std::shared_ptr<Grant>> grants_ SLIPWAY_GUARDED_BY(mutex_);
};

// Tells this process from every other, also from one that had or will have the same process id, and its host, as it
// runs now, from every other.
struct ProcessId {
  Key random{};
  uint64_t pid = 0, start_time = 0;
  Key boot{};  // all 0: unknown
  bool operator==(const ProcessId&) const = default;
};

// The instances of this process. A forked child has a table of its own, with nothing in it.
class Process {
 public:
  static Process& Get();

  const ProcessId& id() const { return id_; }
  std::shared_ptr<Endpoint> Open();
  void Close(const Endpoint& endpoint);
  std::shared_ptr<Endpoint> Find(uint64_t endpoint) const;

 private:
  Process();

  const sdk::ForkGuard fork_guard_;
  ProcessId id_;
  mutable Mutex mutex_;
  std::map<uint64_t, std::shared_ptr<Endpoint>> endpoints_ SLIPWAY_GUARDED_BY(mutex_);
};

Key RandomKey();

// ---- names that travel -----------------------------------------------------------------------------------------

struct AddressBlob {
  ProcessId process;
  uint64_t endpoint = 0;
  Key socket{};  // where other processes connect; all 0: nowhere
};
struct MrBlob {
  ProcessId process;
  uint64_t endpoint = 0, registration = 0, length = 0;
  uint32_t access = 0;
  Grant::Reach reach = Grant::Reach::kNone;
  Key key{};
};
inline constexpr uint32_t kAddressBytes = 88;
inline constexpr uint32_t kMrBytes = 120;

std::string Encode(const AddressBlob& blob);
std::string Encode(const MrBlob& blob);
// False for anything that Encode did not make, one flipped bit included.
bool Decode(std::string_view bytes, AddressBlob& out);
bool Decode(std::string_view bytes, MrBlob& out);

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_MEMORY_H_
