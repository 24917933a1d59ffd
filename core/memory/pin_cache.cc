#include "core/memory/pin_cache.h"

#include <algorithm>
#include <cassert>

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

CacheOptions Checked(CacheOptions options) {
  assert((options.chunk_bytes & (options.chunk_bytes - 1)) == 0);
  options.low_watermark_percent = std::min(options.low_watermark_percent, options.high_watermark_percent);
  return options;
}

}  // namespace

PinCache::PinCache(const Parts& parts)
    : options_(Checked(parts.options)),
      admission_{parts.options.window_ms * kNsPerMs, parts.options.pin_from_bytes},
      budget_(*parts.budget),
      clock_(*parts.clock),
      log_(*parts.log),
      counters_(*parts.counters) {}

PinCache::~PinCache() { Stop(); }

uint32_t PinCache::AddPinner(Pinner& pinner, const PinnerTraits& traits) {
  clients_.push_back(std::make_unique<Client>(pinner, traits));
  return static_cast<uint32_t>(clients_.size() - 1);
}

// One compare-and-swap where nobody interferes. `word` is what the lookup read: of another generation the extent may be
// another region's.
bool PinCache::TakeLease(Extent* extent, uint64_t word, const LeaseQuery& query) {
  const uint64_t generation = ExtentWord::GenerationOf(word);
  while (ExtentWord::Leasable(word) && ExtentWord::GenerationOf(word) == generation) {
    const uint64_t leased = (word | ExtentWord::kUsed) + ExtentWord::kOneLease;
    if (!extent->word.compare_exchange_weak(word, leased, std::memory_order_acquire, std::memory_order_relaxed)) {
      continue;
    }
    if ((extent->access & query.access) != query.access) {
      // Nobody is told: who waits for leases looks again by itself, and the caller may hold the lock.
      extent->word.fetch_sub(ExtentWord::kOneLease);
      return false;
    }
    extent->last_used_ns.store(query.now_ns, std::memory_order_relaxed);
    return true;
  }
  return false;
}

LeaseAnswer PinCache::TryLease(const LeaseQuery& query, ExtentLease* lease) {
  Client& client = *clients_[query.who];
  ExtentTable::Found found;
  if (!client.table.Find(query.addr, &found)) return Miss(query, lease);
  *lease = {nullptr, 0, std::min(query.length, found.bytes)};
  if (found.extent == nullptr) return LeaseAnswer::kNotDeclared;
  if (lease->bytes < query.length && query.whole) return Miss(query, lease);
  if (!TakeLease(found.extent, found.word, query)) return Miss(query, lease);
  lease->first = found.extent;
  lease->count = 1;
  counters_.Add(Counter::kPinHits);
  return LeaseAnswer::kGranted;
}

// Everything but the plain hit: several extents at once, and what is not pinned.
LeaseAnswer PinCache::Miss(const LeaseQuery& query, ExtentLease* lease) {
  MutexLock lock(mutex_);
  ExtentTable::Found found;
  [[maybe_unused]] const bool still = clients_[query.who]->table.Find(query.addr, &found);
  assert(still);  // it changes under the lock only
  *lease = {nullptr, 0, std::min(query.length, found.bytes)};
  if (found.extent == nullptr) return LeaseAnswer::kNotDeclared;
  uint32_t count = 1;
  if (query.whole) {
    // Beyond one grid no lease reaches: such a range is copied as a whole, or asked about in parts.
    lease->bytes = std::min(query.length, found.grid.end - query.addr);
    if (lease->bytes == query.length) {
      count = static_cast<uint32_t>(found.grid.At(query.addr + query.length - 1) - found.extent + 1);
    }
  }
  uint32_t taken = 0;
  while (taken < count) {
    Extent* const extent = found.extent + taken;
    if (!TakeLease(extent, extent->word.load(std::memory_order_acquire), query)) break;
    ++taken;
  }
  if (taken == count && (!query.whole || lease->bytes == query.length)) {
    lease->first = found.extent;
    lease->count = count;
    counters_.Add(Counter::kPinHits);
    return LeaseAnswer::kGranted;
  }
  // All of them or none.
  lock.Unlock();
  for (uint32_t i = 0; i < taken; ++i) ReturnOne(found.extent + i);
  lock.Lock();
  if (query.whole && lease->bytes < query.length) return LeaseAnswer::kStage;
  // The region may have gone meanwhile.
  if (!clients_[query.who]->table.Find(query.addr, &found) || found.extent == nullptr) {
    return LeaseAnswer::kNotDeclared;
  }
  return Decide(query, found, count);
}

