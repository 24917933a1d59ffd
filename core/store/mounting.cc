// Segments that come and go.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/store/local_directory.h"

namespace slipway {
namespace {

constexpr uint64_t kLookNs = 20'000'000;

bool IsStoreSegmentName(const std::string& name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

}  // namespace

Status LocalDirectory::Mount(const std::string& name, SegmentMemory memory) {
  if (!IsStoreSegmentName(name)) {
    return Status(SLIPWAY_E_INVALID, "a segment's name is 1 to 63 of A-Z a-z 0-9 . _ -");
  }
  if (memory.bytes() < Allocator::kGranuleBytes) {
    return Status(SLIPWAY_E_INVALID, "segment \"" + name + "\" needs at least 64 bytes");
  }
  MutexLock change(mount_);
  const std::shared_ptr<const SegmentList> before = segments();
  for (const auto& segment : *before) {
    if (segment->name() == name) {
      return Status(SLIPWAY_E_SEGMENT_EXISTS, "segment \"" + name + "\" is mounted already: unmount it first");
    }
  }
  Result<std::shared_ptr<StoreSegment>> mounted = StoreSegment::Mount(next_segment_, name, std::move(memory), plane_);
  if (!mounted.ok()) return mounted.status();
  ++next_segment_;
  auto after = std::make_shared<SegmentList>(*before);
  after->push_back(*mounted);
  total_bytes_.fetch_add((*mounted)->space().total);
  counters_.Add(Counter::kStoreSegments);
  MutexLock lock(segments_mutex_);
  segments_ = std::move(after);
  return {};
}

// A value that is read on, and a key that keeps the replicas elsewhere.
void LocalDirectory::Keep(Record* old, StoreSegment* without) {
  Record* const record = Record::Make(old->key(), old->replica_count - 1u, old->checksum_count);
  record->hash = old->hash;
  record->version = old->version;
  record->length = old->length;
  record->chunk_bytes = old->chunk_bytes;
  record->keep = old->keep;
  record->group = old->group;
  size_t next = 0;
  for (const Replica& replica : old->replicas()) {
    if (replica.segment != without) record->replicas()[next++] = replica;
  }
  std::copy(old->checksums().begin(), old->checksums().end(), record->checksums().begin());
  record->Hold();  // the old one's
  old->successor = record;
  if (record->group != 0) {
    EnterGroup(record->group);
    JoinGroup(record);
  }
  if (keys_.Insert(record, KeyMap::Mode::kNew).inserted) return;
  counters_.Sub(Counter::kStoreObjects);  // a newer value was first, and was counted
  LetGo(record);
}

void LocalDirectory::TakeFrom(StoreSegment* segment) {
  const auto lies_there = [&](Record& record) {
    return std::any_of(record.replicas().begin(), record.replicas().end(),
                       [&](const Replica& replica) { return replica.segment == segment; });
  };
  for (Record* record : keys_.TakeIf(lies_there)) {
    if (record->replica_count > 1) {
      Keep(record, segment);
    } else {
      counters_.Sub(Counter::kStoreObjects);
    }
    LetGo(record);
  }
}

Status LocalDirectory::Unmount(const std::string& name, uint64_t timeout_ns) {
  MutexLock change(mount_);
  const uint64_t until_ns = DeadlineAfter(SystemClock().NowNs(), timeout_ns);
  const std::shared_ptr<const SegmentList> before = segments();
  const auto found =
      std::find_if(before->begin(), before->end(), [&](const auto& segment) { return segment->name() == name; });
  if (found == before->end()) return Status(SLIPWAY_E_NO_SEGMENT, "no segment \"" + name + "\" is mounted");
  const std::shared_ptr<StoreSegment> segment = *found;
  segment->SetClosing(true);
  for (;;) {
    // A write that had its space before may commit at any time.
    TakeFrom(segment.get());
    if (reclaim_) reclaim_();
    const uint64_t now_ns = SystemClock().NowNs();
    if (segment->WaitEmpty(std::min(kLookNs, until_ns > now_ns ? until_ns - now_ns : 0))) break;
    if (SystemClock().NowNs() < until_ns) continue;
    segment->SetClosing(false);
    return Status(SLIPWAY_E_REGION_BUSY, "objects in segment \"" + name +
                                             "\" are still being read or written: wait "
                                             "for that, or release views, and unmount again");
  }
  const uint64_t now_ns = SystemClock().NowNs();
  Status status = segment->TearDown(until_ns > now_ns ? until_ns - now_ns : 0);
  if (!status.ok()) return status;  // it stays closing, and may be unmounted again
  total_bytes_.fetch_sub(segment->space().total);
  counters_.Sub(Counter::kStoreSegments);
  auto after = std::make_shared<SegmentList>(*before);
  std::erase(*after, segment);
  MutexLock lock(segments_mutex_);
  segments_ = std::move(after);
  return {};
}

Result<std::string> LocalDirectory::DescribeJson() {
  if (reclaim_) reclaim_();
  nlohmann::ordered_json json;
  json["home"] = "this process";
  json["objects"] = objects();
  json["groups"] = groups();
  json["used_bytes"] = used_bytes();
  json["total_bytes"] = total_bytes_.load();
  json["segments"] = nlohmann::ordered_json::array();
  const std::shared_ptr<const SegmentList> all = segments();
  for (const auto& segment : *all) {
    const StoreSegment::Space space = segment->space();
    json["segments"].push_back({{"name", segment->name()},
                                {"bytes", segment->bytes()},
                                {"used_bytes", space.used},
                                {"largest_free_bytes", space.largest_free},
                                {"closing", space.closing}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace slipway
