#include "tools/slipway/bench/layout.h"

#include <algorithm>
#include <cstring>

namespace slipway::cli::bench {
namespace {

// Both multipliers have an inverse modulo the prime number of places, so that no two slots share one.
constexpr uint64_t kPlaces = 4099;
constexpr uint64_t kLocalStep = 1571, kRemoteStep = 2741;

uint64_t Stride(const Layout& layout) {
  // Contiguous requests touch, whatever their length: positions need no alignment.
  return layout.scattered ? (layout.bytes + 63) / 64 * 64 : layout.bytes;
}

uint64_t Places(const Layout& layout) {
  return layout.scattered ? std::max<uint64_t>(kPlaces, layout.slots) : layout.slots;
}

// For an odd multiplier this is one to one, so all words of one seed differ.
uint64_t Word(uint64_t seed, uint64_t index) {
  const uint64_t mixed = (index ^ seed) * 0x9E3779B97F4A7C15;
  return mixed ^ (mixed >> 29);
}

// `bytes` of the pattern from position `at`, which need not be aligned, compared with `memory`.
std::optional<uint64_t> Compare(const std::byte* memory, uint64_t at, uint64_t bytes, uint64_t seed) {
  uint64_t done = 0;
  if (at % 8 == 0) {
    while (bytes - done >= 4096) {  // whole blocks, in a form that the compiler makes vectors of
      uint64_t difference = 0;
      for (uint64_t i = 0; i < 512; ++i) {
        uint64_t found;
        std::memcpy(&found, memory + done + 8 * i, 8);
        difference |= found ^ Word(seed, (at + done) / 8 + i);
      }
      if (difference != 0) break;
      done += 4096;
    }
  }
  for (; done < bytes; ++done) {
    const uint64_t position = at + done;
    const uint64_t word = Word(seed, position / 8);
    if (memory[done] != static_cast<std::byte>(word >> (8 * (position % 8)))) return done;
  }
  return std::nullopt;
}

}  // namespace

uint64_t Layout::LocalAt(uint32_t slot) const {
  return (scattered ? slot * kLocalStep % Places(*this) : slot) * Stride(*this);
}

uint64_t Layout::RemoteAt(uint32_t slot) const {
  return (scattered ? (slot * kRemoteStep + 13) % Places(*this) : slot) * Stride(*this);
}

uint64_t Layout::Room() const { return Places(*this) * Stride(*this); }

void FillPattern(std::byte* memory, uint64_t bytes, uint64_t seed) {
  const uint64_t words = bytes / 8;
  for (uint64_t i = 0; i < words; ++i) {
    const uint64_t word = Word(seed, i);
    std::memcpy(memory + 8 * i, &word, 8);
  }
  const uint64_t last = Word(seed, words);
  std::memcpy(memory + 8 * words, &last, bytes % 8);
}

std::optional<uint64_t> FindDifference(const std::byte* memory, const Layout& layout, Side side, uint64_t seed) {
  for (uint32_t slot = 0; slot < layout.slots; ++slot) {
    const bool local = side == Side::kLocal;
    const uint64_t here = local ? layout.LocalAt(slot) : layout.RemoteAt(slot);
    const uint64_t there = local ? layout.RemoteAt(slot) : layout.LocalAt(slot);
    if (const auto at = Compare(memory + here, there, layout.bytes, seed)) return here + *at;
  }
  return std::nullopt;
}

}  // namespace slipway::cli::bench
