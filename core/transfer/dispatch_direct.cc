// The dispatcher's part about what needs no slice, where the transport lets this process touch the peer's memory
// (slipway/abi/direct.h): short pieces of host memory are copied while they are submitted, and devices' pieces go to
// their memory provider as they are. Whatever does not fit goes as slices, which also find out what is wrong with it.
#include <cstring>
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

constexpr uint64_t kBriefCopies = 16;   // of the longest brief length: what one submission copies by itself
constexpr size_t kFirstCopies = 256;    // are given to the provider early, so that the device begins
constexpr size_t kCopiesAtOnce = 1024;  // the more are submitted together, the better
constexpr size_t kCopiesPerSubmit = 4096;
constexpr uint32_t kPollMax = 256;
constexpr uint32_t kPollRounds = 64;  // then others have their turn
constexpr size_t kRunsMax = UINT16_MAX;

// A copy's token: which run, which use of it, which request of the batch.
uint64_t TokenOf(size_t run, uint16_t generation, size_t request) {
  return uint64_t{run} << 48 | uint64_t{generation} << 32 | request;
}

bool Overlap(const char* a, const char* b, uint64_t length) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y ? y - x < length : x - y < length;
}

}  // namespace

// ---- which requests ----------------------------------------------------------------------------------------------

// Copies the request, or gives it to its memory provider. False: it goes as slices.
bool Dispatcher::GoDirect(DirectPass* pass, RequestState* request, uint64_t now_ns) {
  const RequestState& r = *request;
  if (r.segment != pass->segment || r.op != pass->op || r.local_kind != pass->local_kind || r.length != pass->length ||
      r.offset - pass->begin >= pass->bytes || r.length > pass->bytes - (r.offset - pass->begin)) {
    CountDone(pass, r.batch);
    Aim(pass, r, now_ns);
  }
  if (pass->remote == nullptr || r.length == 0 || r.batch->cut_short != SLIPWAY_OK) return false;
  char* const there = pass->base + (r.offset - pass->begin);
  char* const here = reinterpret_cast<char*>(r.local_address);
  if (pass->hold) return AddDirectCopy(pass, request, there);
  // One that comes alone may be as long as many short ones together.
  const bool alone = r.batch->remaining == 1 && pass->done_in_all == 0;
  if (r.length > pass->brief_bytes && !alone) return false;
  if (pass->copied_bytes + r.length > kBriefCopies * pass->brief_bytes) return false;
  pass->copied_bytes += r.length;
  if (r.op == SLIPWAY_OP_READ) {
    std::memmove(here, there, r.length);
    pass->use.bytes_read += r.length;
  } else {
    std::memmove(there, here, r.length);
    pass->use.bytes_written += r.length;
  }
  ++pass->use.copies;
  ++pass->done;
  ++pass->done_in_all;
  request->status = SLIPWAY_OK;
  request->bytes_done = r.length;
  request->slices = 1;
  request->transport = pass->number;
  return true;
}

// Finds out whether requests like this one go direct.
void Dispatcher::Aim(DirectPass* pass, const RequestState& request, uint64_t now_ns) {
  pass->segment = request.segment;
  pass->op = request.op;
  pass->local_kind = request.local_kind;
  pass->length = request.length;
  slipway_remote* remote = nullptr;
  const RemotePiece* piece = nullptr;
  uint8_t number = 0;
  const RoutePlan& plan = Plan(request, request.length, now_ns);
  if (plan.count > 0 && lanes_[plan.order[0]].direct != nullptr) {
    number = plan.order[0];
    const SegmentRoute& route = request.segment->routes[number];
    const size_t index = FindPiece(route.pieces, request.offset, 0);
    if (route.link->state == Link::State::kReady && index < route.pieces.size()) {
      piece = &route.pieces[index];
      remote = route.remotes[index];
    }
  }
  const bool fits = remote != nullptr && request.length <= piece->length - (request.offset - piece->offset) &&
                    request.length <= lanes_[number].transport->attrs().preferred_slice_bytes;
  const bool hold = request.local_kind != SLIPWAY_MEM_HOST;
  const bool entered =
      remote == pass->remote && hold == pass->hold && (pass->run == nullptr || pass->run->op == request.op);
  if (!fits || !entered) {
    LeaveDirect(pass);
    if (!fits || !EnterDirect(pass, number, remote, hold)) return;
    pass->begin = piece->offset;
    pass->bytes = std::min(pass->bytes, piece->length);
  }
  const uint32_t access = request.op == SLIPWAY_OP_READ ? SLIPWAY_ACCESS_REMOTE_READ : SLIPWAY_ACCESS_REMOTE_WRITE;
  if ((pass->access & access) == 0 || request.length > pass->bytes ||
      request.offset - pass->begin > pass->bytes - request.length) {
    LeaveDirect(pass);
  }
}

