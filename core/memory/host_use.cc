#include "core/memory/host_use.h"

#include <algorithm>

namespace slipway {

HostUse::~HostUse() {
  for (size_t i = 0; i < count_; ++i) Tell(parts_[i]);
}

void HostUse::Grow(Part& part, uint64_t addr, uint64_t bytes, uint64_t piece_bytes) {
  part.first = std::min(part.first, addr);
  part.bytes += bytes;
  part.longest = std::max(part.longest, piece_bytes);
}

HostUse::Part& HostUse::Find(uint64_t addr) {
  for (size_t i = 0; i < count_; ++i) {
    const Part& p = parts_[i];
    if (addr - p.begin < p.end - p.begin) return parts_[recent_ = i];
  }
  if (count_ < kParts) {
    recent_ = count_++;
  } else {  // the oldest gives way, is told of now, and may come again
    recent_ = oldest_++ % kParts;
    Tell(parts_[recent_]);
  }
  const PinCache::Place place = cache_.Locate(who_, addr);
  return parts_[recent_] = {place.begin, place.end, UINT64_MAX, 0, 0, place.declared};
}

void HostUse::AddParts(uint64_t addr, uint64_t length) {
  for (uint64_t left = length; left > 0;) {
    Part& part = Find(addr);
    const uint64_t bytes = std::min(left, part.end - addr);
    Grow(part, addr, bytes, left);
    addr += bytes;
    left -= bytes;
  }
}

void HostUse::Tell(const Part& part) {
  if (!part.declared) return;
  LeaseQuery query;
  query.who = who_;
  query.addr = part.first;
  query.length = std::max(part.bytes, part.longest);
  query.access = SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE;
  query.now_ns = cache_.NowNs();
  ExtentLease lease;
  const LeaseAnswer answer = cache_.TryLease(query, &lease);
  if (answer == LeaseAnswer::kGranted) cache_.Return(lease);
  if (answer == LeaseAnswer::kStage) cache_.Copied(who_, part.first, std::min(part.bytes, lease.bytes), query.now_ns);
}

}  // namespace slipway
