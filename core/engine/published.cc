#include "core/engine/published.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "core/base/bytes.h"

namespace slipway {
namespace {

std::string Hex(uint64_t v) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(v));
  return text.data();
}

Status NoSegment(const std::string& name) {
  return Status(SLIPWAY_E_NO_SEGMENT, "no segment \"" + name + "\" is published here");
}

}  // namespace

Published::Published(SegmentDescriptor self, std::vector<Transport*> transports, uint64_t max_segments,
                     Counters& counters)
    : self_(std::move(self)), transports_(std::move(transports)), max_segments_(max_segments), counters_(counters) {}

Status Published::CheckNew(const std::string& name, std::span<const Span> spans, uint32_t access) const {
  if (!IsSegmentName(name)) {
    return Status(SLIPWAY_E_INVALID, "a segment's name is 1 to 255 of A-Z a-z 0-9 . _ - /");
  }
  if (access == 0 || (access & ~(SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE)) != 0) {
    return Status(SLIPWAY_E_INVALID, "access is REMOTE_READ, REMOTE_WRITE or both");
  }
  if (spans.empty()) return Status(SLIPWAY_E_INVALID, "a segment needs at least one span");
  uint64_t total = 0;
  for (const Span& span : spans) {
    const auto begin = reinterpret_cast<uint64_t>(span.address);
    if (begin == 0 || span.length == 0 || Wraps(begin, span.length) || Wraps(total, span.length)) {
      return Status(SLIPWAY_E_INVALID, "a span is null, empty, or wraps around the address space");
    }
    total += span.length;
  }
  MutexLock lock(mutex_);
  if (segments_.contains(name)) {
    return Status(SLIPWAY_E_SEGMENT_EXISTS, "segment \"" + name + "\" is published already: withdraw it first");
  }
  if (segments_.size() >= max_segments_) {
    return Status(SLIPWAY_E_TOO_LARGE, "control.max_segments, " + std::to_string(max_segments_) + ", are published");
  }
  return {};
}

Result<TransportOffer> Published::Offer(size_t number, Segment* segment, uint32_t access) {
  Transport& transport = *transports_[number];
  if (transport.failed()) return transport.failure();
  TransportOffer offer;
  offer.protocol = transport.table().protocol;
  offer.protocol_min = transport.table().protocol_min;
  offer.protocol_max = transport.table().protocol_max;
  Result<std::string> address = transport.ExportAddress();
  if (!address.ok()) return address.status();
  offer.address = std::move(*address);
  if ((transport.attrs().mem_kinds & segment->descriptor.mem_kind) == 0) {
    return Status(SLIPWAY_E_UNSUPPORTED, transport.name() + " does not reach this kind of memory");
  }
  uint64_t offset = 0;
  for (const Span& span : segment->spans) {
    Result<std::vector<Registration*>> made =
        transport.ledger().Register(span.address, span.length, access, segment->descriptor.mem_kind);
    if (!made.ok()) return made.status();
    auto& all = segment->registrations[number];
    all.insert(all.end(), made->begin(), made->end());
    for (Registration* registration : *made) {
      Result<std::string> blob = transport.ExportRegistration(registration->mr);
      if (!blob.ok()) return blob.status();
      offer.registrations.push_back({offset, registration->bytes, std::move(*blob)});
      offset += registration->bytes;
    }
  }
  if (offer.registrations.size() > kMaxRegistrations) {
    return Status(SLIPWAY_E_TOO_LARGE, transport.name() + " needs " + std::to_string(offer.registrations.size()) +
                                           " registrations for the segment, more than the " +
                                           std::to_string(kMaxRegistrations) + " that can be offered");
  }
  return offer;
}