bool Dispatcher::EnterDirect(DirectPass* pass, uint8_t number, slipway_remote* remote, bool hold) {
  const Lane& lane = lanes_[number];
  if (hold && direct_copier_ == nullptr) return false;
  slipway_direct_view view{};
  view.struct_size = sizeof view;
  const uint32_t flags = hold ? SLIPWAY_DIRECT_HOLD : 0;
  if (lane.direct->enter(lane.channel, remote, flags, &view) != SLIPWAY_OK) return false;
  pass->number = number;
  pass->remote = remote;
  pass->hold = hold;
  pass->base = static_cast<char*>(view.base);
  pass->bytes = view.length;
  pass->access = view.access;
  pass->kind_there = view.mem_kind;
  pass->brief_bytes = view.brief_bytes;
  pass->use = {};
  pass->use.struct_size = sizeof pass->use;
  if (hold || view.mem_kind == SLIPWAY_MEM_HOST) return true;
  LeaveDirect(pass);  // it is a device's there
  return EnterDirect(pass, number, remote, true);
}

void Dispatcher::LeaveDirect(DirectPass* pass) {
  if (pass->remote == nullptr) return;
  const Lane& lane = lanes_[pass->number];
  if (DirectRun* const run = std::exchange(pass->run, nullptr)) {
    run->filling = false;
    EndDirect(run, 0, 0);
  } else {
    lane.direct->leave(lane.channel, pass->remote, pass->hold ? SLIPWAY_DIRECT_HOLD : 0, &pass->use);
  }
  pass->remote = nullptr;
  pass->bytes = 0;
}

// Accounts for what was copied on this thread. What the batch's completion lets go of is not entered any more.
void Dispatcher::CountDone(DirectPass* pass, BatchState* batch) {
  const uint64_t n = std::exchange(pass->done, 0);
  if (n == 0) return;
  held_.AddHeld(pass->op == SLIPWAY_OP_READ ? Counter::kBytesRead : Counter::kBytesWritten, n * pass->length);
  held_.AddHeld(Counter::kSlices, n);
  held_.AddHeld(Counter::kSlicesDirect, n);
  held_.ObserveHeld(Histogram::kRequestBytes, pass->length, n);
  batch->remaining -= n;
  if (batch->remaining == 0) CompleteBatch(batch);
}

// ---- copies by memory providers ----------------------------------------------------------------------------------

Dispatcher::DirectRun* Dispatcher::NewRun() {
  if (!free_runs_.empty()) {
    DirectRun* const run = free_runs_.back();
    free_runs_.pop_back();
    return run;
  }
  if (runs_.size() == kRunsMax) return nullptr;
  DirectRun* const run = &runs_.emplace_back();
  run->index = static_cast<uint16_t>(runs_.size() - 1);
  return run;
}

