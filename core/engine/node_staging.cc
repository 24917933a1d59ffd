// A node's staging pool: made where something may need it, registered with the transports and pinned by the providers.
// And the pins of what it publishes.
#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "core/engine/node.h"

namespace slipway {
namespace {

// How long withdrawing a segment waits for what is being pinned of it just now.
constexpr uint64_t kUnpinNs = 5'000'000'000;

// Of the first device that needs registered memory; -1: unknown.
int32_t NumaNodeOf(const std::vector<std::unique_ptr<Transport>>& transports) {
  for (const auto& t : transports) {
    if (t->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) return t->attrs().numa_node;
  }
  return -1;
}

}  // namespace

// A transport with which registering does not work still serves what need not be staged.
Status Node::StartStaging(Dispatcher::Parts* parts) {
  const size_t n = transports_.size();
  parts->pool_mrs.assign(n, nullptr);
  parts->pool_ready.assign(n, false);
  pool_registrations_.resize(n);
  const bool wanted = std::any_of(transports_.begin(), transports_.end(), [&](const auto& t) {
    return t->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG) || t->attrs().local_align > 1 ||
           (providers_.kinds() & ~t->attrs().mem_kinds) != 0;
  });
  if (!wanted || options_.memory.staging.bytes == 0) return {};
  SLIPWAY_RETURN_IF_ERROR(CheckBudget());
  Result<std::unique_ptr<StagingPool>> pool =
      StagingPool::Create(options_.memory.staging.bytes, NumaNodeOf(transports_));
  if (!pool.ok()) return pool.status();
  pool_ = std::move(*pool);
  RegisterPool(parts);
  PinPool();
  parts->pool = pool_.get();
  return {};
}

// An explicit budget must hold what cannot be done without: the pool, as often as it is pinned, and two of the largest
// slices beside it.
Status Node::CheckBudget() const {
  if (options_.memory.budget_bytes == 0) return {};
  uint64_t need = 0, slices = 0;
  std::string names;
  for (const auto& t : transports_) {
    if (!t->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG) || t->attrs().pins_per_reg == 0) continue;
    need += options_.memory.staging.bytes * t->attrs().pins_per_reg;
    // A slice of a transport without a limit is as long as the pool lets it be.
    const uint64_t slice = std::min(t->attrs().preferred_slice_bytes, options_.memory.staging.chunk_bytes);
    slices = std::max(slices, 2 * slice * t->attrs().pins_per_reg);
    names += (names.empty() ? "" : ", ") + t->name();
  }
  need += slices;
  if (need <= budget_->cap_bytes()) return {};
  return Status(SLIPWAY_E_CONFIG_CONFLICT, source_ + ": /memory/budget_bytes: found " +
                                               FormatSize(options_.memory.budget_bytes) + ", expected at least " +
                                               FormatSize(need) + ": the staging pool and two slices of " + names +
                                               " must fit; raise it, or lower /memory/staging/bytes");
}

template <typename PinnerT>
uint32_t Node::AddPinner(std::unique_ptr<PinnerT> pinner) {
  const uint32_t who = cache_->AddPinner(*pinner, pinner->Traits());
  pinners_.push_back(std::move(pinner));
  cache_->Measure(who);
  return who;
}

// The cache that pins on demand, for the transports that need registration and the providers whose devices copy host
// memory faster where it is pinned.
void Node::StartCache(Dispatcher::Parts* parts) {
  if (options_.memory.pin_policy != PinPolicy::kOnDemand) return;
  parts->pinners.assign(transports_.size(), -1);
  cache_ = std::make_unique<PinCache>(
      PinCache::Parts{options_.memory.cache, budget_.get(), &clock_, log_.get(), &counters_});
  for (size_t i = 0; i < transports_.size(); ++i) {
    if (!transports_[i]->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) continue;
    parts->pinners[i] = AddPinner(std::make_unique<TransportPinner>(*transports_[i]));
  }
  std::vector<int64_t> of_providers;
  for (const MemoryProvider& p : providers_.all()) {
    of_providers.push_back(p.CanPin() ? int64_t{AddPinner(std::make_unique<ProviderPinner>(p, *copies_))} : -1);
  }
  if (copies_ != nullptr) copies_->PinWith(*cache_, std::move(of_providers));
  parts->cache = cache_.get();
  parts->pin_wait_ns = options_.memory.cache.room_wait_ms * 1'000'000;
  budget_->SetReclaimer([this](uint64_t bytes) { cache_->MakeRoom(bytes); });
}

