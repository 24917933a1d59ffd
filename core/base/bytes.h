// Byte ranges and sizes.
#ifndef SLIPWAY_CORE_BASE_BYTES_H_
#define SLIPWAY_CORE_BASE_BYTES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slipway {

// Whether [offset, offset + length) lies within [0, size), without overflowing.
constexpr bool Within(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

// Whether [begin, begin + length) wraps around the address space.
constexpr bool Wraps(uint64_t begin, uint64_t length) { return begin + length < begin; }

constexpr bool IsPowerOfTwo(uint64_t v) { return v != 0 && (v & (v - 1)) == 0; }
constexpr uint64_t RoundDown(uint64_t v, uint64_t power_of_two) { return v & ~(power_of_two - 1); }
// The caller makes sure that v + power_of_two does not overflow.
constexpr uint64_t RoundUp(uint64_t v, uint64_t power_of_two) { return RoundDown(v + power_of_two - 1, power_of_two); }

// "64MiB", "1.5GiB", "4096", "2 kB": binary (KiB..TiB) and decimal (kB, KB..TB) units, "B" or none for bytes. Nothing
// for text that is no size, a fraction of a byte, or more than 2^63 - 1.
std::optional<uint64_t> ParseSize(std::string_view text);

// The shortest of "64MiB", "1.5GiB", "4097B" that ParseSize reads back as the same number.
std::string FormatSize(uint64_t bytes);

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_BYTES_H_
