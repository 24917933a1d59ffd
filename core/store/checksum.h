// The checksum that the store keeps of each chunk of an object, and the hash of its keys: XXH3, 64 bits.
#ifndef SLIPWAY_CORE_STORE_CHECKSUM_H_
#define SLIPWAY_CORE_STORE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace slipway {

uint64_t HashBytes(const void* data, size_t bytes);

// Of bytes that come in pieces. Value type.
class RunningChecksum {
 public:
  RunningChecksum();
  ~RunningChecksum();
  RunningChecksum(const RunningChecksum&) = delete;
  RunningChecksum& operator=(const RunningChecksum&) = delete;

  void Reset();
  void Add(const void* data, size_t bytes);
  uint64_t Value() const;  // as HashBytes of all

 private:
  void* state_;  // the library's; null: memory was short, and Value is 0
};

// What a checksum may be of, as store.chunk_bytes is bounded: checksums are never more than a 512th of a value.
inline constexpr uint64_t kChunkBytesMin = 4096, kChunkBytesMax = uint64_t{1} << 30;

// How many chunks of `chunk_bytes` a value of `bytes` has: 0 for none, the last may be short.
constexpr uint64_t ChunkCount(uint64_t bytes, uint64_t chunk_bytes) {
  return bytes / chunk_bytes + (bytes % chunk_bytes != 0 ? 1 : 0);
}

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_CHECKSUM_H_
