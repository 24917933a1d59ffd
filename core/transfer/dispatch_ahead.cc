// The dispatcher's part about what a device reads before it is known that all requests of a long submission are right.
// Nothing is written to where requests say until then, so what is read has to go into memory of the provider's own
// (sdk::MemoryAhead); the device is not idle meanwhile, and the first groups are there when they are submitted.
#include <algorithm>
#include <utility>

#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

// What is read ahead takes a device as long as it takes to look at all requests of a long submission, and to submit the
// first of those that are not read ahead. The first are few, so that the device begins early, and it has to do with
// them until the others are written down.
constexpr uint32_t kFirstAhead = 1024, kAheadMost = 5120;
// Longer ones take a device so much longer than to write them down that few are enough.
constexpr uint64_t kShortBytes = 8192, kLongAheadBytes = uint64_t{8} << 20;
constexpr uint32_t kAheadLeast = 16;  // fewer would pay for nothing

uint32_t AheadMost(const RequestSpec& like) {
  if (like.length <= kShortBytes) return kAheadMost;
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(kLongAheadBytes / like.length, kAheadMost));
  return most < kAheadLeast ? 0 : most;
}

}  // namespace

// Enters the peer's memory, as the pass will find it, where the requests from the first on are read from there and go
// direct; and once more, for as long as that is read. The device must have nothing else to do. Whether it reads, and
// more should follow.
bool Dispatcher::BeginAhead(RequestSource& source, const RequestSpec& first, DirectPass* pass) {
  const uint32_t most = std::min(kFirstAhead, AheadMost(first));
  if (most == 0 || first.op != SLIPWAY_OP_READ) return false;
  MutexLock lock(mutex_);
  const bool idle = any_direct_ && direct_copier_ != nullptr && direct_copier_->inflight() == 0 &&
                    waiting_groups_.empty() && ahead_.segment == nullptr;
  if (stopping_ || !idle || first.segment->closed) return false;
  RequestState request;
  request.segment = first.segment;
  request.local_address = reinterpret_cast<uint64_t>(first.local);
  request.length = first.length;
  request.offset = first.offset;
  request.local_kind = first.local_kind;
  request.op = static_cast<uint8_t>(first.op);
  Aim(pass, request, clock_.NowNs());
  if (pass->remote == nullptr) return false;
  const Lane& lane = lanes_[pass->number];
  slipway_direct_view view{};
  view.struct_size = sizeof view;
  if (!pass->hold || pass->kind_there != SLIPWAY_MEM_HOST ||
      lane.direct->enter(lane.channel, pass->remote, SLIPWAY_DIRECT_HOLD, &view) != SLIPWAY_OK) {
    LeaveDirect(pass);
    return false;
  }
  ahead_ = {pass, first.segment, pass->remote, pass->number};
  ++first.segment->inflight_requests;
  pass->reads_ahead = true;
  const bool more = ReadAhead(source, first, most, pass);
  if (pass->ahead_requests == 0) {
    EndAhead(pass);
    LeaveDirect(pass);
    return false;
  }
  return more;
}

void Dispatcher::ReadOnAhead(RequestSource& source, const RequestSpec& first, DirectPass* pass) {
  MutexLock lock(mutex_);
  if (ahead_.pass == pass) (void)ReadAhead(source, first, AheadMost(first) - pass->ahead_requests, pass);
}

// So many more of the requests that are like the first, from the first that is not on. Whether all of them are.
bool Dispatcher::ReadAhead(RequestSource& source, const RequestSpec& first, uint32_t most, DirectPass* pass) {
  if (most == 0) return false;
  written_down_ = nullptr;
  if (direct_pieces_.size() < most) direct_pieces_.resize(most);
  uint32_t n = 0;
  if (pass->ahead_requests == 0) {
    char* const there = pass->base + (first.offset - pass->begin);
    direct_pieces_[n++] = {0, first.local, there, first.length, first.local_kind, pass->kind_there};
  }
  const RequestSource::View view{pass->base, pass->begin, pass->bytes, pass->kind_there};
  n += static_cast<uint32_t>(
      source.WriteAlike(pass->ahead_requests + n, first, view, direct_pieces_.data() + n, most - n));
  if (n < most && pass->ahead_requests == 0) return false;  // they are not alike: it would pay for none
  const uint32_t taken = direct_copier_->ReadAhead(direct_pieces_.data(), sizeof direct_pieces_[0], n);
  pass->ahead_requests += taken;
  return taken == most;
}

// Another submission comes between, and what it reads may have been written since.
void Dispatcher::DropAhead() {
  (void)direct_copier_->DropAhead();
  ahead_.pass = nullptr;
}

// The pass has submitted what was read ahead for it, or will not.
void Dispatcher::EndAhead(DirectPass* pass) {
  pass->reads_ahead = false;
  ahead_.pass = nullptr;
  ahead_.ended = true;
  LeaveAhead(false);
}

// The peer's memory is left once it is not read any more; a device that the application keeps busy takes its time. With
// `give_up` it stays entered for good where it still is.
void Dispatcher::LeaveAhead(bool give_up) {
  if (!ahead_.ended) return;
  const bool reads = direct_copier_->DropAhead();
  if (reads && !give_up) return;
  RemoteSegment* const segment = ahead_.segment;
  Lane& lane = lanes_[ahead_.number];
  if (reads) {
    lane.holds_lost = true;
  } else {
    slipway_direct_use use{};
    use.struct_size = sizeof use;
    lane.direct->leave(lane.channel, ahead_.remote, SLIPWAY_DIRECT_HOLD, &use);
  }
  ahead_ = {};
  --segment->inflight_requests;
  if (segment->inflight_requests == 0 && segment->closed) garbage_ = true;
}

}  // namespace slipway
