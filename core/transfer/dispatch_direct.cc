// The dispatcher's part about what needs no slice, where the transport lets this process touch the peer's memory
// (slipway/abi/direct.h): short pieces of host memory are copied while they are submitted, and devices' pieces go to
// their memory provider as they are (dispatch_device.cc). Whatever does not fit goes as slices, which also find out
// what is wrong with it.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "core/transfer/dispatcher.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {
namespace {

constexpr uint64_t kBriefCopies = 16;  // of the longest brief length: what one submission copies by itself

// Between memory here and the peer's, both of the host.
void CopyThere(uint32_t op, void* here, char* there, uint64_t length, slipway_direct_use* use) {
  ++use->copies;
  if (op == SLIPWAY_OP_READ) {
    sdk::CopyBytes(here, there, length);
    use->bytes_read += length;
  } else {
    sdk::CopyBytes(there, here, length);
    use->bytes_written += length;
  }
}

// Batches of requests alone, kept by the thread that released them for the next that it submits.
class SpareBatches {
 public:
  constexpr SpareBatches() = default;
  ~SpareBatches() {
    room_ = 0;  // the thread's end may release more
    while (first_ != nullptr) delete std::exchange(first_, first_->next_completed);
  }
  BatchState* Take() {
    if (first_ == nullptr) return Make();
    ++room_;
    return std::exchange(first_, first_->next_completed);
  }
  void Give(BatchState* batch) {
    if (room_ == 0) return delete batch;
    --room_;
    batch->next_completed = std::exchange(first_, batch);
  }

 private:
  // All that such batches have in common.
  static BatchState* Make() {
    auto* const batch = new BatchState(1);
    batch->remaining = 0;
    batch->at_once = true;
    batch->status = SLIPWAY_OK;
    batch->done.store(true, std::memory_order_relaxed);
    RequestState* const request = batch->requests.Add();
    request->status = SLIPWAY_OK;
    request->slices = 1;
    return batch;
  }

  BatchState* first_ = nullptr;
  uint32_t room_ = 64;
};
thread_local SpareBatches spare_batches;

}  // namespace

// ---- which requests ----------------------------------------------------------------------------------------------

