// Making room: which objects go when the segments fill up, and which go together.
#include <algorithm>

#include "core/store/local_directory.h"

namespace slipway {

bool LocalDirectory::IsCrowded(uint64_t bytes) const {
  const uint64_t total = total_bytes_.load(std::memory_order_relaxed);
  return used_bytes() + bytes > total / 100 * options_.high_watermark_percent;
}

void LocalDirectory::MakeRoom(uint64_t bytes) {
  const uint64_t low = total_bytes_.load(std::memory_order_relaxed) / 100 * options_.low_watermark_percent;
  while (used_bytes() + bytes > low) {
    if (!EvictOne()) return;
  }
}

bool LocalDirectory::CouldFit(uint64_t length, size_t replicas, const SegmentList& segments) {
  std::unordered_map<const StoreSegment*, std::vector<uint32_t>> evictable;
  keys_.ForEach([&](Record& record) {
    if (record.keep == KeepClass::kPinned || record.references.load(std::memory_order_acquire) != 1) return;
    for (const Replica& replica : record.replicas()) evictable[replica.segment].push_back(replica.block);
  });
  const auto has_room = [&](const auto& segment) {
    return segment->LargestFreeBytesWithout(evictable[segment.get()]) >= length;
  };
  return static_cast<size_t>(std::count_if(segments.begin(), segments.end(), has_room)) >= replicas;
}

bool LocalDirectory::EvictOne() {
  for (const KeepClass keep : {KeepClass::kEvictable, KeepClass::kSoftPinned}) {
    Record* const record = keys_.TakeOldest(keep);
    if (record == nullptr) continue;
    counters_.Add(Counter::kStoreEvictions);
    counters_.Sub(Counter::kStoreObjects);
    const uint32_t group = record->group;
    LetGo(record);
    if (group != 0) EvictGroup(group, keep);
    return true;
  }
  return false;
}

void LocalDirectory::EvictGroup(uint32_t group, KeepClass keep) {
  std::vector<Record*> taken;
  {
    MutexLock lock(groups_mutex_);
    const auto found = groups_.find(group);
    if (found == groups_.end()) return;
    for (Record* record : found->second) {
      // One that is read now, or kept for more than this one was, stays.
      if (record->keep > keep || record->references.load(std::memory_order_acquire) != 1) continue;
      if (keys_.RemoveThis(record)) taken.push_back(record);
    }
    for (Record* record : taken) found->second.erase(record);
    if (found->second.empty()) groups_.erase(found);
  }
  counters_.Add(Counter::kStoreEvictions, taken.size());
  counters_.Sub(Counter::kStoreObjects, taken.size());
  for (Record* record : taken) Drop(record);
}

uint32_t LocalDirectory::GroupNumber(const std::string& name) {
  MutexLock lock(groups_mutex_);
  return group_numbers_.emplace(name, static_cast<uint32_t>(group_numbers_.size() + 1)).first->second;
}

void LocalDirectory::JoinGroup(Record* record) {
  MutexLock lock(groups_mutex_);
  groups_[record->group].insert(record);
}

void LocalDirectory::LeaveGroup(Record* record) {
  MutexLock lock(groups_mutex_);
  const auto found = groups_.find(record->group);
  if (found == groups_.end()) return;
  found->second.erase(record);
  if (found->second.empty()) groups_.erase(found);
}

}  // namespace slipway
