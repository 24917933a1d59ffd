// The dispatcher's part about requests: which transport next, when one is complete, and how one is cut short.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

constexpr uint64_t kPlanHoldsNs = 1'000'000;

// Statuses that another transport could not mend: the target itself refused.
bool IsFinal(slipway_status status) {
  return status == SLIPWAY_E_ACCESS || status == SLIPWAY_E_STALE_REMOTE || status == SLIPWAY_E_RANGE;
}

// Statuses of a peer or of a transport as a whole, which are the same for all requests. Those that the core makes up
// say what this request lacks.
bool ConcernsAll(slipway_status status) {
  constexpr slipway_status kFirstOfCore = SLIPWAY_E_PLUGIN_NOT_FOUND;
  return BlastRadiusOf(status) != BlastRadius::kOperation && status > kFirstOfCore && !IsFinal(status);
}

// Of one that went with others, as one, it is told how that went.
void TellOf(const RequestState& done, RequestState* r) {
  r->run = 0;
  r->outstanding = 0;
  r->transport = done.transport;
  r->slices = done.slices;
  r->staged_slices = done.staged_slices;
  r->retries = done.retries;
}

std::string_view WordsFor(slipway_status status) {
  switch (status) {
    case SLIPWAY_E_DEADLINE:
      return "the deadline passed before the request was complete: give it more time, or look at the peer";
    case SLIPWAY_E_STAGING_EXHAUSTED:
      return "no staging buffer came free before the deadline: raise memory.staging.bytes, or declare the memory so "
             "that it need not be staged";
    case SLIPWAY_E_CANCELED:
      return "canceled by the application";
    case SLIPWAY_E_CLOSED:
      return "the engine was destroyed";
    default:
      return StatusName(status);
  }
}

}  // namespace

Status Dispatcher::WhyCut(slipway_status status) { return Status(status, std::string(WordsFor(status))); }

WorkItem* Dispatcher::NewItem() {
  if (free_items_.empty()) return &items_.emplace_back();
  WorkItem* item = free_items_.back();
  free_items_.pop_back();
  return item;
}

// Takes the item out of the request's account; it is in no queue.
void Dispatcher::DropItem(WorkItem* item) {
  RequestState* request = item->request;
  if (item == request->first_item) request->first_item = nullptr;
  *item = WorkItem();
  free_items_.push_back(item);
  --request->outstanding;
  MaybeComplete(request);
}

// The last plan is kept, since requests are mostly alike. It holds for a while, in which speeds do not change much, and
// until a link or transport fails or a link's pause ends.
const RoutePlan& Dispatcher::Plan(const RequestState& request, uint64_t length, uint64_t now_ns) {
  const PlanKey key{request.segment, request.op, request.local_kind, length};
  if (now_ns < plan_until_ns_ && key == plan_key_) return plan_;
  plan_until_ns_ = now_ns + kPlanHoldsNs;
  RouteQuery query;
  facts_.resize(lanes_.size());
  for (size_t i = 0; i < lanes_.size(); ++i) {
    facts_[i] = lanes_[i].transport->Facts();
    facts_[i].staging_ready = lanes_[i].pool_ready;
    facts_[i].staged_kinds = StagedKinds();
    const Link* link = request.segment->routes[i].link;
    if (link == nullptr || link->paused_until_ns <= now_ns) continue;
    query.paused |= uint32_t{1} << i;
    plan_until_ns_ = std::min(plan_until_ns_, link->paused_until_ns);
  }
  query.op = request.op;
  query.length = length;
  query.local_kind = request.local_kind;
  query.locality = request.segment->locality;
  query.offered = request.segment->offered;
  query.fastest = options_.route_policy == RoutePolicy::kFastest;
  plan_ = PlanRoute(facts_, query);
  plan_key_ = key;
  return plan_;
}

// A link or a transport failed, or a segment is about to go.
void Dispatcher::ForgetPlan() {
  plan_key_ = PlanKey();
  alone_.segment.store(nullptr, std::memory_order_relaxed);
}

