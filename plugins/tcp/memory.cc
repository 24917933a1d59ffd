#include "plugins/tcp/memory.h"

#include <limits>

namespace slipway::tcp {

slipway_status RegistrationTable::Add(Registration* r) {
  MutexLock lock(mutex_);
  if (free_.empty()) {
    if (slots_.size() >= std::numeric_limits<uint32_t>::max()) return SLIPWAY_E_NOMEM;
    // Room to give the slot back is made now, so that Remove() cannot fail.
    free_.reserve(slots_.size() + 1);
    slots_.emplace_back();
    free_.push_back(static_cast<uint32_t>(slots_.size() - 1));
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  slots_[index].registration = r;
  r->id_ = (uint64_t{++slots_[index].uses} << 32) | index;
  return SLIPWAY_OK;
}

RegistrationTable::Grant RegistrationTable::Acquire(const Frame& request) {
  const uint32_t index = static_cast<uint32_t>(request.registration);
  const uint32_t uses = static_cast<uint32_t>(request.registration >> 32);
  const uint32_t access = request.op == Op::kWrite ? SLIPWAY_ACCESS_REMOTE_WRITE : SLIPWAY_ACCESS_REMOTE_READ;
  MutexLock lock(mutex_);
  if (index >= slots_.size() || slots_[index].uses != uses || slots_[index].registration == nullptr ||
      slots_[index].registration->revoked_) {
    return {SLIPWAY_E_STALE_REMOTE, Counter::refused_unknown_registration};
  }
  Registration* r = slots_[index].registration;
  if (!EqualConstantTime(r->key, request.key)) return {SLIPWAY_E_STALE_REMOTE, Counter::refused_wrong_key};
  if ((r->granted & access) == 0) return {SLIPWAY_E_ACCESS, Counter::refused_access};
  if (request.offset > r->bytes || request.length > r->bytes - request.offset) {
    return {SLIPWAY_E_ACCESS, Counter::refused_range};
  }
  ++r->users_;
  return {SLIPWAY_OK, Counter::kCount, r, r->base + request.offset};
}

void RegistrationTable::Release(Registration* r) {
  MutexLock lock(mutex_);
  if (--r->users_ == 0 && r->revoked_) idle_.NotifyAll();
}

void RegistrationTable::Revoke(Registration* r) {
  MutexLock lock(mutex_);
  r->revoked_ = true;
}

void RegistrationTable::Restore(Registration* r) {
  MutexLock lock(mutex_);
  r->revoked_ = false;
}

bool RegistrationTable::WaitIdle(Registration* r, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (r->users_ != 0) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    idle_.WaitFor(mutex_, left);
  }
  return true;
}

void RegistrationTable::Remove(Registration* r) {
  MutexLock lock(mutex_);
  const uint32_t index = static_cast<uint32_t>(r->id_);
  slots_[index].registration = nullptr;
  // A slot whose count would wrap is never used again.
  if (slots_[index].uses != std::numeric_limits<uint32_t>::max()) free_.push_back(index);
}

}  // namespace slipway::tcp
