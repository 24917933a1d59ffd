// The dispatcher's part about slices: cutting, submission and completion.
#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

constexpr uint64_t kBackPressureNs = 100'000;  // before trying a full channel again, where no completion comes first
constexpr uint32_t kPollMax = 64;
constexpr uint32_t kPollRounds = 64;  // then others have their turn
constexpr uint32_t kSubmitMax = 256;
// Of bulk requests in flight towards a peer: it keeps any link busy, and a small request does not wait for more.
constexpr uint64_t kBulkBytes = 192 << 20;
constexpr uint64_t kWindowNs = 20'000'000;  // over which throughput is observed
constexpr uint64_t kWindowMinBytes = 1u << 20;

// As slices carry it, see SLIPWAY_SLICE_KIND_MASK.
uint32_t KindNumber(uint64_t kind) { return static_cast<uint32_t>(std::countr_zero(kind)) & SLIPWAY_SLICE_KIND_MASK; }

constexpr bool kVerifyAlways =
#ifdef NDEBUG
    false;
#else
    true;
#endif

}  // namespace

SliceLimits Dispatcher::LimitsFor(const Lane& lane, uint64_t local_kind) const {
  return lane.transport->Limits(local_kind, options_.slice_bytes, lane.pool_ready ? staging_options_.chunk_bytes : 0);
}

Slice* Dispatcher::NewSlice() {
  Slice* slice = nullptr;
  if (free_slices_.empty()) {
    slice = &slices_.emplace_back();
    slice->index = static_cast<uint32_t>(slices_.size() - 1);
  } else {
    slice = free_slices_.back();
    free_slices_.pop_back();
  }
  ++slice->generation;
  return slice;
}

void Dispatcher::Violation(Lane* lane, const std::string& what) {
  counters_.Add(Counter::kContractViolations);
  if (std::exchange(lane->violation_told, true)) return;
  log_.Error(lane->transport->name() + " breaks the plugin contract: " + what +
             "; run the conformance tests on it. Said once.");
}

bool Dispatcher::OpenSlices(Link* link, uint64_t now_ns) {
  const Lane& lane = lanes_[link->number];
  const uint32_t channel_cap = lane.transport->attrs().max_inflight_per_channel;
  const auto cap = static_cast<uint32_t>(std::min<uint64_t>(options_.max_inflight_slices_per_peer, channel_cap));
  const auto bulk_cap = std::max(uint32_t{1}, static_cast<uint32_t>(cap * options_.bulk_share_percent / 100));
  // Beyond its fair part of the channel, a link takes from the first three quarters only: a peer that has stopped does
  // not hold what others need.
  const uint32_t fair = std::max(uint32_t{1}, channel_cap / std::max(uint32_t{1}, lane.links));
  const auto has_room = [&] {
    return link->open_slices < cap && lane.open_slices < channel_cap &&
           (link->open_slices < fair || lane.open_slices < channel_cap - channel_cap / 4);
  };
  // No more than one submission takes, so that the transport begins on these while the next are cut.
  bool any = false;
  for (uint32_t cut = 0; cut < kSubmitMax && link->state == Link::State::kReady && has_room(); ++cut) {
    const bool bulk = link->open_bulk_slices < bulk_cap && link->open_bulk_bytes < kBulkBytes;
    WorkQueue* queue = !link->small.empty() ? &link->small : bulk && !link->bulk.empty() ? &link->bulk : nullptr;
    if (queue == nullptr || !OpenSlice(link, queue, now_ns)) break;
    any = true;
  }
  return any;
}

// Sends the first item of the queue on to another transport.
bool Dispatcher::GiveUp(Link* link, WorkQueue* queue, const Status& why, uint64_t now_ns) {
  WorkItem* item = queue->PopFront();
  item->tried |= uint32_t{1} << link->number;
  Route(item, why, now_ns);
  return true;
}

