// Which record a key has: a hash table in shards, each with its own short lock, and in each shard the order of last
// use.
#ifndef SLIPWAY_CORE_STORE_KEY_MAP_H_
#define SLIPWAY_CORE_STORE_KEY_MAP_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/store/record.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

uint64_t HashOfKey(std::string_view key);

// Thread-safe. Holds one reference on each record in it; references that it gives away are the caller's to drop, which
// is never done here: giving space back takes other locks.
class KeyMap {
 public:
  KeyMap();
  ~KeyMap();  // empty: TakeAll was called
  KeyMap(const KeyMap&) = delete;
  KeyMap& operator=(const KeyMap&) = delete;

  // With a reference; null: none. `touch`: counts as a use.
  Record* Find(std::string_view key, uint64_t hash, bool touch);
  bool Contains(std::string_view key, uint64_t hash);

  enum class Mode { kNew, kReplace };
  struct Outcome {
    bool inserted = false;
    Record* replaced = nullptr;  // with the map's reference, now the caller's
  };
  // Takes one reference of the caller's where it inserts. kNew: only where there is none.
  Outcome Insert(Record* record, Mode mode);
  // With the map's reference; null: none.
  Record* Remove(std::string_view key, uint64_t hash);
  // The same, only where `record` itself is there.
  bool RemoveThis(Record* record);
  // Takes out the least recently used record of the class that nobody but the map holds, looking past at most a few in
  // each shard that somebody does; null: there is none. With the map's reference.
  Record* TakeOldest(KeepClass keep);
  // Takes out what `matches`; a shard's lock is held meanwhile.
  std::vector<Record*> TakeIf(const std::function<bool(Record&)>& matches);
  // Calls with the shard's lock held.
  void ForEach(const std::function<void(Record&)>& look);

  uint64_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kShards = 64;
  static constexpr size_t kClasses = 2;  // evictable, soft pinned; the others are in no list

  struct List {
    Record* newest = nullptr;
    Record* oldest = nullptr;
  };
  struct alignas(64) Shard {
    Mutex mutex;
    std::vector<Record*> buckets SLIPWAY_GUARDED_BY(mutex);  // a power of two of them
    size_t count SLIPWAY_GUARDED_BY(mutex) = 0;
    std::array<List, kClasses> lists SLIPWAY_GUARDED_BY(mutex);
    // When the oldest of each list was used last, for choosing a shard without its lock; UINT64_MAX: none.
    std::array<std::atomic<uint64_t>, kClasses> oldest_use;
  };

  static Record** SlotOf(Shard& shard, std::string_view key, uint64_t hash) SLIPWAY_REQUIRES(shard.mutex);
  static void Grow(Shard& shard) SLIPWAY_REQUIRES(shard.mutex);
  static void ListAsNewest(Shard& shard, Record* record) SLIPWAY_REQUIRES(shard.mutex);
  static void Unlist(Shard& shard, Record* record) SLIPWAY_REQUIRES(shard.mutex);
  void TakeOut(Shard& shard, Record** slot) SLIPWAY_REQUIRES(shard.mutex);
  Record* TakeOldestOf(Shard& shard, size_t list);
  Shard& ShardOf(uint64_t hash) { return shards_[hash >> 58]; }
  uint64_t Tick() { return clock_.fetch_add(1, std::memory_order_relaxed); }

  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> size_{0};
  std::atomic<uint64_t> clock_{1};
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_KEY_MAP_H_