// Copies the request, or gives it to its memory provider. False: it goes as slices.
bool Dispatcher::GoDirect(DirectPass* pass, RequestState* request, uint64_t now_ns) {
  const RequestState& r = *request;
  const bool alike =
      r.segment == pass->segment && r.op == pass->op && r.local_kind == pass->local_kind && r.length == pass->length;
  if (alike && pass->never) return false;
  if (!alike || r.offset - pass->begin >= pass->bytes || r.length > pass->bytes - (r.offset - pass->begin)) {
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
  if (pass->requests == 1) RememberAlone(*pass);
  CopyThere(r.op, here, there, r.length, &pass->use);
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
  pass->never = plan.count == 0 || lanes_[plan.order[0]].direct == nullptr;
  if (!pass->never) {
    number = plan.order[0];
    const SegmentRoute& route = request.segment->routes[number];
    const size_t index = FindPiece(route.pieces, request.offset, 0);
    if (route.link->state == Link::State::kReady && index < route.pieces.size()) {
      piece = &route.pieces[index];
      remote = route.remotes[index];
    }
  }
  const bool hold = request.local_kind != SLIPWAY_MEM_HOST;
  // How much the transport likes to have in one slice says nothing about what a memory provider copies, which loses
  // time between two copies.
  const bool fits = remote != nullptr && request.length <= piece->length - (request.offset - piece->offset) &&
                    (hold || request.length <= lanes_[number].transport->attrs().preferred_slice_bytes);
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
  CloseGroup(pass);
  if (DirectRun* const run = std::exchange(pass->run, nullptr)) {
    run->filling = false;
    EndDirect(run, 0, 0);
  } else {
    lane.direct->leave(lane.channel, pass->remote, pass->hold ? SLIPWAY_DIRECT_HOLD : 0, &pass->use);
  }
  pass->remote = nullptr;
  pass->bytes = 0;
}

void Dispatcher::CountCopied(uint32_t op, uint64_t length, uint64_t n) {
  held_.AddHeld(op == SLIPWAY_OP_READ ? Counter::kBytesRead : Counter::kBytesWritten, n * length);
  held_.AddHeld(Counter::kSlices, n);
  held_.AddHeld(Counter::kSlicesDirect, n);
  held_.ObserveHeld(Histogram::kRequestBytes, length, n);
}

// Accounts for what was copied on this thread. What the batch's completion lets go of is not entered any more.
void Dispatcher::CountDone(DirectPass* pass, BatchState* batch) {
  const uint64_t n = std::exchange(pass->done, 0);
  if (n == 0) return;
  CountCopied(pass->op, pass->length, n);
  batch->remaining -= n;
  if (batch->remaining == 0) CompleteBatch(batch);
}

// ---- one alone -----------------------------------------------------------------------------------------------------

// The request of this pass is copied.
void Dispatcher::RememberAlone(const DirectPass& pass) {
  const Lane& lane = lanes_[pass.number];
  alone_.lane = &lane;
  alone_.remote = pass.remote;
  alone_.begin = pass.begin;
  alone_.bytes = pass.bytes;
  alone_.longest = std::min({pass.bytes, kBriefCopies * pass.brief_bytes, options_.max_request_bytes,
                             uint64_t{lane.transport->attrs().preferred_slice_bytes}});
  alone_.length = plan_.count == 1 ? 0 : pass.length;
  alone_.until_ns = plan_until_ns_;
  alone_.op = pass.op;
  alone_.number = pass.number;
  alone_.segment.store(pass.segment, std::memory_order_relaxed);
}

// Here is all that is done for one of the shortest requests: what is not needed for it is not done. It is never in
// flight, so it counts against no bound on what is, and has no deadline to miss.
BatchState* Dispatcher::SubmitAlone(const RequestSpec& spec) {
  // What follows is looked at with the lock held; that this is not so mostly is found out without.
  if (spec.segment == nullptr || alone_.segment.load(std::memory_order_relaxed) != spec.segment) return nullptr;
  if (spec.local_kind != SLIPWAY_MEM_HOST || spec.local == nullptr ||
      Wraps(reinterpret_cast<uint64_t>(spec.local), spec.length)) {
    return nullptr;
  }
  BatchState* const batch = spare_batches.Take();  // first: there may be no memory
  MutexLock lock(mutex_);
  if (!CopyAlone(spec)) {
    spare_batches.Give(batch);
    return nullptr;
  }
  RequestState& request = batch->requests[0];
  request.length = request.bytes_done = spec.length;
  request.transport = alone_.number;
  batch->served_by = alone_.lane->label;
  return batch;
}

bool Dispatcher::CopyAlone(const RequestSpec& spec) {
  const Alone& a = alone_;
  if (a.segment.load(std::memory_order_relaxed) != spec.segment || spec.op != a.op || spec.length - 1 >= a.longest ||
      spec.offset - a.begin > a.bytes - spec.length || (a.length != 0 && spec.length != a.length) ||
      a.lane->transport->failed()) {
    return false;
  }
  const bool timed = at_once_ % kTimedAtOnce == 0;
  const uint64_t begin_ns = timed ? clock_.NowNs() : 0;
  if (timed && begin_ns >= a.until_ns) return false;
  slipway_direct_view view{};
  view.struct_size = sizeof view;
  if (a.lane->direct->enter(a.lane->channel, a.remote, 0, &view) != SLIPWAY_OK) return false;
  slipway_direct_use use{};
  use.struct_size = sizeof use;
  CopyThere(a.op, spec.local, static_cast<char*>(view.base) + (spec.offset - a.begin), spec.length, &use);
  a.lane->direct->leave(a.lane->channel, a.remote, 0, &use);
  held_.AddHeld(Counter::kBatches);
  held_.AddHeld(Counter::kRequests);
  CountCopied(a.op, spec.length, 1);
  if (timed) held_.ObserveHeld(Histogram::kRequestNs, clock_.NowNs() - begin_ns, kTimedAtOnce);
  ++at_once_;
  return true;
}

int Dispatcher::EventFdAlone(BatchState* batch) {
  static Mutex one_at_a_time;
  MutexLock lock(one_at_a_time);
  return MakeEventFd(batch);
}

void Dispatcher::ReleaseAlone(BatchState* batch) {
  if (batch->event_fd >= 0) close(std::exchange(batch->event_fd, -1));
  spare_batches.Give(batch);
}

}  // namespace slipway