// Puts the item on the link of the best transport that it has not tried. Where there is none, the request fails with
// `last`, which is why the one before failed.
void Dispatcher::Route(WorkItem* item, const Status& last, uint64_t now_ns) {
  RequestState* request = item->request;
  request->batch->staging_granted = false;
  if (request->failure != SLIPWAY_OK) return DropItem(item);
  if (!last.ok() && IsFinal(last.code())) {
    FailRequest(request, last);
    return DropItem(item);
  }
  const RoutePlan& plan = Plan(*request, item->cursor.remaining, now_ns);
  for (uint32_t i = 0; i < plan.count; ++i) {
    const uint8_t number = plan.order[i];
    if ((item->tried >> number & 1) != 0) continue;
    if (item->tried != 0) counters_.Add(Counter::kFailovers);
    item->transport = number;
    item->cursor.piece_hint = 0;
    Link* link = request->segment->routes[number].link;
    (request->bulk ? link->bulk : link->small).PushBack(item);
    return ListLink(link);
  }
  if (last.ok()) {
    std::vector<RouteFacts> facts;
    for (const Lane& lane : lanes_) facts.push_back(lane.transport->Facts());
    FailRequest(request, Status(NeedsOnlyStaging(plan) ? SLIPWAY_E_STAGING_NOT_CONFIGURED : SLIPWAY_E_NO_ROUTE,
                                "no transport can serve the request: " + DescribeRefusals(facts, plan)));
  } else {
    FailRequest(request, last);
  }
  DropItem(item);
}

// Notes why the request failed, if it has not already, and calls back its slices. It is complete when they are.
void Dispatcher::FailRequest(RequestState* request, const Status& why) {
  if (request->failure != SLIPWAY_OK || request->status != SLIPWAY_IN_PROGRESS) return;
  request->failure = why.code();
  request->message = &request->batch->messages.emplace_front(why.message());
  CancelSlices(request);
}

void Dispatcher::MaybeComplete(RequestState* request) {
  if (request->outstanding > 0 || request->status != SLIPWAY_IN_PROGRESS) return;
  if (request->run != 0) return EndRun(request);
  BatchState* batch = request->batch;
  request->status = request->failure;
  if (request->status == SLIPWAY_OK) {
    held_.AddHeld(request->op == SLIPWAY_OP_READ ? Counter::kBytesRead : Counter::kBytesWritten, request->length);
    if (request->slices > 1) held_.AddHeld(Counter::kSlicesSplit);
  } else {
    batch->failed = true;
    held_.AddHeld(Counter::kRequestsFailed);
  }
  held_.ObserveHeld(Histogram::kRequestBytes, request->length);
  CountOut(batch, request->segment, 1);
}

// So many are in flight from now on.
void Dispatcher::CountIn(RemoteSegment* segment, uint64_t requests) {
  held_.AddHeld(Counter::kRequestsInflight, requests);
  inflight_requests_ += requests;
  segment->inflight_requests += requests;
}

// So many are complete. With the last of its batch the batch is.
void Dispatcher::CountOut(BatchState* batch, RemoteSegment* segment, uint64_t requests) {
  held_.SubHeld(Counter::kRequestsInflight, requests);
  inflight_requests_ -= requests;
  segment->inflight_requests -= requests;
  if (segment->inflight_requests == 0 && segment->closed) garbage_ = true;
  batch->remaining -= requests;
  if (batch->remaining == 0) CompleteBatch(batch);
}

// Those that went as one are told one by one how it went.
void Dispatcher::EndRun(RequestState* first) {
  if (first->failure != SLIPWAY_OK) return FailRun(first);
  RequestState* const end = first->RunEnd();
  const RequestState done = *first;
  uint64_t bytes = 0, alike = 0;
  for (RequestState* r = first; r != end; ++r) {
    TellOf(done, r);
    r->status = SLIPWAY_OK;
    r->bytes_done = r->length;
    bytes += r->length;
    ++alike;
    if (r + 1 != end && r[1].length == r->length) continue;
    held_.ObserveHeld(Histogram::kRequestBytes, r->length, std::exchange(alike, 0));
  }
  const auto count = static_cast<uint64_t>(end - first);
  held_.AddHeld(done.op == SLIPWAY_OP_READ ? Counter::kBytesRead : Counter::kBytesWritten, bytes);
  if (done.slices > 1) held_.AddHeld(Counter::kSlicesSplit);
  CountOut(done.batch, done.segment, count);
}

// Where one of them may be the reason why all failed, each goes once more, alone.
void Dispatcher::FailRun(RequestState* first) {
  RequestState* const end = first->RunEnd();
  const RequestState done = *first;
  const bool whole = done.bytes_done == end[-1].offset + end[-1].length - done.offset;
  const bool again = !ConcernsAll(done.failure) && done.batch->cut_short == SLIPWAY_OK;
  for (RequestState* r = first; r != end; ++r) {
    TellOf(done, r);
    r->bytes_done = whole && !again ? r->length : 0;
    if (again) r->transport = RequestState::kNoTransport;
    if (again || r->failure == SLIPWAY_OK) {
      r->failure = again ? slipway_status{SLIPWAY_OK} : done.failure;
      r->message = again ? nullptr : done.message;
    }
  }
  const uint64_t now_ns = again ? clock_.NowNs() : 0;
  // With the last of them the batch may be complete.
  for (RequestState* r = first; r != end; ++r) again ? Begin(r, now_ns) : MaybeComplete(r);
}

