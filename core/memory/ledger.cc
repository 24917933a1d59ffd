#include "core/memory/ledger.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "core/base/bytes.h"

namespace slipway {

Ledger::Ledger(Registrar& registrar, const Limits& limits, PinBudget& budget, Counters& counters)
    : registrar_(registrar), limits_(limits), budget_(budget), counters_(counters) {}

Ledger::~Ledger() { Abandon(); }

uint64_t Ledger::ChargeFor(const char* addr, uint64_t length) const {
  const uint64_t begin = RoundDown(reinterpret_cast<uint64_t>(addr), limits_.page_bytes);
  const uint64_t end = RoundUp(reinterpret_cast<uint64_t>(addr) + length, limits_.page_bytes);
  return (end - begin) * limits_.pins_per_reg;
}

// Made, and not yet found by lookups.
Result<std::unique_ptr<Registration>> Ledger::RegisterOne(char* addr, uint64_t length, uint32_t access,
                                                          uint64_t mem_kind) {
  const uint64_t charge = ChargeFor(addr, length);
  if (!budget_.Reserve(charge)) {
    counters_.Add(Counter::kRegisterRefused);
    return Status(SLIPWAY_E_PIN_BUDGET, "registering " + FormatSize(length) + " would pin " + FormatSize(charge) +
                                            " more than the " + FormatSize(budget_.used_bytes()) +
                                            " pinned now, above the cap of " + FormatSize(budget_.cap_bytes()) +
                                            ": raise memory.budget_bytes (or the memlock limit), or let it be staged");
  }
  slipway_range range{};
  range.struct_size = sizeof range;
  range.access = access;
  range.addr = addr;
  range.length = length;
  range.mem_kind = mem_kind;
  range.device_ordinal = -1;
  range.dmabuf_fd = -1;
  Result<slipway_mr*> mr = registrar_.RegisterMemory(range);
  if (!mr.ok()) {
    budget_.Release(charge);
    counters_.Add(Counter::kRegisterRefused);
    return mr.status();
  }
  auto registration = std::make_unique<Registration>();
  registration->mr = *mr;
  registration->charged_bytes = charge;
  counters_.Add(Counter::kRegistrations);
  counters_.Add(Counter::kRegisteredBytes, length);
  registration->bytes = length;
  return registration;
}

Result<std::vector<Registration*>> Ledger::Register(void* addr, uint64_t length, uint32_t access, uint64_t mem_kind) {
  RetryLeftover();
  std::vector<std::unique_ptr<Registration>> parts;
  char* const begin = static_cast<char*>(addr);
  uint64_t step = length;
  if (const uint64_t max = limits_.max_mr_bytes; max != 0) {
    step = max < limits_.page_bytes ? max : RoundDown(max, limits_.page_bytes);
  }
  Status failed;
  for (uint64_t done = 0; done < length && failed.ok();) {
    const uint64_t part = std::min(step, length - done);
    Result<std::unique_ptr<Registration>> one = RegisterOne(begin + done, part, access, mem_kind);
    if (one.ok()) {
      parts.push_back(std::move(*one));
    } else {
      failed = one.status();
    }
    done += part;
  }
  std::vector<Registration*> made;
  for (auto& part : parts) made.push_back(part.release());
  MutexLock lock(mutex_);
  for (const Registration* r : made) {
    ++totals_.registrations;
    totals_.registered_bytes += r->bytes;
    totals_.charged_bytes += r->charged_bytes;
  }
  // All of them are found at once, or, where one failed, none ever.
  if (failed.ok()) failed = Enter(made, reinterpret_cast<uint64_t>(begin), access);
  if (failed.ok()) return made;
  leftover_.insert(leftover_.end(), made.begin(), made.end());
  lock.Unlock();
  RetryLeftover();
  lock.Lock();
  return failed;
}

Status Ledger::Enter(const std::vector<Registration*>& made, uint64_t addr, uint32_t access) {
  try {
    for (Registration* r : made) {
      index_.Insert(*r, addr, r->bytes, access);
      addr += r->bytes;
    }
  } catch (const std::bad_alloc&) {
    for (Registration* r : made) {
      if (r->indexed()) index_.Erase(*r);
    }
    return Status(SLIPWAY_E_NOMEM, "no memory to remember the registrations: free some and try again");
  }
  return {};
}

void Ledger::RetryLeftover() {
  std::vector<Registration*> tried;
  {
    MutexLock lock(mutex_);
    tried.swap(leftover_);
  }
  for (Registration* r : tried) {
    if (DeregisterOne(r).code() != SLIPWAY_E_REGION_BUSY) continue;
    MutexLock lock(mutex_);
    leftover_.push_back(r);
  }
}

void Ledger::Reopen(const std::vector<Registration*>& registrations) {
  for (Registration* r : registrations) index_.Insert(*r, r->start(), r->length(), r->access());
}

Status Ledger::Close(const std::vector<Registration*>& registrations, uint64_t timeout_ns) {
  using std::chrono::steady_clock;
  const auto until = steady_clock::now() + std::chrono::nanoseconds(std::min<uint64_t>(timeout_ns, INT64_MAX / 4));
  MutexLock lock(mutex_);
  for (Registration* r : registrations) {
    if (r->indexed()) index_.Erase(*r);  // not where there was no memory to reopen it
  }
  for (const Registration* r : registrations) {
    while (r->leases > 0) {
      const auto left = until - steady_clock::now();
      if (left.count() <= 0) {
        Reopen(registrations);
        return Status(SLIPWAY_E_REGION_BUSY, "requests in flight use the memory: wait for them or cancel them");
      }
      returned_.WaitFor(mutex_, left);
    }
  }
  return {};
}

Status Ledger::Deregister(std::vector<Registration*>& registrations, uint64_t timeout_ns) {
  RetryLeftover();
  SLIPWAY_RETURN_IF_ERROR(Close(registrations, timeout_ns));
  Status first;
  while (!registrations.empty()) {
    Status status = DeregisterOne(registrations.back());
    if (status.code() == SLIPWAY_E_REGION_BUSY) {
      MutexLock lock(mutex_);
      Reopen(registrations);
      return status;
    }
    registrations.pop_back();
    if (first.ok()) first = std::move(status);
  }
  return first;
}

Status Ledger::DeregisterOne(Registration* registration) {
  Status status = registrar_.DeregisterMemory(registration->mr);
  if (status.code() == SLIPWAY_E_BUSY) return Status(SLIPWAY_E_REGION_BUSY, status.message());
  MutexLock lock(mutex_);
  if (!status.ok()) {
    // The pages may still be pinned: the charge stays, and the record is kept to the instance's end.
    counters_.Add(Counter::kDeregisterFailed);
    undead_.emplace_back(registration);
    return status;
  }
  counters_.Add(Counter::kDeregistrations);
  counters_.Add(Counter::kDeregisteredBytes, registration->bytes);
  budget_.Release(registration->charged_bytes);
  --totals_.registrations;
  totals_.registered_bytes -= registration->bytes;
  totals_.charged_bytes -= registration->charged_bytes;
  delete registration;
  return {};
}

void Ledger::Abandon() {
  MutexLock lock(mutex_);
  while (sdk::RegistrationNode* node = index_.any()) {
    auto* registration = static_cast<Registration*>(node);
    index_.Erase(*registration);
    delete registration;
  }
  for (Registration* r : leftover_) delete r;
  leftover_.clear();
  budget_.Release(totals_.charged_bytes);
  totals_ = {};
}

LocalCover Ledger::Cover(uint64_t addr, uint64_t length, uint32_t access) const {
  const sdk::RegistrationIndex::Prefix prefix = index_.LongestPrefix(addr, length, access);
  if (prefix.node != nullptr) return {static_cast<Registration*>(prefix.node), prefix.bytes};
  const sdk::RegistrationIndex::Next next = index_.NextStart(addr, access);
  return {nullptr, next.found ? std::min(length, next.start - addr) : length};
}

LocalCover Ledger::CoverAt(uint64_t addr, uint64_t length, uint32_t access) const {
  MutexLock lock(mutex_);
  return Cover(addr, length, access);
}

LocalCover Ledger::CoverWithLease(uint64_t addr, uint64_t length, uint32_t access) {
  MutexLock lock(mutex_);
  const LocalCover cover = Cover(addr, length, access);
  if (cover.registration != nullptr) ++cover.registration->leases;
  return cover;
}

void Ledger::ReturnLease(Registration* registration) {
  MutexLock lock(mutex_);
  if (--registration->leases == 0 && !registration->indexed()) returned_.NotifyAll();
}

Ledger::Totals Ledger::totals() const {
  MutexLock lock(mutex_);
  return totals_;
}

}  // namespace slipway