// Cuts one slice from the first item of the queue, or moves that item elsewhere. False: nothing can be done now.
bool Dispatcher::OpenSlice(Link* link, WorkQueue* queue, uint64_t now_ns) {
  Lane& lane = lanes_[link->number];
  WorkItem* item = queue->first;
  RequestState* request = item->request;
  if (request->failure != SLIPWAY_OK) {
    DropItem(queue->PopFront());
    return true;
  }
  SegmentRoute& route = request->segment->routes[link->number];
  const LeaseQuery query = lane.source.cache == nullptr ? LeaseQuery() : PinQuery(lane, *item, now_ns);
  LeasingCoverage coverage(lane.source, query);
  Result<SliceCut> cut = NextSlice(item->cursor, LimitsFor(lane, request->local_kind), route.pieces, coverage);
  if (coverage.wait()) {
    WaitForPin(queue->PopFront(), query);
    return true;
  }
  if (!cut.ok())
    return GiveUp(link, queue, Status(cut.status().code(), lane.transport->name() + ": " + cut.status().message()),
                  now_ns);
  if ((kVerifyAlways || options_.verify_registrations) && cut->mode != SliceMode::kStaged &&
      !lane.transport->AgreesWith({cut->registration, cut->length, cut->extent}, item->cursor.local_address,
                                  item->cursor.access, request->local_kind)) {
    Violation(&lane, "query_registered differs from what was registered");
  }
  Result<slipway_remote*> remote = Import(link, &route, cut->piece);
  if (!remote.ok()) {
    if (remote.status().code() != SLIPWAY_E_AGAIN) return GiveUp(link, queue, remote.status(), now_ns);
    link->retry_ns = now_ns + kBackPressureNs;
    return false;
  }
  char* staging = nullptr;
  if (cut->mode == SliceMode::kStaged) {
    staging = CutStaging(request->batch, cut->length, lane.transport->attrs().local_align);
    if (staging == nullptr) {
      WaitForStaging(queue->PopFront(), cut->length);
      return true;
    }
  }
  Slice* slice = MakeSlice(link, *item, *cut, staging);
  if (slice->mode == SliceMode::kRegistered) coverage.Keep();
  if (staging != nullptr && lane.source.cache != nullptr) {
    lane.source.cache->Copied(lane.source.who, item->cursor.local_address, cut->length, now_ns);
  }
  item->pin_deadline_ns = 0;
  item->cursor.Advance(cut->length);
  if (item->cursor.remaining == 0) DropItem(queue->PopFront());
  if (staging != nullptr && request->op == SLIPWAY_OP_WRITE) {
    StartCopy(slice, true);
  } else {
    slice->state = Slice::State::kReady;
    link->PushReady(slice);
  }
  return true;
}

// Accounts for a new slice; `staging` is null where it goes direct.
Slice* Dispatcher::MakeSlice(Link* link, const WorkItem& item, const SliceCut& cut, char* staging) {
  RequestState* request = item.request;
  Lane& lane = lanes_[link->number];
  Slice* slice = NewSlice();
  slice->mode = cut.mode;
  slice->cancel_sent = false;
  slice->request = request;
  slice->link = link;
  slice->route = &request->segment->routes[link->number];
  slice->cursor = item.cursor;
  slice->cursor.remaining = cut.length;
  slice->tried = item.tried;
  slice->piece = cut.piece;
  slice->piece_offset = cut.piece_offset;
  slice->lease = cut.mode == SliceMode::kRegistered ? cut.registration : nullptr;
  slice->extent = cut.mode == SliceMode::kRegistered ? cut.extent : nullptr;
  slice->staging = staging;
  slice->block = staging == nullptr ? nullptr : request->batch->block;
  slice->next_ready = nullptr;
  ++request->outstanding;
  ++request->slices;
  ++link->open_slices;
  if (request->bulk) {
    ++link->open_bulk_slices;
    link->open_bulk_bytes += cut.length;
  }
  ++lane.open_slices;
  held_.AddHeld(Counter::kSlices);
  held_.AddHeld(Counter::kSlicesInflight);
  held_.AddHeld(staging != nullptr ? Counter::kSlicesStaged : Counter::kSlicesDirect);
  if (staging != nullptr) {
    ++request->staged_slices;
    counters_.Add(Counter::kStagedBytes, cut.length);
  }
  return slice;
}

