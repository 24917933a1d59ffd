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
    for (Record* record : found->second.members) {
      // One that is read now, or kept for more than this one was, stays.
      if (record->keep > keep || record->references.load(std::memory_order_acquire) != 1) continue;
      if (keys_.RemoveThis(record)) taken.push_back(record);
    }
    for (Record* record : taken) found->second.members.erase(record);
  }
  counters_.Add(Counter::kStoreEvictions, taken.size());
  counters_.Sub(Counter::kStoreObjects, taken.size());
  for (Record* record : taken) Drop(record);
}

uint32_t LocalDirectory::EnterGroup(const std::string& name) {
  MutexLock lock(groups_mutex_);
  uint32_t& number = group_numbers_[name];
  if (number == 0) {
    // Another than those that are used, also once all have been.
    do {
      ++last_group_;
    } while (last_group_ == 0 || groups_.count(last_group_) > 0);
    number = last_group_;
    groups_[number].name = name;
  }
  ++groups_[number].records;
  return number;
}

void LocalDirectory::EnterGroup(uint32_t group) {
  MutexLock lock(groups_mutex_);
  ++groups_[group].records;
}

void LocalDirectory::ExitGroup(uint32_t group) {
  MutexLock lock(groups_mutex_);
  const auto found = groups_.find(group);
  if (--found->second.records > 0) return;
  group_numbers_.erase(found->second.name);
  groups_.erase(found);
}

void LocalDirectory::JoinGroup(Record* record) {
  MutexLock lock(groups_mutex_);
  groups_[record->group].members.insert(record);
}

void LocalDirectory::LeaveGroup(Record* record) {
  MutexLock lock(groups_mutex_);
  groups_[record->group].members.erase(record);
}

size_t LocalDirectory::groups() const {
  MutexLock lock(groups_mutex_);
  return groups_.size();
}

}  // namespace slipway
