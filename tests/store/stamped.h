// Values that say themselves whether they are whole: a reader knows without having seen the writer.
#ifndef SLIPWAY_TESTS_STORE_STAMPED_H_
#define SLIPWAY_TESTS_STORE_STAMPED_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace slipway {

// splitmix64 (Steele, Lea, Flood 2014).
inline uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// 16 bytes or more: the stamp, the length, and words that follow from both.
inline std::string Stamped(uint64_t stamp, size_t bytes) {
  std::string value(bytes, '\0');
  for (size_t at = 0; at < bytes; at += 8) {
    const uint64_t word = at == 0 ? stamp : at == 8 ? uint64_t{bytes} : Mixed(stamp + at);
    std::memcpy(value.data() + at, &word, bytes - at < 8 ? bytes - at : 8);
  }
  return value;
}

inline bool IsWhole(std::string_view value) {
  uint64_t stamp = 0, bytes = 0;
  if (value.size() < 16) return false;
  std::memcpy(&stamp, value.data(), 8);
  std::memcpy(&bytes, value.data() + 8, 8);
  return bytes == value.size() && value == Stamped(stamp, value.size());
}

// Lengths of all sorts, few of them long: some come along with a look-up, some take many chunks.
inline size_t StampedLength(uint64_t stamp) {
  const uint64_t r = Mixed(~stamp);
  return 16 + Mixed(r) % (r % 8 == 0 ? 300'000 : r % 2 == 0 ? 20'000 : 4'500);
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_STORE_STAMPED_H_