// What becomes of a range of which something is not pinned. Queues what is to be pinned.
LeaseAnswer PinCache::Decide(const LeaseQuery& query, const ExtentTable::Found& found, uint64_t count) {
  Client& client = *clients_[query.who];
  Job job;
  job.who = query.who;
  job.access = query.access;
  job.region = found.extent->region;
  job.colder_than_ns = UINT64_MAX;
  bool pending = false;
  for (uint64_t i = 0; i < count; ++i) {
    Extent* const extent = found.extent + i;
    const uint64_t word = extent->word.load(std::memory_order_acquire);
    switch (ExtentWord::StateOf(word)) {
      case ExtentWord::kPinned:
        if (!ExtentWord::Leasable(word) || (extent->access & query.access) != query.access) return LeaseAnswer::kStage;
        break;
      case ExtentWord::kRegistering:
        pending = true;
        break;
      case ExtentWord::kAbsent:
      case ExtentWord::kFailed:
        if (((!query.must_pin || ExtentWord::StateOf(word) == ExtentWord::kFailed) &&
             query.now_ns < extent->retry_ns) ||
            (word & ExtentWord::kClosing) != 0 || stopping_ || !WorthPinning(query, *extent, &job.colder_than_ns)) {
          return LeaseAnswer::kStage;
        }
        job.extents.push_back(extent);
        break;
      default:
        return LeaseAnswer::kStage;
    }
  }
  for (Extent* extent : job.extents) {
    const PinRegion::Bounds bounds = extent->region->BoundsOf(query.who, *extent);
    extent->begin = bounds.begin;
    extent->end = bounds.end;
    extent->who = query.who;
    extent->charged_bytes = (extent->end - extent->begin) * client.traits.pins_per_byte;
    extent->word.store(ExtentWord::With(extent->word.load(std::memory_order_relaxed), ExtentWord::kRegistering));
    job.charge_bytes += extent->charged_bytes;
    job.estimate_ns += client.pin_cost.EstimateNs(extent->end - extent->begin);
  }
  if (job.extents.empty() && !pending) return LeaseAnswer::kStage;  // pinned just now, or let go of
  if (!job.extents.empty()) {
    counters_.Add(Counter::kPinMisses, job.extents.size());
    job.deadline_ns = std::max(query.deadline_ns, DeadlineAfter(query.now_ns, options_.room_wait_ms * kNsPerMs));
    backlog_ns_ += job.estimate_ns;
    jobs_.push_back(std::move(job));
    work_.NotifyOne();
  }
  // Waiting pays where all that is to be pinned first is pinned sooner than this range is copied.
  const bool cheaper = query.must_pin || backlog_ns_ <= client.copy_cost.EstimateNs(query.length);
  if (query.now_ns >= query.deadline_ns || !cheaper) {
    return LeaseAnswer::kStage;
  }
  if (pending) counters_.Add(Counter::kPinFlightWaits);
  return LeaseAnswer::kWait;
}

bool PinCache::WorthPinning(const LeaseQuery& query, const Extent& extent, uint64_t* colder_than_ns) {
  if (query.must_pin) return true;  // and whatever is idle makes room
  const Client& client = *clients_[query.who];
  const auto [begin, end] = extent.region->BoundsOf(query.who, extent);
  const uint64_t from = std::max(query.addr, begin);
  AdmissionRule::Touch touch;
  touch.request_bytes = query.length;
  touch.now_ns = query.now_ns;
  touch.offset = from - begin;
  touch.copy_ns = client.copy_cost.EstimateNs(std::min(query.addr + query.length, end) - from);
  touch.pin_ns = client.pin_cost.EstimateNs(end - begin);
  touch.copied_end = extent.copied_end;
  touch.copied_ns = extent.copied_ns;
  touch.copied_cost_ns = extent.copied_cost_ns;
  if (!admission_.WorthPinning(touch)) return false;
  // For something seen again, only what was not used since it was seen first makes room: otherwise a working set larger
  // than the budget would unpin, round after round, exactly what it needs next. For a first touch, what nobody used for
  // the whole window.
  const uint64_t window_begin_ns = query.now_ns - std::min(query.now_ns, admission_.window_ns);
  *colder_than_ns = std::min(*colder_than_ns, admission_.SeenAgain(touch) ? extent.copied_ns : window_begin_ns);
  return true;
}