// True when the transport took something.
bool Dispatcher::SubmitReady(Link* link, uint64_t now_ns) {
  Lane& lane = lanes_[link->number];
  const slipway_transport& table = lane.transport->table();
  const uint32_t batch_max = std::min(kSubmitMax, lane.transport->attrs().max_submit_batch);
  const bool tells_kind = lane.transport->Has(SLIPWAY_CAP_SLICE_KIND);
  bool any = false;
  while (link->ready_first != nullptr && link->state == Link::State::kReady) {
    std::array<slipway_slice, kSubmitMax> out;
    uint32_t n = 0;
    for (Slice* s = link->ready_first; s != nullptr && n < batch_max; s = s->next_ready) {
      slipway_slice& o = out[n++];
      o = {};
      o.token = s->Token();
      o.op = s->request->op;
      if (tells_kind && s->staging == nullptr) o.flags = KindNumber(s->request->local_kind);
      o.local_addr = s->staging != nullptr ? s->staging : reinterpret_cast<void*>(s->cursor.local_address);
      o.length = s->length_bytes();
      o.local_mr = s->staging != nullptr  ? lane.pool_mr
                   : s->lease != nullptr  ? s->lease->mr
                   : s->extent != nullptr ? static_cast<slipway_mr*>(s->extent->handle)
                                          : nullptr;
      o.remote = s->route->remotes[s->piece];
      o.remote_offset = s->piece_offset;
    }
    uint32_t accepted = 0;
    slipway_error error = EmptyError();
    const slipway_status status = table.submit(lane.channel, out.data(), sizeof out[0], n, &accepted, &error);
    if (accepted > n) {
      Violation(&lane, "submit accepted more slices than there were");
      accepted = n;
    }
    for (uint32_t i = 0; i < accepted; ++i) {
      Slice* slice = std::exchange(link->ready_first, link->ready_first->next_ready);
      slice->state = Slice::State::kSubmitted;
      slice->submitted_ns = now_ns;
    }
    any |= accepted > 0;
    if (status == SLIPWAY_E_AGAIN || (status == SLIPWAY_OK && accepted == 0)) {
      counters_.Add(Counter::kBackPressure);
      link->retry_ns = now_ns + kBackPressureNs;
      return any;
    }
    if (status != SLIPWAY_OK && link->ready_first != nullptr) {
      Slice* culprit = std::exchange(link->ready_first, link->ready_first->next_ready);
      FailSlice(culprit, FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, lane.transport->name()), now_ns);
      any = true;
    }
  }
  return any;
}

bool Dispatcher::PollLane(Lane* lane, uint64_t now_ns) {
  bool any = false;
  for (uint32_t round = 0; round < kPollRounds; ++round) {
    std::array<slipway_completion, kPollMax> completions;
    uint32_t n = 0;
    const slipway_status status =
        lane->transport->table().poll(lane->channel, completions.data(), sizeof completions[0], kPollMax, &n);
    if (status != SLIPWAY_OK || n > kPollMax) {
      FailTransport(lane, Status(status < 0 ? status : SLIPWAY_E_INTERNAL, lane->transport->name() + ": poll failed"),
                    now_ns);
      return any;
    }
    for (uint32_t i = 0; i < n; ++i) OnCompletion(lane, completions[i], now_ns);
    any |= n > 0;
    polled_ += n;
    if (n < kPollMax) break;
  }
  if (any && now_ns - lane->window_begin_ns >= kWindowNs) {
    if (lane->window_begin_ns != 0 && lane->window_bytes >= kWindowMinBytes) {
      lane->transport->Observe(lane->window_bytes * 1000 / ((now_ns - lane->window_begin_ns) / 1'000'000), 0);
    }
    lane->window_begin_ns = now_ns;
    lane->window_bytes = 0;
  }
  return any;
}

