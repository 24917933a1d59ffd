// One object as its home knows it: what it is, where its replicas lie, who holds it.
#ifndef SLIPWAY_CORE_STORE_RECORD_H_
#define SLIPWAY_CORE_STORE_RECORD_H_

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

namespace slipway {

class StoreSegment;

inline constexpr uint32_t kReplicasMax = 4;

enum class KeepClass : uint8_t { kEvictable = 1, kSoftPinned = 2, kPinned = 3 };  // as SLIPWAY_KEEP_*

// Where one copy of the bytes lies.
struct Replica {
  StoreSegment* segment = nullptr;  // lives as long as any of its space is taken
  uint64_t offset = 0;
  uint32_t block = 0;  // the allocator's
};

// Written once, by its writer alone; from its commit on it never changes but for the fields that say who guards them.
// A new value under the same key is a new record. One allocation holds it all: the record, its replicas, its checksums
// and its key. The space of its replicas is given back with the last reference: the key map holds one, and so does
// whoever reads or writes the bytes.
struct Record {
  // Guarded by the lock of the key's shard.
  Record* next_in_bucket = nullptr;
  Record* newer = nullptr;  // by last use, in the list of its class
  Record* older = nullptr;
  uint64_t last_use = 0;

  Record* successor = nullptr;  // owns the replicas that both have; set when a segment is taken away, with a reference
  uint64_t hash = 0;
  uint64_t version = 0;
  uint64_t length = 0;  // bytes
  std::atomic<uint32_t> references{1};
  uint32_t key_length = 0;
  uint32_t checksum_count = 0;  // 0: none
  uint32_t chunk_bytes = 0;     // that each checksum is of, but for the last
  uint32_t group = 0;           // 0: none
  uint8_t replica_count = 0;
  KeepClass keep = KeepClass::kEvictable;
  bool in_map = false;     // guarded by the shard's lock
  bool abandoned = false;  // its space may still be written to and is never used again; guarded by its one reference

  // `checksums` 0: none. Throws std::bad_alloc.
  static Record* Make(std::string_view key, uint32_t replicas, uint64_t checksums);
  static void Destroy(Record* record);  // the memory alone

  std::span<Replica> replicas() { return {reinterpret_cast<Replica*>(this + 1), replica_count}; }
  std::span<uint64_t> checksums() {
    return {reinterpret_cast<uint64_t*>(replicas().data() + replica_count), checksum_count};
  }
  std::string_view key() { return {reinterpret_cast<const char*>(checksums().data() + checksum_count), key_length}; }
  void Hold() { references.fetch_add(1, std::memory_order_relaxed); }
};

static_assert(sizeof(Record) % alignof(Replica) == 0 && sizeof(Replica) % alignof(uint64_t) == 0);
// One replica and one checksum, the map's bucket, the allocator's block and the heap's own words beside it.
static_assert(sizeof(Record) + sizeof(Replica) + 8 + 8 + 40 + 16 <= 256,
              "a record costs at most 256 bytes and its key");

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_RECORD_H_
