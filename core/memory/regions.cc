#include "core/memory/regions.h"

#include <algorithm>

namespace slipway {
namespace {

std::pair<uint64_t, uint64_t> KeyOf(const void* addr, uint64_t length) {
  return {reinterpret_cast<uint64_t>(addr), length};
}

}  // namespace

Status Regions::Declare(void* addr, uint64_t length, uint64_t mem_kind, DeclareMode mode,
                        std::vector<std::string>* warnings) {
  MutexLock lock(mutex_);
  const auto found = regions_.find(KeyOf(addr, length));
  if (found != regions_.end()) {
    // What an earlier, looser declare left out is made up for.
    SLIPWAY_RETURN_IF_ERROR(RegisterAll(addr, length, mode, &found->second, warnings));
    ++found->second.declared;
    return {};
  }
  Region region;
  region.declared = 1;
  region.mem_kind = mem_kind;
  const Status registered = RegisterAll(addr, length, mode, &region, warnings);
  if (!registered.ok()) {
    (void)DeregisterAll(KeyOf(addr, length), &region,
                        1'000'000'000);  // a moment old: slices that found it are soon done
    return registered;
  }
  regions_.emplace(KeyOf(addr, length), std::move(region));
  return {};
}

Status Regions::RegisterAll(void* addr, uint64_t length, DeclareMode mode, Region* region,
                            std::vector<std::string>* warnings) {
  region->registrations.resize(transports_.size());
  if (mode == DeclareMode::kNever) return {};
  if (mode == DeclareMode::kOnDemand) {
    if (std::exchange(region->on_demand, true)) return {};
    cache_->Declare(reinterpret_cast<uint64_t>(addr), length, region->mem_kind);
    return {};
  }
  for (size_t i = 0; i < transports_.size(); ++i) {
    if ((transports_[i].mem_kinds & region->mem_kind) == 0 || !region->registrations[i].empty()) continue;
    Result<std::vector<Registration*>> made = transports_[i].ledger->Register(
        addr, length, SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE, region->mem_kind);
    if (made.ok()) {
      region->registrations[i] = std::move(*made);
      continue;
    }
    if (mode == DeclareMode::kRequired) return made.status();
    warnings->push_back(made.status().message());
  }
  return {};
}

Status Regions::DeregisterAll(const Key& key, Region* region, uint64_t timeout_ns) {
  Status first;
  if (region->on_demand) {
    first = cache_->Undeclare(key.first, key.second, timeout_ns);
    if (first.code() == SLIPWAY_E_REGION_BUSY) return first;
    region->on_demand = false;
  }
  for (size_t i = 0; i < transports_.size(); ++i) {
    if (region->registrations[i].empty()) continue;
    Status status = transports_[i].ledger->Deregister(region->registrations[i], timeout_ns);
    if (status.code() == SLIPWAY_E_REGION_BUSY) return status;
    if (first.ok()) first = std::move(status);
  }
  return first;
}

Status Regions::Undeclare(void* addr, uint64_t length, uint64_t timeout_ns) {
  MutexLock lock(mutex_);
  const auto found = regions_.find(KeyOf(addr, length));
  if (found == regions_.end()) {
    return Status(SLIPWAY_E_NOT_DECLARED, "no region of exactly this address and length is declared");
  }
  if (found->second.declared > 1) {
    --found->second.declared;
    return {};
  }
  const bool on_demand = found->second.on_demand;
  Status status = DeregisterAll(found->first, &found->second, timeout_ns);
  if (status.code() == SLIPWAY_E_REGION_BUSY) {
    // As it was before: what is left may be used on.
    if (on_demand && !std::exchange(found->second.on_demand, true)) {
      cache_->Declare(found->first.first, length, found->second.mem_kind);
    }
    return status;
  }
  regions_.erase(found);
  return status;
}

uint64_t Regions::Count(const void* addr, uint64_t length) const {
  MutexLock lock(mutex_);
  const auto found = regions_.find(KeyOf(addr, length));
  return found == regions_.end() ? 0 : found->second.declared;
}

Regions::Holder Regions::FindHolder(uint64_t addr, uint64_t length) const {
  MutexLock lock(mutex_);
  auto after = regions_.upper_bound({addr, UINT64_MAX});
  if (after == regions_.begin()) return {};
  const auto& [key, region] = *std::prev(after);
  if (addr - key.first > key.second || length > key.second - (addr - key.first)) return {};
  return {key.first, key.second, region.mem_kind};
}

bool Regions::Overlaps(const void* addr, uint64_t length) const {
  const auto begin = reinterpret_cast<uint64_t>(addr);
  MutexLock lock(mutex_);
  return std::any_of(regions_.begin(), regions_.end(), [&](const auto& entry) {
    const auto& [at, bytes] = entry.first;
    return at < begin + length && begin < at + bytes;
  });
}

void Regions::Clear() {
  MutexLock lock(mutex_);
  for (auto& [key, region] : regions_) (void)DeregisterAll(key, &region, 0);
  regions_.clear();
}

std::vector<Regions::View> Regions::Views() const {
  MutexLock lock(mutex_);
  std::vector<View> views;
  for (const auto& [key, region] : regions_) {
    View view{key.first, key.second, region.declared, 0, region.mem_kind, region.on_demand};
    for (const auto& of_transport : region.registrations) view.registrations += of_transport.size();
    views.push_back(view);
  }
  return views;
}

}  // namespace slipway