Status Published::Publish(const std::string& name, std::span<const Span> spans, uint32_t access, uint64_t mem_kind,
                          std::vector<std::string>* warnings) {
  MutexLock change(change_);
  SLIPWAY_RETURN_IF_ERROR(CheckNew(name, spans, access));
  Segment segment;
  segment.spans.assign(spans.begin(), spans.end());
  segment.registrations.resize(transports_.size());
  segment.descriptor = self_;
  segment.descriptor.name = name;
  for (const Span& span : spans) segment.descriptor.length += span.length;
  segment.descriptor.readable = (access & SLIPWAY_ACCESS_REMOTE_READ) != 0;
  segment.descriptor.writable = (access & SLIPWAY_ACCESS_REMOTE_WRITE) != 0;
  segment.descriptor.mem_kind = mem_kind;
  segment.descriptor.epoch = Hex(++epochs_);
  Status last(SLIPWAY_E_NO_ROUTE, "no transport is loaded that could serve a segment");
  for (size_t i = 0; i < transports_.size(); ++i) {
    Result<TransportOffer> offer = Offer(i, &segment, access);
    if (offer.ok()) {
      segment.descriptor.transports.push_back(std::move(*offer));
      continue;
    }
    last = offer.status();
    warnings->push_back("segment \"" + name + "\" is not offered over " + transports_[i]->name() + ": " +
                        last.message());
    (void)transports_[i]->ledger().Deregister(segment.registrations[i], 0);  // no peer has heard of them
  }
  if (segment.descriptor.transports.empty()) return last;
  counters_.Add(Counter::kSegmentsPublished);
  MutexLock lock(mutex_);
  segments_.emplace(name, std::move(segment));
  return {};
}

Status Published::DeregisterAll(Segment* segment) {
  Status first;
  for (size_t i = 0; i < transports_.size(); ++i) {
    Status status = transports_[i]->ledger().Deregister(segment->registrations[i], 0);
    // Busy goes before other failures: it is what trying again may mend.
    if (first.ok() || status.code() == SLIPWAY_E_REGION_BUSY) first = std::move(status);
  }
  return first;
}

Status Published::Withdraw(const std::string& name) {
  MutexLock change(change_);
  std::map<std::string, Segment>::node_type taken;
  {
    MutexLock lock(mutex_);
    const auto found = segments_.find(name);
    if (found == segments_.end()) return NoSegment(name);
    taken = segments_.extract(found);  // nobody opens it any more
  }
  Status status = DeregisterAll(&taken.mapped());
  if (status.code() == SLIPWAY_E_REGION_BUSY) {
    // Some of its registrations are gone: it stays withdrawn, and is kept so that the rest can be tried again.
    taken.mapped().withdrawn = true;
    MutexLock lock(mutex_);
    segments_.insert(std::move(taken));
    return status;
  }
  counters_.Sub(Counter::kSegmentsPublished);
  return status;
}

void Published::Clear() {
  MutexLock change(change_);
  std::map<std::string, Segment> all;
  {
    MutexLock lock(mutex_);
    all.swap(segments_);
  }
  for (auto& [name, segment] : all) (void)DeregisterAll(&segment);  // what is left goes with the instances
  counters_.Set(Counter::kSegmentsPublished, 0);
}

Result<SegmentDescriptor> Published::Describe(const std::string& name,
                                              const std::vector<ProtocolRange>& protocols) const {
  MutexLock lock(mutex_);
  const auto found = segments_.find(name);
  if (found == segments_.end() || found->second.withdrawn) return NoSegment(name);
  SegmentDescriptor answer = found->second.descriptor;
  std::string offered;
  for (const TransportOffer& t : answer.transports) offered += (offered.empty() ? "" : ", ") + t.protocol;
  std::erase_if(answer.transports, [&](const TransportOffer& offer) {
    return std::none_of(protocols.begin(), protocols.end(), [&](const ProtocolRange& p) {
      return p.name == offer.protocol && p.min <= offer.protocol_max && p.max >= offer.protocol_min;
    });
  });
  if (answer.transports.empty()) {
    return Status(SLIPWAY_E_NO_ROUTE,
                  "segment \"" + name + "\" is offered over " + offered + ", and the opening side speaks none of that");
  }
  return answer;
}

std::vector<SegmentSummary> Published::List() const {
  MutexLock lock(mutex_);
  std::vector<SegmentSummary> list;
  for (const auto& [name, segment] : segments_) {
    const SegmentDescriptor& d = segment.descriptor;
    if (segment.withdrawn) continue;
    list.push_back({name, d.length, d.readable, d.writable, d.mem_kind});
  }
  return list;
}

std::string Published::Overlapping(const void* addr, uint64_t length) const {
  const auto begin = reinterpret_cast<uint64_t>(addr);
  MutexLock lock(mutex_);
  for (const auto& [name, segment] : segments_) {
    for (const Span& span : segment.spans) {
      const auto at = reinterpret_cast<uint64_t>(span.address);
      if (at < begin + length && begin < at + span.length) return name;
    }
  }
  return {};
}

}  // namespace slipway