LeaseAnswer PinCache::Lease(LeaseQuery query, ExtentLease* lease) {
  for (;;) {
    const LeaseAnswer answer = TryLease(query, lease);
    if (answer != LeaseAnswer::kWait) return answer;
    if (!thread_.joinable()) {
      if (!RunOnce()) query.deadline_ns = 0;  // nobody else would pin it
    } else {
      MutexLock lock(mutex_);
      const uint64_t now_ns = clock_.NowNs();
      if (now_ns < query.deadline_ns) {
        // Bounded, since the change may have come before the lock.
        moved_.WaitFor(mutex_, std::chrono::nanoseconds(std::min(query.deadline_ns - now_ns, kNsPerMs)));
      }
    }
    query.now_ns = clock_.NowNs();
  }
}

void PinCache::ReturnOne(Extent* extent) {
  const uint64_t before = extent->word.fetch_sub(ExtentWord::kOneLease);
  assert(ExtentWord::LeasesOf(before) > 0);
  if (ExtentWord::LeasesOf(before) > 1) return;
  // Sequentially consistent, as are the store and the look of whoever waits: one of the two sees the other.
  if ((before & ExtentWord::kClosing) == 0 && !room_wanted_.load()) return;
  MutexLock lock(mutex_);
  moved_.NotifyAll();
  work_.NotifyOne();
}

void PinCache::Return(const ExtentLease& lease) {
  for (uint32_t i = 0; i < lease.count; ++i) ReturnOne(lease.first + i);
}

void PinCache::Copied(uint32_t who, uint64_t addr, uint64_t length, uint64_t now_ns) {
  counters_.Add(Counter::kPinStagedInstead);
  Client& client = *clients_[who];
  MutexLock lock(mutex_);
  while (length > 0) {
    ExtentTable::Found found;
    (void)client.table.Find(addr, &found);
    const uint64_t bytes = std::min(length, found.bytes);
    if (Extent* const extent = found.extent; extent != nullptr) {
      const uint64_t offset = addr - extent->region->BoundsOf(who, *extent).begin;
      if (now_ns - extent->copied_ns > admission_.window_ns) extent->copied_end = extent->copied_cost_ns = 0;
      extent->copied_end = std::max(extent->copied_end, offset + bytes);
      extent->copied_ns = now_ns;
      extent->copied_cost_ns += client.copy_cost.EstimateNs(bytes);
    }
    addr += bytes;
    length -= bytes;
  }
}

PinCache::Place PinCache::Locate(uint32_t who, uint64_t addr) const {
  const ExtentTable& table = clients_[who]->table;
  ExtentTable::Found found;
  if (!table.Find(addr, &found)) {
    MutexLock lock(mutex_);
    (void)table.Find(addr, &found);  // it changes under the lock only
  }
  const uint64_t end = addr + std::min(found.bytes, UINT64_MAX - addr);
  if (found.extent == nullptr) return {addr, end, false};
  return {std::max(found.grid.begin, addr >> found.grid.shift << found.grid.shift), end, true};
}

Extent* PinCache::Peek(uint32_t who, uint64_t addr, uint64_t length, uint32_t access, uint64_t* bytes) const {
  const Client& client = *clients_[who];
  ExtentTable::Found found;
  *bytes = length;
  if (!client.table.Find(addr, &found)) return nullptr;
  *bytes = std::min(length, found.bytes);
  if (found.extent == nullptr || !ExtentWord::Leasable(found.word)) return nullptr;
  MutexLock lock(mutex_);
  const uint64_t word = found.extent->word.load(std::memory_order_acquire);
  const bool same = ExtentWord::GenerationOf(word) == ExtentWord::GenerationOf(found.word);
  return ExtentWord::Leasable(word) && same && (found.extent->access & access) == access ? found.extent : nullptr;
}

std::vector<PinCache::View> PinCache::Views() const {
  std::vector<View> views;
  MutexLock lock(mutex_);
  for (const auto& c : clients_) {
    View v;
    v.name = c->traits.name;
    v.pinned = c->pinned;
    v.pinned_bytes = c->pinned_bytes;
    v.charged_bytes = c->charged_bytes;
    v.learned_cap_bytes = c->learned_cap_bytes == PinBudget::kNoCap ? 0 : c->learned_cap_bytes;
    v.stuck = c->stuck;
    v.pin_fixed_ns = c->pin_cost.fixed_ns();
    v.pin_ns_per_mib = c->pin_cost.ns_per_mib();
    v.copy_fixed_ns = c->copy_cost.fixed_ns();
    v.copy_ns_per_mib = c->copy_cost.ns_per_mib();
    views.push_back(std::move(v));
  }
  return views;
}

}  // namespace slipway
