// What the slicer is told about local memory: what was pinned on demand, and what was registered at declaration.
#ifndef SLIPWAY_CORE_TRANSFER_COVERAGE_H_
#define SLIPWAY_CORE_TRANSFER_COVERAGE_H_

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "core/memory/ledger.h"
#include "core/memory/pin_cache.h"
#include "core/transfer/slicer.h"

namespace slipway {

// Where one transport's registrations come from. `cache` is null where nothing is pinned on demand for it.
struct CoverSource {
  Ledger* ledger = nullptr;
  PinCache* cache = nullptr;
  uint32_t who = 0;  // the transport's number with the cache
};

// Answers without a lease: for explaining and estimating.
class PlainCoverage final : public LocalCoverage {
 public:
  explicit PlainCoverage(const CoverSource& source) : source_(source) {}
  LocalCover CoverAt(uint64_t address, uint64_t length, uint32_t access) const override {
    const LocalCover cover = source_.ledger->CoverAt(address, length, access);
    if (source_.cache == nullptr || cover.covered()) return cover;
    uint64_t bytes = length;
    Extent* const extent = source_.cache->Peek(source_.who, address, length, access, &bytes);
    return {nullptr, extent != nullptr ? bytes : std::min(bytes, cover.bytes), extent};
  }

 private:
  const CoverSource source_;
};

// Answers once, and holds a lease on what it answered with.
class LeasingCoverage final : public LocalCoverage {
 public:
  // Of `query`, what does not depend on the address.
  LeasingCoverage(const CoverSource& source, const LeaseQuery& query) : source_(source), query_(query) {}
  ~LeasingCoverage() override { GiveBack(source_, registration_, extent_); }
  LeasingCoverage(const LeasingCoverage&) = delete;
  LeasingCoverage& operator=(const LeasingCoverage&) = delete;

  LocalCover CoverAt(uint64_t address, uint64_t length, uint32_t access) const override {
    assert(registration_ == nullptr && extent_ == nullptr);  // the slicer asks once a slice
    LeaseAnswer answer = LeaseAnswer::kNotDeclared;
    ExtentLease lease{nullptr, 0, length};
    if (source_.cache != nullptr) {
      LeaseQuery query = query_;
      query.addr = address;
      query.length = length;
      query.access = access;
      answer = source_.cache->TryLease(query, &lease);
      extent_ = lease.first;
      if (extent_ != nullptr) return {nullptr, lease.bytes, extent_};
    }
    const LocalCover cover = source_.ledger->CoverWithLease(address, lease.bytes, access);
    registration_ = cover.registration;
    wait_ = registration_ == nullptr && answer == LeaseAnswer::kWait;
    return cover;
  }

  // The range is about to be pinned: rather than stage it, ask again later.
  bool wait() const { return wait_; }
  // The lease becomes the caller's, who ends it with GiveBack.
  void Keep() {
    registration_ = nullptr;
    extent_ = nullptr;
  }
  static void GiveBack(const CoverSource& source, Registration* registration, Extent* extent) {
    if (registration != nullptr) source.ledger->ReturnLease(registration);
    if (extent != nullptr) source.cache->Return({extent, 1, 0});
  }

 private:
  const CoverSource source_;
  const LeaseQuery query_;
  mutable Registration* registration_ = nullptr;
  mutable Extent* extent_ = nullptr;
  mutable bool wait_ = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_COVERAGE_H_
