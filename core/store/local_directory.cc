#include "core/store/local_directory.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/store/checksum.h"

namespace slipway {

LocalDirectory::LocalDirectory(const StoreOptions& options, DataPlane& plane, Counters& counters)
    : options_(options), plane_(plane), counters_(counters), segments_(std::make_shared<const SegmentList>()) {}

LocalDirectory::~LocalDirectory() {
  for (Record* record : keys_.TakeIf([](Record&) { return true; })) LetGo(record);
  const std::shared_ptr<const SegmentList> all = segments();
  for (const auto& segment : *all) (void)segment->TearDown(0);  // what is left goes with the engine
}

std::shared_ptr<const LocalDirectory::SegmentList> LocalDirectory::segments() const {
  MutexLock lock(segments_mutex_);
  return segments_;
}

void LocalDirectory::Describe(Record& record, Ticket& ticket) {
  ticket.code = SLIPWAY_OK;
  ticket.record = &record;
  ticket.length = record.length;
  ticket.version = record.version;
  ticket.chunk_bytes = record.chunk_bytes;
  ticket.checksums = record.checksums();
  ticket.place_count = record.replica_count;
  for (size_t i = 0; i < record.replica_count; ++i) {
    const Replica& replica = record.replicas()[i];
    ticket.places[i] = {replica.segment->base() + replica.offset, replica.segment->kind(), replica.segment->open(),
                        replica.offset};
  }
}

// ---- writing
// ---------------------------------------------------------------------------------------------------------

void LocalDirectory::Begin(std::span<const WriteIntent> intents, const WritePolicy& policy, std::span<Ticket> tickets) {
  const std::shared_ptr<const SegmentList> all = segments();
  for (size_t i = 0; i < intents.size(); ++i) BeginOne(intents[i], policy, *all, tickets[i]);
}

void LocalDirectory::BeginOne(const WriteIntent& intent, const WritePolicy& policy, const SegmentList& segments,
                              Ticket& ticket) {
  const uint64_t hash = HashOfKey(intent.key);
  if (!policy.replace && keys_.Contains(intent.key, hash)) {
    ticket.code = SLIPWAY_EXISTS;
    return;
  }
  uint64_t largest = 0;
  for (const auto& segment : segments) largest = std::max(largest, segment->bytes());
  const uint64_t chunks = policy.checksum ? ChunkCount(intent.length, options_.chunk_bytes) : 0;
  if ((intent.length > largest && intent.length > 0) || chunks > UINT32_MAX) {
    ticket.Fail(segments.empty()
                    ? Status(SLIPWAY_E_NO_SPACE, "no segment is mounted: give the store one, in store.segments")
                    : Status(SLIPWAY_E_TOO_LARGE, std::to_string(intent.length) +
                                                      " bytes are more than the largest segment has, " +
                                                      std::to_string(largest)));
    return;
  }
  const uint32_t replicas = intent.length == 0 ? 0 : policy.replicas;
  Record* const record = Record::Make(intent.key, replicas, chunks);
  record->hash = hash;
  record->length = intent.length;
  record->chunk_bytes = static_cast<uint32_t>(options_.chunk_bytes);
  record->keep = policy.keep;
  Status placed = replicas == 0 ? Status() : Place(intent.length, policy, segments, record->replicas());
  if (!placed.ok()) {
    Record::Destroy(record);
    ticket.Fail(placed);
    return;
  }
  if (!policy.group.empty()) record->group = EnterGroup(policy.group);
  Describe(*record, ticket);
}

bool LocalDirectory::TryPlace(uint64_t length, const SegmentList& order, std::span<Replica> replicas) {
  size_t placed = 0;
  for (size_t i = 0; i < order.size() && placed < replicas.size(); ++i) {
    const std::optional<Allocator::Range> range = order[i]->Allocate(length);
    if (range) replicas[placed++] = {order[i].get(), range->offset, range->block};
  }
  if (placed == replicas.size()) {
    used_bytes_.fetch_add(placed * Allocator::Charge(length), std::memory_order_relaxed);
    return true;
  }
  while (placed > 0) {
    --placed;
    replicas[placed].segment->Free(replicas[placed].block);
  }
  return false;
}

Status LocalDirectory::Place(uint64_t length, const WritePolicy& policy, const SegmentList& segments,
                             std::span<Replica> replicas) {
  if (replicas.size() > segments.size()) {
    return Status(SLIPWAY_E_NO_SPACE, std::to_string(replicas.size()) + " replicas need as many segments, and " +
                                          std::to_string(segments.size()) + " are mounted");
  }
  const uint64_t bytes = replicas.size() * Allocator::Charge(length);
  if (IsCrowded(bytes) && reclaim_) reclaim_();
  if (IsCrowded(bytes)) {
    // Nothing is to go for a write that cannot succeed. Of a short one it does not matter: room has to be made anyway.
    constexpr uint64_t kLongShare = 16;
    if (bytes > total_bytes_.load(std::memory_order_relaxed) / kLongShare &&
        !CouldFit(length, replicas.size(), segments)) {
      return NoSpace(length, segments);
    }
    MakeRoom(bytes);
  }
  const SegmentList* order = &segments;
  SegmentList ordered;
  if (segments.size() > 1) {
    for (const std::string& name : policy.preferred) {
      for (const auto& segment : segments) {
        if (segment->name() == name) ordered.push_back(segment);
      }
    }
    // The others take turns.
    const size_t first = turn_.fetch_add(1, std::memory_order_relaxed) % segments.size();
    for (size_t i = 0; i < segments.size(); ++i) {
      const auto& segment = segments[(first + i) % segments.size()];
      if (std::find(ordered.begin(), ordered.end(), segment) == ordered.end()) ordered.push_back(segment);
    }
    order = &ordered;
  }
  if (TryPlace(length, *order, replicas)) return {};
  if (reclaim_) reclaim_();
  if (TryPlace(length, *order, replicas)) return {};
  if (!CouldFit(length, replicas.size(), segments)) return NoSpace(length, segments);
  // Each round frees at least one object, and there are only so many.
  while (EvictOne()) {
    if (TryPlace(length, *order, replicas)) return {};
  }
  return NoSpace(length, segments);
}

Status LocalDirectory::NoSpace(uint64_t length, const SegmentList& segments) {
  uint64_t free = 0, largest = 0;
  for (const auto& segment : segments) {
    const StoreSegment::Space space = segment->space();
    free += space.total - space.used;
    largest = std::max(largest, space.largest_free);
  }
  counters_.Add(Counter::kStoreNoSpace);
  return Status(SLIPWAY_E_NO_SPACE, std::to_string(length) + " bytes were asked for and " + std::to_string(free) +
                                        " are free, " + std::to_string(largest) +
                                        " of them in one piece; too much of the rest is pinned or in use: remove "
                                        "objects, or mount a larger segment");
}

void LocalDirectory::Commit(std::span<Ticket> tickets, const WritePolicy& policy) {
  for (Ticket& ticket : tickets) {
    if (ticket.ok() && ticket.record != nullptr) CommitOne(ticket, policy);
  }
}

void LocalDirectory::CommitOne(Ticket& ticket, const WritePolicy& policy) {
  Record* const record = std::exchange(ticket.record, nullptr);
  if (ticket.compute_checksums && record->replica_count > 0) {
    const Replica& first = record->replicas()[0];
    const char* bytes = first.segment->base() + first.offset;
    for (uint64_t i = 0; i < record->checksum_count; ++i) {
      const uint64_t at = i * record->chunk_bytes;
      record->checksums()[i] = HashBytes(bytes + at, std::min<uint64_t>(record->chunk_bytes, record->length - at));
    }
  }
  record->version = versions_.fetch_add(1, std::memory_order_relaxed) + 1;
  ticket.version = record->version;
  if (record->group != 0) JoinGroup(record);
  const KeyMap::Outcome outcome = keys_.Insert(record, policy.replace ? KeyMap::Mode::kReplace : KeyMap::Mode::kNew);
  if (!outcome.inserted) {
    ticket.code = SLIPWAY_EXISTS;
    LetGo(record);
    return;
  }
  counters_.Add(Counter::kStoreWrites);
  if (outcome.replaced != nullptr) {
    LetGo(outcome.replaced);
  } else {
    counters_.Add(Counter::kStoreObjects);
  }
}

void LocalDirectory::Abort(Ticket& ticket, bool may_be_written) {
  Record* const record = std::exchange(ticket.record, nullptr);
  if (record == nullptr) return;
  if (may_be_written) {
    record->abandoned = true;
    counters_.Add(Counter::kStoreLostBytes, record->replica_count * Allocator::Charge(record->length));
  }
  Drop(record);
}

void LocalDirectory::LetGo(Record* record) {
  if (record->group != 0) LeaveGroup(record);
  Drop(record);
}

void LocalDirectory::Drop(Record* record) {
  if (record->references.fetch_sub(1, std::memory_order_acq_rel) == 1) GiveBack(record);
}

void LocalDirectory::GiveBack(Record* record) {
  Record* const successor = record->successor;
  if (record->group != 0) ExitGroup(record->group);
  for (const Replica& replica : record->replicas()) {
    if (record->abandoned) break;
    if (successor != nullptr && std::any_of(successor->replicas().begin(), successor->replicas().end(),
                                            [&](const Replica& other) { return other.segment == replica.segment; })) {
      continue;
    }
    used_bytes_.fetch_sub(Allocator::Charge(record->length), std::memory_order_relaxed);
    replica.segment->Free(replica.block);
  }
  Record::Destroy(record);
  if (successor != nullptr) Drop(successor);
}

// ---- reading
// ---------------------------------------------------------------------------------------------------------

void LocalDirectory::Lookup(std::span<const std::string_view> keys, bool, uint64_t, std::span<Ticket> tickets) {
  for (size_t i = 0; i < keys.size(); ++i) {
    Record* const record = keys_.Find(keys[i], HashOfKey(keys[i]), true);
    if (record != nullptr) {
      Describe(*record, tickets[i]);
      counters_.Add(Counter::kStoreHits);
    } else {
      tickets[i].Fail(Status(SLIPWAY_E_NOT_FOUND, "there is no object under this key"));
      counters_.Add(Counter::kStoreMisses);
    }
  }
}

void LocalDirectory::Release(std::span<Ticket> tickets) {
  for (Ticket& ticket : tickets) {
    if (Record* record = std::exchange(ticket.record, nullptr)) Drop(record);
  }
}

namespace {

ObjectStat StatOf(Record& record) {
  ObjectStat stat;
  stat.code = SLIPWAY_OK;
  stat.length = record.length;
  stat.version = record.version;
  stat.keep = record.keep;
  stat.replicas = record.replica_count;
  stat.checksummed = record.checksum_count > 0;
  return stat;
}

}  // namespace

Status LocalDirectory::Stat(std::span<const std::string_view> keys, std::span<ObjectStat> out) {
  for (size_t i = 0; i < keys.size(); ++i) {
    Record* const record = keys_.Find(keys[i], HashOfKey(keys[i]), false);
    if (record == nullptr) continue;
    out[i] = StatOf(*record);
    Drop(record);
  }
  return {};
}

Status LocalDirectory::Remove(std::span<const std::string_view> keys, std::span<slipway_status> out) {
  for (size_t i = 0; i < keys.size(); ++i) {
    Record* const record = keys_.Remove(keys[i], HashOfKey(keys[i]));
    out[i] = record != nullptr ? slipway_status{SLIPWAY_OK} : slipway_status{SLIPWAY_E_NOT_FOUND};
    if (record == nullptr) continue;
    counters_.Sub(Counter::kStoreObjects);
    LetGo(record);
  }
  return {};
}

Result<uint64_t> LocalDirectory::RemoveAll(std::string_view prefix) {
  const std::vector<Record*> taken = keys_.TakeIf([&](Record& record) { return record.key().starts_with(prefix); });
  for (Record* record : taken) LetGo(record);
  counters_.Sub(Counter::kStoreObjects, taken.size());
  return taken.size();
}

Result<std::vector<ObjectStat>> LocalDirectory::List(std::string_view prefix, std::string_view after, size_t most) {
  std::vector<ObjectStat> list;
  const auto by_key = [](const ObjectStat& a, const ObjectStat& b) { return a.key < b.key; };
  keys_.ForEach([&](Record& record) {
    const std::string_view key = record.key();
    if (!key.starts_with(prefix) || key <= after) return;
    if (list.size() == most && key >= list.front().key) return;
    ObjectStat stat = StatOf(record);
    stat.key = key;
    // A heap whose top is the last of the `most` first keys so far.
    list.push_back(std::move(stat));
    std::push_heap(list.begin(), list.end(), by_key);
    if (list.size() <= most) return;
    std::pop_heap(list.begin(), list.end(), by_key);
    list.pop_back();
  });
  std::sort_heap(list.begin(), list.end(), by_key);
  return list;
}

}  // namespace slipway