bool Dispatcher::AddDirectCopy(DirectPass* pass, RequestState* request, char* there) {
  char* const here = reinterpret_cast<char*>(request->local_address);
  if (Overlap(here, there, request->length)) return false;
  BatchState* const batch = request->batch;
  DirectRun* run = pass->run;
  if (run == nullptr) {
    run = NewRun();
    if (run == nullptr) return false;
    ListInflight(batch);
    run->batch = batch;
    run->segment = request->segment;
    run->remote = pass->remote;
    run->use = pass->use;
    run->number = pass->number;
    run->op = pass->op;
    run->filling = true;
    pass->run = run;
  }
  ++run->open;
  ++inflight_requests_;
  ++request->segment->inflight_requests;
  request->copying = true;
  request->outstanding = 1;
  request->slices = 1;
  held_.AddHeld(Counter::kRequestsInflight);
  held_.AddHeld(Counter::kSlices);
  held_.AddHeld(Counter::kSlicesInflight);
  held_.AddHeld(Counter::kSlicesDirect);
  slipway_copy copy;
  copy.token = TokenOf(run->index, run->generation, static_cast<size_t>(request - batch->requests.begin()));
  const bool read = request->op == SLIPWAY_OP_READ;
  copy.dst = read ? here : there;
  copy.src = read ? there : here;
  copy.length = request->length;
  copy.dst_kind = read ? request->local_kind : pass->kind_there;
  copy.src_kind = read ? pass->kind_there : request->local_kind;
  direct_copies_.push_back(copy);
  const size_t waiting = direct_copies_.size() - direct_begun_;
  if (waiting % kCopiesAtOnce == 0 || (waiting == kFirstCopies && direct_copier_->inflight() == 0))
    SubmitDirectCopies();
  return true;
}

// Gives what waits to the providers, as far as they have room. True when they took some.
bool Dispatcher::SubmitDirectCopies() {
  bool any = false;
  while (direct_begun_ < direct_copies_.size()) {
    uint32_t accepted = 0;
    slipway_error error = EmptyError();
    const auto n = static_cast<uint32_t>(std::min(direct_copies_.size() - direct_begun_, kCopiesPerSubmit));
    const slipway_status status =
        direct_copier_->Submit(&direct_copies_[direct_begun_], sizeof direct_copies_[0], n, &accepted, &error);
    direct_begun_ += accepted;
    any |= accepted > 0;
    if (status == SLIPWAY_E_AGAIN || (status == SLIPWAY_OK && accepted == 0)) return any;  // completions make room
    if (status == SLIPWAY_OK || direct_begun_ == direct_copies_.size()) continue;
    FailDirect(direct_copies_[direct_begun_++].token,
               FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, "copying a device's memory"));
    any = true;
  }
  direct_copies_.clear();  // keeps its room
  direct_begun_ = 0;
  return any;
}

// The run that a copy in flight belongs to; null: there is none such.
Dispatcher::DirectRun* Dispatcher::FindRun(uint64_t token) {
  const size_t index = token >> 48, request = token & UINT32_MAX;
  if (index >= runs_.size()) return nullptr;
  DirectRun* const run = &runs_[index];
  const bool known = run->batch != nullptr && run->generation == (token >> 32 & UINT16_MAX) &&
                     request < run->batch->requests.size() && run->batch->requests[request].copying;
  return known ? run : nullptr;
}

bool Dispatcher::TakeDirectCopies() {
  if (direct_copier_ == nullptr) return false;
  bool any = false;
  for (uint32_t round = 0; round < kPollRounds && direct_copier_->inflight() > 0; ++round) {
    std::array<slipway_completion, kPollMax> completions;
    uint32_t n = 0;
    if (direct_copier_->Poll(completions.data(), sizeof completions[0], kPollMax, &n) != SLIPWAY_OK) break;
    DirectRun* run = nullptr;
    uint64_t copies = 0, bytes = 0;  // of that run, not accounted for
    for (uint32_t i = 0; i < n; ++i) {
      const slipway_completion& c = completions[i];
      DirectRun* const its = FindRun(c.token);
      if (its == nullptr) continue;  // given up
      RequestState* const request = &its->batch->requests[c.token & UINT32_MAX];
      if (c.status != SLIPWAY_OK || request->failure != SLIPWAY_OK) {
        if (copies > 0) EndDirect(run, std::exchange(copies, 0), std::exchange(bytes, 0));
        const slipway_status status = c.status < 0 ? c.status : SLIPWAY_E_INTERNAL;
        FailDirect(c.token, FromPlugin(status, EmptyError(), "the memory provider could not copy a device's memory"));
        continue;
      }
      if (its != run && copies > 0) EndDirect(run, std::exchange(copies, 0), std::exchange(bytes, 0));
      run = its;
      ++copies;
      bytes += request->length;
      request->copying = false;
      request->outstanding = 0;
      request->status = SLIPWAY_OK;
      request->bytes_done = request->length;
      request->transport = run->number;
      held_.ObserveHeld(Histogram::kRequestBytes, request->length);
    }
    if (copies > 0) EndDirect(run, copies, bytes);
    any |= n > 0;
    polled_ += n;
    if (n < kPollMax) break;
  }
  return any;
}