void Dispatcher::CompleteBatch(BatchState* batch) {
  batch->status = SLIPWAY_OK;
  if (batch->at_once) {
    if (at_once_++ % kTimedAtOnce == 0) {
      held_.ObserveHeld(Histogram::kRequestNs, clock_.NowNs() - batch->submitted_ns, kTimedAtOnce);
    }
    return batch->done.store(true, std::memory_order_release);
  }
  held_.ObserveHeld(Histogram::kRequestNs, clock_.NowNs() - batch->submitted_ns);
  CloseBlock(batch);
  if (batch->failed) {
    const auto first = std::find_if(batch->requests.begin(), batch->requests.end(),
                                    [](const RequestState& request) { return request.status != SLIPWAY_OK; });
    batch->status = first->status;
  }
  if (batch->relied_on) relying_.fetch_sub(1);
  if (batch->prev_inflight != nullptr) batch->prev_inflight->next_inflight = batch->next_inflight;
  if (batch->next_inflight != nullptr) batch->next_inflight->prev_inflight = batch->prev_inflight;
  if (inflight_ == batch) inflight_ = batch->next_inflight;
  if (inflight_ == nullptr) {
    next_deadline_ns_ = kNoDeadline;
    inflight_hint_.store(false, std::memory_order_relaxed);
  }
  idle_.NotifyAll();
  if (batch->on_complete) {
    batch->next_completed = std::exchange(to_call_, batch);
    calls_pending_.store(true, std::memory_order_release);
    return;
  }
  // Whoever sees `done` may release the batch, but needs the lock for it: until that is free, the batch is ours.
  batch->done.store(true, std::memory_order_release);
  TellWaiters(batch);
}

// Fails what is left of the batch with `status`. What is with a transport is called back, and has a time to come.
void Dispatcher::CutShort(BatchState* batch, slipway_status status) {
  batch->cut_short = status;
  uint64_t bound_ms = options_.completion_grace_ms;
  for (const Lane& lane : lanes_) {
    bound_ms = std::max<uint64_t>(bound_ms, options_.completion_grace_ms + lane.transport->attrs().peer_timeout_ms);
  }
  batch->stuck_ns = DeadlineAfter(clock_.NowNs(), bound_ms * 1'000'000);
  next_deadline_ns_ = std::min(next_deadline_ns_, batch->stuck_ns);
  if (status == SLIPWAY_E_DEADLINE) {
    const Status exhausted = WhyCut(SLIPWAY_E_STAGING_EXHAUSTED);
    for (const WorkQueue* queue : {&staging_queue_, &batch->share_queue}) {
      for (WorkItem* item = queue->first; item != nullptr; item = item->next) {
        if (item->request->batch != batch) continue;
        for (RequestState* r = item->request; r != item->request->RunEnd(); ++r) FailRequest(r, exhausted);
      }
    }
  }
  for (RequestState& request : batch->requests) FailRequest(&request, WhyCut(status));
  SweepDead(batch);
}

void Dispatcher::SweepQueue(WorkQueue* queue) {
  WorkQueue kept;
  while (!queue->empty()) {
    WorkItem* item = queue->PopFront();
    if (item->request->failure == SLIPWAY_OK) {
      kept.PushBack(item);
    } else {
      DropItem(item);
    }
  }
  *queue = kept;
}

// Drops whatever of the batch, or of any request that has failed, still waits.
void Dispatcher::SweepDead(BatchState* batch) {
  SweepQueue(&batch->share_queue);
  SweepQueue(&staging_queue_);
  SweepQueue(&pin_queue_);
  SweepDirect();
  for (const auto& link : links_) {
    SweepQueue(&link->small);
    SweepQueue(&link->bulk);
    Slice* ready = std::exchange(link->ready_first, nullptr);
    link->ready_last = nullptr;
    while (ready != nullptr) {
      Slice* slice = std::exchange(ready, ready->next_ready);
      if (slice->request->failure == SLIPWAY_OK) {
        link->PushReady(slice);
      } else {
        CloseSlice(slice, false);
      }
    }
  }
}

