// The dispatcher's part about what was just submitted: which way each request goes, and which go as one.
#include <utility>

#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

// Requests that are taken between two looks at what has completed; one that is cut into slices counts as several.
constexpr uint64_t kTakenAtOnce = 4096, kSlowOne = 8;
constexpr uint64_t kLengthyBytes = 32 << 10;
// Requests that go as one are no longer together: each waits for all of them.
constexpr uint64_t kRunBytes = 64 << 10;

// Whether `next` begins where the one before it ends, on both sides.
bool Continues(const RequestState& before, const RequestState& next) {
  return next.offset == before.offset + before.length && next.local_address == before.local_address + before.length &&
         next.segment == before.segment && next.op == before.op && next.length > 0 && before.length > 0;
}

}  // namespace

// Of long batches, most are added here: what goes on after `last`, as long as that is, up to a run's bound.
size_t Dispatcher::AddOn(RequestSource& source, size_t next, const RequestSpec& like, const RequestState* run,
                         const RequestState* last) {
  const uint64_t bytes = last->offset + last->length - run->offset;
  if (last->length == 0 || bytes >= kRunBytes || last->bulk || last->local_kind != SLIPWAY_MEM_HOST) return 0;
  const size_t on = source.CountOn(next, like, (kRunBytes - bytes) / last->length);
  for (size_t i = 0; i < on; ++i) {
    RequestState* const request = last->batch->requests.Add();
    *request = request[-1];
    request->local_address += request->length;
    request->offset += request->length;
  }
  return on;
}

// The long way: by slices. [first, end) go as one, since a slice costs the same whatever it carries.
void Dispatcher::BeginRun(RequestState* first, RequestState* end, uint64_t now_ns) {
  BatchState* const batch = first->batch;
  ListInflight(batch);
  const auto count = static_cast<uint64_t>(end - first);
  CountIn(first->segment, count);
  first->run = static_cast<uint32_t>(count - 1);
  for (RequestState* r = first + 1; r != end; ++r) {
    r->run = RequestState::kFollows;
    r->outstanding = 1;
  }
  if (batch->cut_short != SLIPWAY_OK) {
    for (RequestState* r = first; r != end; ++r) FailRequest(r, WhyCut(batch->cut_short));
  }
  Begin(first, now_ns);
}

void Dispatcher::Begin(RequestState* request, uint64_t now_ns) {
  if (request->length == 0) return MaybeComplete(request);
  const RequestState& last = request->RunEnd()[-1];
  WorkItem* item = NewItem();
  request->first_item = item;
  item->request = request;
  item->cursor = {request->local_address, request->offset, last.offset + last.length - request->offset,
                  request->Access(), 0};
  ++request->outstanding;
  Route(item, Status(), now_ns);
}

// The batch is not complete before all of it has been added, since all count from the beginning, and is not freed
// before the lock is.
void Dispatcher::Enqueue(BatchState* batch, RequestSource& source, PriorityClass priority, uint64_t now_ns,
                         DirectPass* pass) {
  const size_t count = source.size();
  held_.AddHeld(Counter::kBatches);
  held_.AddHeld(Counter::kRequests, count);
  if (ahead_.pass != nullptr && ahead_.pass != pass) DropAhead();
  uint64_t taken = 0;
  // What was added last and has not begun: more may go with it.
  RequestState *run = nullptr, *run_end = nullptr;
  const auto begin_run = [&]() SLIPWAY_REQUIRES(mutex_) {
    if (run != nullptr) BeginRun(std::exchange(run, nullptr), run_end, now_ns);
  };
  for (size_t i = 0; i < count; ++i) {
    RequestSpec spec;
    const char* why = "";
    (void)source.Get(i, &spec, &why);
    RequestState* const request = batch->requests.Add();
    request->batch = batch;
    request->segment = spec.segment;
    request->local_address = reinterpret_cast<uint64_t>(spec.local);
    request->length = spec.length;
    request->offset = spec.offset;
    request->local_kind = spec.local_kind;
    request->op = static_cast<uint8_t>(spec.op);
    request->bulk = priority == PriorityClass::kAuto ? spec.length >= options_.bulk_threshold_bytes
                                                     : priority == PriorityClass::kBulk;
    batch->bulk |= request->bulk;
    batch->lengthy |= spec.length >= kLengthyBytes;
    if (any_direct_ && GoDirect(pass, request, now_ns)) {
      begin_run();
      ++taken;
      if (pass->group != nullptr && i + 1 < count) {
        const size_t alike = AddAlike(pass, source, i + 1, spec, *request);
        taken += alike;
        i += alike;
      }
    } else {
      // Of host memory, where it does not matter how what adjoins was allocated.
      if (run == nullptr || request->bulk || run->bulk || request->local_kind != SLIPWAY_MEM_HOST ||
          run->local_kind != SLIPWAY_MEM_HOST || !Continues(run_end[-1], *request) ||
          request->offset + request->length - run->offset > kRunBytes) {
        begin_run();
        run = request;
      }
      run_end = request + 1;
      taken += kSlowOne;
      if (!any_direct_ || pass->never) {
        const size_t on = AddOn(source, i + 1, spec, run, request);
        run_end += on;
        taken += on * kSlowOne;
        i += on;
      }
    }
    // A long batch begins to move before all of it has been looked at.
    if (taken < kTakenAtOnce || (!batch->inflight && run == nullptr)) continue;
    // A group of copies is full soon, and is better not cut.
    if (pass->group != nullptr && taken < 2 * kTakenAtOnce) continue;
    taken = 0;
    begin_run();
    pass->hold ? CloseGroup(pass) : LeaveDirect(pass);
    ProgressLocked();
  }
  begin_run();
  if (pass->reads_ahead) EndAhead(pass);
  LeaveDirect(pass);
  batch->at_once = pass->done_in_all == count && !batch->on_complete;
  if (!batch->at_once) ListInflight(batch);
  CountDone(pass, batch);
}

}  // namespace slipway