// So many copies of the run have ended well. With the last of them the peer's memory is left, and then the batch may be
// complete.
void Dispatcher::EndDirect(DirectRun* run, uint64_t copies, uint64_t bytes) {
  BatchState* const batch = run->batch;
  RemoteSegment* const segment = run->segment;
  const bool read = run->op == SLIPWAY_OP_READ;
  run->open -= copies;
  run->use.copies += copies;
  (read ? run->use.bytes_read : run->use.bytes_written) += bytes;
  if (run->open == 0 && !run->filling) {
    const Lane& lane = lanes_[run->number];
    lane.direct->leave(lane.channel, run->remote, SLIPWAY_DIRECT_HOLD, &run->use);
    run->batch = nullptr;
    ++run->generation;
    free_runs_.push_back(run);
  }
  if (copies == 0) return;
  held_.AddHeld(read ? Counter::kBytesRead : Counter::kBytesWritten, bytes);
  held_.SubHeld(Counter::kRequestsInflight, copies);
  held_.SubHeld(Counter::kSlicesInflight, copies);
  inflight_requests_ -= copies;
  segment->inflight_requests -= copies;
  if (segment->inflight_requests == 0 && segment->closed) garbage_ = true;
  batch->remaining -= copies;
  if (batch->remaining == 0) CompleteBatch(batch);
}

// A copy that was not made, or whose request was cut short meanwhile.
void Dispatcher::FailDirect(uint64_t token, const Status& why) {
  DirectRun* const run = FindRun(token);
  if (run == nullptr) return;
  RequestState* const request = &run->batch->requests[token & UINT32_MAX];
  const uint8_t number = run->number;
  request->copying = false;
  held_.SubHeld(Counter::kSlicesInflight);
  --run->open;
  EndDirect(run, 0, 0);
  if (request->failure == SLIPWAY_OK) {
    WorkItem* item = NewItem();
    item->request = request;
    item->cursor = {request->local_address, request->offset, request->length, request->Access(), 0};
    item->tried = uint32_t{1} << number;
    ++request->outstanding;
    ++request->retries;
    counters_.Add(Counter::kRetries);
    Route(item, why, clock_.NowNs());
  }
  --request->outstanding;
  MaybeComplete(request);
}

// Drops the copies of requests that have failed and that no provider has yet.
void Dispatcher::SweepDirect() {
  std::vector<slipway_copy> kept, dead;
  for (size_t i = direct_begun_; i < direct_copies_.size(); ++i) {
    const uint64_t token = direct_copies_[i].token;
    DirectRun* const run = FindRun(token);
    const bool failed = run != nullptr && run->batch->requests[token & UINT32_MAX].failure != SLIPWAY_OK;
    (failed ? dead : kept).push_back(direct_copies_[i]);
  }
  if (dead.empty()) return;
  direct_copies_ = std::move(kept);
  direct_begun_ = 0;
  for (const slipway_copy& copy : dead) FailDirect(copy.token, Status());
}

// The provider has these copies and does not end them: see AbandonSlice. The peer's memory stays entered.
void Dispatcher::AbandonDirect(BatchState* batch) {
  SweepDirect();
  bool any = false;
  for (DirectRun& run : runs_) {
    if (run.batch != batch || run.open == 0) continue;
    run.batch = nullptr;  // and is not free
    lanes_[run.number].holds_lost = true;
    any = true;
  }
  if (!any) return;
  for (RequestState& request : batch->requests) {
    if (!request.copying) continue;
    request.copying = false;
    held_.SubHeld(Counter::kSlicesInflight);
    (void)Stuck(&request, "a memory provider did not complete a copy");
    stuck_ranges_.emplace_back(request.local_address, request.length);
    --request.outstanding;
    MaybeComplete(&request);
  }
}

}  // namespace slipway
