// The directory of this process: its segments, and the keys whose home it is.
#ifndef SLIPWAY_CORE_STORE_LOCAL_DIRECTORY_H_
#define SLIPWAY_CORE_STORE_LOCAL_DIRECTORY_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/metrics/counters.h"
#include "core/store/directory.h"
#include "core/store/key_map.h"
#include "core/store/segment.h"
#include "slipway/options.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

class LocalDirectory final : public Directory {
 public:
  LocalDirectory(const StoreOptions& options, DataPlane& plane, Counters& counters);
  ~LocalDirectory() override;  // every ticket has ended

  void Begin(std::span<const WriteIntent> intents, const WritePolicy& policy, std::span<Ticket> tickets) override;
  void Commit(std::span<Ticket> tickets, const WritePolicy& policy) override;
  void Abort(Ticket& ticket, bool may_be_written) override;
  void Lookup(std::span<const std::string_view> keys, bool along, uint64_t deadline_ns,
              std::span<Ticket> tickets) override;
  void Release(std::span<Ticket> tickets) override;
  Status Stat(std::span<const std::string_view> keys, std::span<ObjectStat> out) override;
  Status Remove(std::span<const std::string_view> keys, std::span<slipway_status> out) override;
  Result<uint64_t> RemoveAll(std::string_view prefix) override;
  Result<std::vector<ObjectStat>> List(std::string_view prefix, std::string_view after, size_t most) override;
  Result<std::string> DescribeJson() override;

  // On failure everything is as before.
  Status Mount(const std::string& name, SegmentMemory memory) SLIPWAY_EXCLUDES(mount_);
  // The objects whose only replica lies there are gone. E_REGION_BUSY: some were still read or written when the time
  // was over; the segment stays mounted.
  Status Unmount(const std::string& name, uint64_t timeout_ns) SLIPWAY_EXCLUDES(mount_);

  // Called when space is short: gives back what others held for too long. Set while nobody else calls.
  void set_reclaim(std::function<void()> reclaim) { reclaim_ = std::move(reclaim); }

  using SegmentList = std::vector<std::shared_ptr<StoreSegment>>;
  std::shared_ptr<const SegmentList> segments() const SLIPWAY_EXCLUDES(segments_mutex_);
  uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  uint64_t objects() const { return keys_.size(); }
  size_t groups() const SLIPWAY_EXCLUDES(groups_mutex_);

 private:
  // Space for `replicas` of `length` bytes, in different segments.
  Status Place(uint64_t length, const WritePolicy& policy, const SegmentList& segments, std::span<Replica> replicas);
  bool TryPlace(uint64_t length, const SegmentList& order, std::span<Replica> replicas);
  Status NoSpace(uint64_t length, const SegmentList& segments);
  void BeginOne(const WriteIntent& intent, const WritePolicy& policy, const SegmentList& segments, Ticket& ticket);
  void CommitOne(Ticket& ticket, const WritePolicy& policy);
  static void Describe(Record& record, Ticket& ticket);

  // eviction.cc
  // Whether the segments would be fuller than they should with `bytes` more.
  bool IsCrowded(uint64_t bytes) const;
  void MakeRoom(uint64_t bytes);
  // Whether `replicas` segments had room for `length` bytes each if all were gone that may be evicted now. Looks at
  // every object.
  bool CouldFit(uint64_t length, size_t replicas, const SegmentList& segments);
  bool EvictOne();  // false: nothing can be
  void EvictGroup(uint32_t group, KeepClass keep);
  // A record of the group begins, or ends: with the last one the name is forgotten.
  uint32_t EnterGroup(const std::string& name) SLIPWAY_EXCLUDES(groups_mutex_);
  void EnterGroup(uint32_t group) SLIPWAY_EXCLUDES(groups_mutex_);
  void ExitGroup(uint32_t group) SLIPWAY_EXCLUDES(groups_mutex_);
  // The record can be seen, or no longer.
  void JoinGroup(Record* record) SLIPWAY_EXCLUDES(groups_mutex_);
  void LeaveGroup(Record* record) SLIPWAY_EXCLUDES(groups_mutex_);

  // For a record that was taken out of the map: drops the map's reference.
  void LetGo(Record* record);
  void Drop(Record* record);  // one reference; with the last one the space
  void GiveBack(Record* record);
  void TakeFrom(StoreSegment* segment);
  void Keep(Record* old, StoreSegment* without);

  const StoreOptions options_;
  DataPlane& plane_;
  Counters& counters_;
  KeyMap keys_;
  std::atomic<uint64_t> versions_{0};
  std::atomic<uint64_t> used_bytes_{0}, total_bytes_{0};
  std::atomic<uint64_t> turn_{0};
  std::function<void()> reclaim_;

  Mutex mount_;  // one at a time; taken before the others
  uint32_t next_segment_ SLIPWAY_GUARDED_BY(mount_) = 1;
  mutable Mutex segments_mutex_;
  std::shared_ptr<const SegmentList> segments_ SLIPWAY_GUARDED_BY(segments_mutex_);

  struct Group {
    std::string name;
    uint64_t records = 0;                 // that name it, seen or not
    std::unordered_set<Record*> members;  // that can be seen
  };
  mutable Mutex groups_mutex_;
  uint32_t last_group_ SLIPWAY_GUARDED_BY(groups_mutex_) = 0;
  std::unordered_map<std::string, uint32_t> group_numbers_ SLIPWAY_GUARDED_BY(groups_mutex_);
  std::unordered_map<uint32_t, Group> groups_ SLIPWAY_GUARDED_BY(groups_mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_LOCAL_DIRECTORY_H_