void Node::RegisterPool(Dispatcher::Parts* parts) {
  for (size_t i = 0; i < transports_.size(); ++i) {
    Transport& t = *transports_[i];
    if (!t.Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) {
      parts->pool_ready[i] = true;
      continue;
    }
    // One registration: a staged slice names one.
    Result<std::vector<Registration*>> made = t.ledger().Register(
        pool_->base(), pool_->bytes(), SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE, SLIPWAY_MEM_HOST);
    if (made.ok() && made->size() == 1) {
      parts->pool_mrs[i] = made->front()->mr;
      parts->pool_ready[i] = true;
      pool_registrations_[i] = std::move(*made);
      continue;
    }
    if (made.ok()) (void)t.ledger().Deregister(*made, 0);
    log_->Warning("nothing can be staged over " + t.name() + ": " +
                  (made.ok() ? "the pool is larger than its largest registration; lower memory.staging.bytes"
                             : made.status().message()));
  }
}

void Node::PinPool() {
  std::vector<std::string> warnings;
  pool_pins_ = pins_->Pin(pool_->base(), pool_->bytes(), &warnings);
  for (std::string& w : warnings) w = "the staging pool: " + w;
  Warn(warnings);
}

void Node::UnpinPool() {
  std::vector<std::string> warnings;
  pins_->Unpin(std::exchange(pool_pins_, {}), &warnings);
  Warn(warnings);
}

// A segment of host memory is pinned by the providers for as long as peers know it, where the policy is to pin all, or
// when it is used. The transports have registered it anyway.
void Node::PinSegment(const std::string& name, std::span<const Span> spans, uint64_t kind) {
  if (kind != SLIPWAY_MEM_HOST || providers_.kinds() == 0) return;
  SegmentPins& segment = segment_pins_[name];
  std::vector<std::string> warnings;
  for (const Span& span : spans) {
    if (cache_ != nullptr) {
      cache_->Declare(reinterpret_cast<uint64_t>(span.address), span.length, kind, PinFor::kDevices);
      segment.on_demand.push_back(span);
    } else if (options_.memory.pin_policy == PinPolicy::kWholeRegion) {
      const std::vector<HostPin> more = pins_->Pin(span.address, span.length, &warnings);
      segment.pins.insert(segment.pins.end(), more.begin(), more.end());
    }
  }
  for (std::string& w : warnings) w = "segment \"" + name + "\": " + w;
  Warn(warnings);
}

// Nobody copies it any more, as it was withdrawn.
void Node::UnpinSegment(const std::string& name) {
  const auto found = segment_pins_.find(name);
  if (found == segment_pins_.end()) return;
  std::vector<std::string> warnings;
  pins_->Unpin(found->second.pins, &warnings);
  for (const Span& span : found->second.on_demand) {
    const Status status =
        cache_->Undeclare(reinterpret_cast<uint64_t>(span.address), span.length, kUnpinNs, PinFor::kDevices);
    if (!status.ok()) warnings.push_back(status.message());
  }
  segment_pins_.erase(found);
  for (std::string& w : warnings) w = "segment \"" + name + "\": " + w;
  Warn(warnings);
}

void Node::UnpinSegments() {
  MutexLock lock(segments_mutex_);
  while (!segment_pins_.empty()) UnpinSegment(std::string(segment_pins_.begin()->first));
}

// A declared region of host memory is pinned by the providers, where the policy is to pin all.
void Node::PinRegion(void* addr, uint64_t length) {
  if (options_.memory.pin_policy != PinPolicy::kWholeRegion || providers_.kinds() == 0) return;
  if (KindOf(addr, length) != SLIPWAY_MEM_HOST) return;
  std::vector<std::string> warnings;
  {
    MutexLock lock(region_pins_mutex_);
    std::vector<HostPin>& pins = region_pins_[{addr, length}];
    if (pins.empty()) pins = pins_->Pin(addr, length, &warnings);
  }
  Warn(warnings);
}

void Node::UnpinRegion(void* addr, uint64_t length) {
  std::vector<std::string> warnings;
  {
    MutexLock lock(region_pins_mutex_);
    const auto found = region_pins_.find({addr, length});
    if (found == region_pins_.end()) return;
    pins_->Unpin(found->second, &warnings);
    region_pins_.erase(found);
  }
  Warn(warnings);
}

void Node::UnpinRegions() {
  std::vector<std::string> warnings;
  MutexLock lock(region_pins_mutex_);
  for (const auto& [range, pins] : region_pins_) pins_->Unpin(pins, &warnings);
  region_pins_.clear();
  Warn(warnings);
}

}  // namespace slipway