void Dispatcher::OnCompletion(Lane* lane, const slipway_completion& completion, uint64_t now_ns) {
  const auto index = static_cast<uint32_t>(completion.token);
  Slice* slice = index < slices_.size() ? &slices_[index] : nullptr;
  if (slice == nullptr || slice->Token() != completion.token || slice->state != Slice::State::kSubmitted ||
      slice->link->transport != lane->transport) {
    return Violation(lane, "it completed a token that is not in flight");
  }
  if (completion.status == SLIPWAY_OK && completion.bytes == slice->length_bytes()) {
    lane->window_bytes += completion.bytes;
    if (lane->open_slices == 1 && completion.bytes <= 4096) lane->transport->Observe(0, now_ns - slice->submitted_ns);
    Link* link = slice->link;
    link->backoff_ns = 0;
    if (link->retry_ns > now_ns) link->retry_ns = 0;  // there is room now
    if (slice->staging != nullptr && slice->request->op == SLIPWAY_OP_READ) {
      // An abandoned reader's memory is still its own until the request is complete, so this copy is always allowed.
      return StartCopy(slice, false);
    }
    return FinishSlice(slice);
  }
  const slipway_status status = completion.status;
  if (status >= 0) {
    Violation(lane, "it completed a slice as OK without all of its bytes");
    return FailSlice(slice, Status(SLIPWAY_E_IO, lane->transport->name() + ": completed fewer bytes than asked"),
                     now_ns);
  }
  BlastRadius radius;
  const Status why = PeerStatus(slice->link, status, &radius);
  FailSlice(slice, why, radius, now_ns);
}

void Dispatcher::FinishSlice(Slice* slice) {
  RequestState* request = slice->request;
  request->bytes_done += slice->length_bytes();
  const uint8_t number = slice->link->number;
  request->transport =
      request->transport == RequestState::kNoTransport || request->transport == number ? number : RequestState::kMixed;
  CloseSlice(slice, false);
}

// The slice is not with its transport (any more). Its bytes go to the next transport, or the request fails.
void Dispatcher::FailSlice(Slice* slice, const Status& why, BlastRadius radius, uint64_t now_ns) {
  Link* link = slice->link;
  RequestState* request = slice->request;
  const bool refused = why.code() == SLIPWAY_E_ACCESS || why.code() == SLIPWAY_E_STALE_REMOTE;
  if (request->failure == SLIPWAY_OK) {
    WorkItem* item = NewItem();
    item->request = request;
    item->cursor = slice->cursor;
    item->tried = slice->tried | uint32_t{1} << link->number;
    ++request->outstanding;
    ++request->retries;
    counters_.Add(Counter::kRetries);
    Route(item, why, now_ns);
  }
  CloseSlice(slice, false);
  if (radius == BlastRadius::kPeer && !refused) FailLink(link, why, now_ns);
  if (radius == BlastRadius::kInstance) FailTransport(&lanes_[link->number], why, now_ns);
}

// Gives back what the slice holds, unless its memory may still be written to. May complete the request.
void Dispatcher::CloseSlice(Slice* slice, bool keep_memory) {
  Link* link = slice->link;
  RequestState* request = slice->request;
  if (!keep_memory) {
    LeasingCoverage::GiveBack(lanes_[link->number].source, slice->lease, slice->extent);
    if (slice->block != nullptr) {
      StagingBlock* block = slice->block;
      BatchState* batch = request->batch;
      const uint64_t bytes = block->bytes;
      if (pool_->GiveBack(block)) {
        BlockFreed(batch, bytes);
      } else if (block == batch->block && block->pieces == 0 && !staging_queue_.empty()) {
        CloseBlock(batch);
      }
    }
  }
  slice->lease = nullptr;
  slice->extent = nullptr;
  slice->block = nullptr;
  slice->staging = nullptr;
  slice->state = Slice::State::kFree;
  --link->open_slices;
  if (request->bulk) {
    --link->open_bulk_slices;
    link->open_bulk_bytes -= slice->cursor.remaining;
  }
  --lanes_[link->number].open_slices;
  held_.SubHeld(Counter::kSlicesInflight);
  if (link->HasWork() || link->state == Link::State::kDraining) ListLink(link);
  free_slices_.push_back(slice);
  --request->outstanding;
  MaybeComplete(request);
}

void Dispatcher::CancelSlices(const RequestState* request) {
  if (request->outstanding == 0 || request->copying || request->run == RequestState::kFollows) return;
  for (Slice& slice : slices_) {
    if (slice.state != Slice::State::kSubmitted || slice.request != request || slice.cancel_sent) continue;
    Lane& lane = lanes_[slice.link->number];
    slice.cancel_sent = true;
    if (!lane.transport->Has(SLIPWAY_CAP_CANCEL) || lane.transport->table().cancel == nullptr) continue;
    (void)lane.transport->table().cancel(lane.channel, slice.Token());
  }
}

}  // namespace slipway
