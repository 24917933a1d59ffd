#include "core/store/key_map.h"

#include <algorithm>

#include "core/store/checksum.h"

namespace slipway {
namespace {

constexpr size_t kFirstBuckets = 64;
// How many records that somebody holds are looked past in one shard.
constexpr int kLooks = 32;

}  // namespace

uint64_t HashOfKey(std::string_view key) { return HashBytes(key.data(), key.size()); }

KeyMap::KeyMap() {
  for (Shard& shard : shards_) {
    for (auto& use : shard.oldest_use) use.store(UINT64_MAX, std::memory_order_relaxed);
    MutexLock lock(shard.mutex);
    shard.buckets.assign(kFirstBuckets, nullptr);
  }
}

KeyMap::~KeyMap() = default;

Record** KeyMap::SlotOf(Shard& shard, std::string_view key, uint64_t hash) {
  Record** slot = &shard.buckets[hash & (shard.buckets.size() - 1)];
  while (*slot != nullptr && ((*slot)->hash != hash || (*slot)->key() != key)) slot = &(*slot)->next_in_bucket;
  return slot;
}

void KeyMap::Grow(Shard& shard) {
  std::vector<Record*> larger(shard.buckets.size() * 2, nullptr);
  for (Record* head : shard.buckets) {
    while (head != nullptr) {
      Record* const next = head->next_in_bucket;
      Record*& bucket = larger[head->hash & (larger.size() - 1)];
      head->next_in_bucket = bucket;
      bucket = head;
      head = next;
    }
  }
  shard.buckets.swap(larger);
}

void KeyMap::ListAsNewest(Shard& shard, Record* record) {
  if (record->keep == KeepClass::kPinned) return;
  const auto number = static_cast<size_t>(record->keep) - 1;
  List& list = shard.lists[number];
  record->newer = nullptr;
  record->older = list.newest;
  (list.newest != nullptr ? list.newest->newer : list.oldest) = record;
  list.newest = record;
  if (list.oldest == record) shard.oldest_use[number].store(record->last_use, std::memory_order_relaxed);
}

void KeyMap::Unlist(Shard& shard, Record* record) {
  if (record->keep == KeepClass::kPinned) return;
  const auto number = static_cast<size_t>(record->keep) - 1;
  List& list = shard.lists[number];
  (record->newer != nullptr ? record->newer->older : list.newest) = record->older;
  (record->older != nullptr ? record->older->newer : list.oldest) = record->newer;
  record->newer = record->older = nullptr;
  shard.oldest_use[number].store(list.oldest != nullptr ? list.oldest->last_use : UINT64_MAX,
                                 std::memory_order_relaxed);
}

void KeyMap::TakeOut(Shard& shard, Record** slot) {
  Record* const record = *slot;
  *slot = record->next_in_bucket;
  record->next_in_bucket = nullptr;
  record->in_map = false;
  Unlist(shard, record);
  --shard.count;
  size_.fetch_sub(1, std::memory_order_relaxed);
}

Record* KeyMap::Find(std::string_view key, uint64_t hash, bool touch) {
  Shard& shard = ShardOf(hash);
  const uint64_t now = touch ? Tick() : 0;
  MutexLock lock(shard.mutex);
  Record* const record = *SlotOf(shard, key, hash);
  if (record == nullptr) return nullptr;
  record->Hold();
  if (touch) {
    Unlist(shard, record);
    record->last_use = now;
    ListAsNewest(shard, record);
  }
  return record;
}

bool KeyMap::Contains(std::string_view key, uint64_t hash) {
  Shard& shard = ShardOf(hash);
  MutexLock lock(shard.mutex);
  return *SlotOf(shard, key, hash) != nullptr;
}

KeyMap::Outcome KeyMap::Insert(Record* record, Mode mode) {
  Shard& shard = ShardOf(record->hash);
  const uint64_t now = Tick();
  Outcome outcome;
  MutexLock lock(shard.mutex);
  if (shard.count >= shard.buckets.size()) Grow(shard);
  Record** slot = SlotOf(shard, record->key(), record->hash);
  if (mode == Mode::kNew && *slot != nullptr) return outcome;
  if (*slot != nullptr) {
    outcome.replaced = *slot;
    TakeOut(shard, slot);
  }
  record->next_in_bucket = *slot;
  *slot = record;
  record->in_map = true;
  record->last_use = now;
  ListAsNewest(shard, record);
  ++shard.count;
  size_.fetch_add(1, std::memory_order_relaxed);
  outcome.inserted = true;
  return outcome;
}

Record* KeyMap::Remove(std::string_view key, uint64_t hash) {
  Shard& shard = ShardOf(hash);
  MutexLock lock(shard.mutex);
  Record** slot = SlotOf(shard, key, hash);
  Record* const record = *slot;
  if (record != nullptr) TakeOut(shard, slot);
  return record;
}

bool KeyMap::RemoveThis(Record* record) {
  Shard& shard = ShardOf(record->hash);
  MutexLock lock(shard.mutex);
  if (!record->in_map) return false;
  TakeOut(shard, SlotOf(shard, record->key(), record->hash));
  return true;
}

Record* KeyMap::TakeOldestOf(Shard& shard, size_t list) {
  MutexLock lock(shard.mutex);
  int looks = 0;
  for (Record* at = shard.lists[list].oldest; at != nullptr && looks < kLooks; at = at->newer, ++looks) {
    // Nobody can gain a reference without this lock.
    if (at->references.load(std::memory_order_acquire) != 1) continue;
    TakeOut(shard, SlotOf(shard, at->key(), at->hash));
    return at;
  }
  return nullptr;
}

Record* KeyMap::TakeOldest(KeepClass keep) {
  const auto list = static_cast<size_t>(keep) - 1;
  std::array<bool, kShards> tried{};
  for (size_t round = 0; round < kShards; ++round) {
    size_t best = kShards;
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < kShards; ++i) {
      const uint64_t use = shards_[i].oldest_use[list].load(std::memory_order_relaxed);
      if (tried[i] || use >= oldest) continue;
      oldest = use;
      best = i;
    }
    if (best == kShards) return nullptr;
    if (Record* record = TakeOldestOf(shards_[best], list)) return record;
    tried[best] = true;
  }
  return nullptr;
}

std::vector<Record*> KeyMap::TakeIf(const std::function<bool(Record&)>& matches) {
  std::vector<Record*> taken;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (Record*& bucket : shard.buckets) {
      Record** slot = &bucket;
      while (*slot != nullptr) {
        if (matches(**slot)) {
          taken.push_back(*slot);
          TakeOut(shard, slot);
        } else {
          slot = &(*slot)->next_in_bucket;
        }
      }
    }
  }
  return taken;
}

void KeyMap::ForEach(const std::function<void(Record&)>& look) {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (Record* bucket : shard.buckets) {
      for (Record* at = bucket; at != nullptr; at = at->next_in_bucket) look(*at);
    }
  }
}

}  // namespace slipway