// Whoever has these slices has broken its promise to complete. Their memory, staging included, may still be written to:
// nothing of it is ever given back.
void Dispatcher::AbandonSlices(BatchState* batch) {
  DropDeadCopies();  // have not begun, so nobody has them
  AbandonDirect(batch);
  for (Slice& slice : slices_) {
    const bool copied_by_provider =
        (slice.state == Slice::State::kCopyingIn || slice.state == Slice::State::kCopyingOut) &&
        slice.request->local_kind != SLIPWAY_MEM_HOST;
    if (slice.state != Slice::State::kSubmitted && !copied_by_provider) continue;
    if (slice.request->batch == batch) AbandonSlice(&slice);
  }
}

Status Dispatcher::Stuck(RequestState* request, const std::string& what) {
  Status why(SLIPWAY_E_STUCK, what +
                                  " within its bound: its memory must not be freed or reused; restart the process, and "
                                  "report this to the plugin's vendor");
  for (RequestState* r = request; r != request->RunEnd(); ++r) {
    counters_.Add(Counter::kStuck);
    r->failure = SLIPWAY_E_STUCK;
    r->message = &request->batch->messages.emplace_front(why.message());
  }
  return why;
}

void Dispatcher::AbandonSlice(Slice* slice) {
  Lane& lane = lanes_[slice->link->number];
  const bool submitted = slice->state == Slice::State::kSubmitted;
  const Status why = Stuck(slice->request, submitted ? lane.transport->name() + " did not complete a slice"
                                                     : std::string("a memory provider did not complete a copy"));
  stuck_ranges_.emplace_back(slice->cursor.local_address, slice->length_bytes());
  CloseSlice(slice, true);
  if (submitted) FailTransport(&lane, why, clock_.NowNs());
}

void Dispatcher::LookAtDeadlines(uint64_t now_ns) {
  std::vector<BatchState*> expired;
  std::vector<BatchState*> stuck;
  for (BatchState* b = inflight_; b != nullptr; b = b->next_inflight) {
    if (!b->expired && b->deadline_ns <= now_ns) expired.push_back(b);
    if (b->stuck_ns <= now_ns) stuck.push_back(b);
  }
  // None of these is freed here: that takes the lock.
  for (BatchState* b : expired) {
    b->expired = true;
    counters_.Add(Counter::kDeadlines);
    CutShort(b, SLIPWAY_E_DEADLINE);
  }
  for (BatchState* b : stuck) AbandonSlices(b);
  next_deadline_ns_ = kNoDeadline;
  for (BatchState* b = inflight_; b != nullptr; b = b->next_inflight) {
    if (!b->expired) next_deadline_ns_ = std::min(next_deadline_ns_, b->deadline_ns);
    if (b->stuck_ns > now_ns) next_deadline_ns_ = std::min(next_deadline_ns_, b->stuck_ns);
  }
}

Result<Explanation> Dispatcher::Explain(const RequestSpec& spec) {
  SLIPWAY_RETURN_IF_ERROR(CheckOne(spec));
  RequestState request;
  request.segment = spec.segment;
  request.op = static_cast<uint8_t>(spec.op);
  request.local_kind = spec.local_kind;
  Explanation out;
  MutexLock lock(mutex_);
  for (const Lane& lane : lanes_) {
    out.transports.push_back(lane.transport->Facts());
    out.transports.back().staging_ready = lane.pool_ready;
    out.transports.back().staged_kinds = StagedKinds();
  }
  out.plan = Plan(request, spec.length, clock_.NowNs());
  if (out.plan.count == 0) return out;
  const uint8_t number = out.plan.order[0];
  const PlainCoverage coverage(lanes_[number].source);
  SliceCursor cursor{reinterpret_cast<uint64_t>(spec.local), spec.offset, spec.length, request.Access(), 0};
  const SliceLimits limits = LimitsFor(lanes_[number], spec.local_kind);
  constexpr uint64_t kSlicesMax = 1'000'000;  // beyond, an explanation is an estimate
  while (cursor.remaining > 0 && out.slices < kSlicesMax) {
    Result<SliceCut> cut = NextSlice(cursor, limits, spec.segment->routes[number].pieces, coverage);
    if (!cut.ok()) {
      out.slicing = cut.status();
      break;
    }
    ++out.slices;
    out.direct += cut->mode == SliceMode::kDirect;
    out.registered += cut->mode == SliceMode::kRegistered;
    out.staged += cut->mode == SliceMode::kStaged;
    if (cut->mode == SliceMode::kStaged) out.staged_bytes += cut->length;
    cursor.Advance(cut->length);
  }
  return out;
}

}  // namespace slipway
