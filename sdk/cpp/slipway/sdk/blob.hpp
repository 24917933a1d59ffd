// Names that travel as bytes: a plain struct and a checksum.
//
//   struct Address {
//     char magic[8] = "my-addr";  // tells this struct, and this version of it, from everything else
//     uint64_t host = 0, port = 0;
//   };
//   out = Pack(Address{.host = 1, .port = 2});
//   if (Address a; Unpack(bytes, a)) ...
#ifndef SLIPWAY_SDK_BLOB_HPP_
#define SLIPWAY_SDK_BLOB_HPP_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace slipway::sdk {

namespace detail {

// FNV-1a (Fowler, Noll, Vo).
inline uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace detail

// Every byte of the struct travels: there may be no padding and no pointer of meaning to this process alone.
template <typename T>
concept Blob = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T> &&
    std::is_default_constructible_v<T> && requires(const T& t) {
  t.magic;
};

// The bytes of a packed T: what attrs.address_bytes_max and mr_blob_bytes_max are set to.
template <Blob T>
inline constexpr uint32_t kPackedBytes = sizeof(T) + sizeof(uint64_t);

template <Blob T>
std::string Pack(const T& value) {
  std::string out(reinterpret_cast<const char*>(&value), sizeof(value));
  const uint64_t sum = detail::Checksum(out);
  return out.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
}

// False, with `out` untouched, for anything but what Pack made of a T with this magic on a machine of this byte order.
// The checksum notices damage, not a liar: who made the bytes could make others, so every field is still to be checked.
template <Blob T>
bool Unpack(std::string_view bytes, T& out) {
  const T expected{};
  T read;
  uint64_t sum = 0;
  if (bytes.size() != kPackedBytes<T>) return false;
  std::memcpy(&read, bytes.data(), sizeof(read));
  std::memcpy(&sum, bytes.data() + sizeof(read), sizeof(sum));
  if (std::memcmp(&read.magic, &expected.magic, sizeof(read.magic)) != 0) return false;
  if (sum != detail::Checksum(bytes.substr(0, sizeof(read)))) return false;
  out = read;
  return true;
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_BLOB_HPP_
