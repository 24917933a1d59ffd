// What travels: addresses and registrations as blobs, and small messages between two instances.
#ifndef SLIPWAY_TESTS_THIRD_PARTY_UCX_PLUGIN_WIRE_H_
#define SLIPWAY_TESTS_THIRD_PARTY_UCX_PLUGIN_WIRE_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace ucx {

inline constexpr uint32_t kAddressBytesMax = 8192;
inline constexpr uint32_t kKeyBytesMax = 4096;

// Followed by the worker's address.
struct Address {
  std::array<char, 8> magic{'u', 'c', 'x', 'a', 'd', 'd', 'r', '1'};
  uint64_t instance = 0;  // random
  uint64_t process = 0;   // random, the same for all instances of a process
};
// Followed by the packed remote key.
struct Key {
  std::array<char, 8> magic{'u', 'c', 'x', 'k', 'e', 'y', '0', '1'};
  uint64_t instance = 0, key = 0, addr = 0, length = 0, access = 0;
};

// UCX neither revokes a registration nor says whether a peer still uses it, so the two sides agree on that themselves:
// who wants to reach a registration claims it, and who takes it back waits until every claimer has let go.
enum Kind : uint64_t {
  kHello = 1,    // initiator: here I am; followed by its Address
  kWelcome,      // target: I am the instance that you want
  kWrong,        // target: I am another one
  kClaim,        // initiator: I want to reach `key`
  kGranted,      // target
  kDenied,       // target: there is no such registration
  kRelease,      // initiator: I do not want it any more
  kRevoke,       // target: let go of it
  kReleased,     // initiator: no slice of mine touches it any more
  kBye,          // target: let go of all, and come no more
  kByeReleased,  // initiator: done
};
struct Message {
  uint64_t kind = 0;
  uint64_t link = 0;   // random, chosen by the initiator: names the pair
  uint64_t value = 0;  // the instance wanted in kHello, else the key
};

// FNV-1a (Fowler, Noll, Vo). It notices damage.
inline uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

template <typename T>
std::string Pack(const T& head, std::string_view tail) {
  static_assert(std::has_unique_object_representations_v<T>, "padding would travel");
  std::string out(reinterpret_cast<const char*>(&head), sizeof(head));
  out.append(tail);
  const uint64_t sum = Checksum(out);
  return out.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
}

// `tail` borrows from `bytes`.
template <typename T>
bool Unpack(std::string_view bytes, size_t bytes_max, T& head, std::string_view& tail) {
  uint64_t sum = 0;
  if (bytes.size() <= sizeof(T) + sizeof(sum) || bytes.size() > bytes_max) return false;
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof(sum), sizeof(sum));
  bytes.remove_suffix(sizeof(sum));
  T read;
  std::memcpy(&read, bytes.data(), sizeof(read));
  if (read.magic != T{}.magic || sum != Checksum(bytes)) return false;
  head = read;
  tail = bytes.substr(sizeof(T));
  return true;
}

}  // namespace ucx

#endif  // SLIPWAY_TESTS_THIRD_PARTY_UCX_PLUGIN_WIRE_H_
