// Bytes as text on a pipe between two processes of a test.
#ifndef SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_HEX_H_
#define SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_HEX_H_

#include <cstdint>
#include <cstdlib>
#include <string>

namespace slipway::test {

inline std::string ToHex(const std::string& bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

inline std::string FromHex(const std::string& text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::strtoul(text.substr(i, 2).c_str(), nullptr, 16));
  }
  return out;
}

// FNV-1a over the bytes.
inline uint64_t SumOf(const char* at, uint64_t bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<unsigned char>(at[i])) * 0x100000001b3;
  return hash;
}

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_HEX_H_
