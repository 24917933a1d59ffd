// The dispatcher's part about devices' memory beside memory of a peer's that this process can touch itself: a memory
// provider copies it straight into place, many requests at a time, as one group. Of a request nothing but its state is
// kept: the pieces are written down anew when the provider takes them.
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

// The first group is small, so that the device begins early; the more are submitted together, the better.
// Towards the end of a batch groups are short again, as nobody waits for less than the last one's completion.
constexpr uint32_t kFirstGroup = 512, kGroupMax = 4096, kLastGroup = 512;
constexpr size_t kStatesAhead = 16;  // are asked of memory before they are written
constexpr uint32_t kPollMax = 64;
constexpr uint32_t kPollRounds = 64;  // then others have their turn

bool Overlap(const char* a, const char* b, uint64_t length) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y ? y - x < length : x - y < length;
}

}  // namespace

// ---- putting groups together -------------------------------------------------------------------------------------

Dispatcher::DirectRun* Dispatcher::NewRun() {
  if (free_runs_.empty()) return &runs_.emplace_back();
  DirectRun* const run = free_runs_.back();
  free_runs_.pop_back();
  return run;
}

Dispatcher::DirectGroup* Dispatcher::NewGroup() {
  if (free_groups_ == nullptr) {
    DirectGroup* const group = &groups_.emplace_back();
    group->index = static_cast<uint32_t>(groups_.size() - 1);
    return group;
  }
  return std::exchange(free_groups_, free_groups_->next);
}

void Dispatcher::FreeGroup(DirectGroup* group) {
  if (written_down_ == group) written_down_ = nullptr;
  group->run = nullptr;
  group->submitted = false;
  ++group->generation;
  group->next = std::exchange(free_groups_, group);
}

// Adds the request to the group that is being put together. False: it goes as slices.
bool Dispatcher::AddDirectCopy(DirectPass* pass, RequestState* request, char* there) {
  if (Overlap(reinterpret_cast<char*>(request->local_address), there, request->length)) return false;
  BatchState* const batch = request->batch;
  DirectRun* run = pass->run;
  if (run == nullptr) {
    ListInflight(batch);
    run = pass->run = NewRun();
    run->batch = batch;
    run->segment = request->segment;
    run->remote = pass->remote;
    run->base = pass->base;
    run->begin = pass->begin;
    run->kind_there = pass->kind_there;
    run->use = pass->use;
    run->open = 0;
    run->number = pass->number;
    run->op = pass->op;
    run->filling = true;
  }
  const auto index = static_cast<uint32_t>(request - batch->requests.begin());
  if (pass->group != nullptr && pass->group->local_kind != request->local_kind) CloseGroup(pass);
  DirectGroup* group = pass->group;
  if (group == nullptr) {
    group = pass->group = NewGroup();
    group->run = run;
    group->local_kind = request->local_kind;
    group->first = index;
    group->copies = 0;
    group->bytes = 0;
    written_down_ = group;  // so far
    pass->group_limit = pass->group_limit != 0            ? std::min(2 * pass->group_limit, kGroupMax)
                        : direct_copier_->inflight() == 0 ? kFirstGroup
                                                          : kGroupMax;
    const size_t left = pass->requests - index;
    if (left / 2 < pass->group_limit) pass->group_limit = std::max(static_cast<uint32_t>(left / 2), kLastGroup);
  }
  request->copying = true;
  request->outstanding = 1;
  request->slices = 1;
  if (written_down_ == group) {
    if (direct_pieces_.size() == group->copies) direct_pieces_.emplace_back();
    direct_pieces_[group->copies] = PieceOf(*run, *group, *request);
    direct_pieces_[group->copies].token = index;
  }
  group->end = index + 1;
  group->bytes += request->length;
  if (++group->copies == pass->group_limit) CloseGroup(pass);
  return true;
}

// Adds requests from number `next` on that are like the one just added, `first`, up to the end of the group: returns
// how many. The provider has their copies before their states are written, which takes longer than the rest.
size_t Dispatcher::AddAlike(DirectPass* pass, RequestSource& source, size_t next, const RequestSpec& like,
                            const RequestState& first) {
  DirectGroup* const group = pass->group;
  DirectRun& run = *pass->run;
  BatchState* const batch = run.batch;
  // Memory of one kind may overlap, which is looked at one by one.
  if (group->local_kind == run.kind_there || !waiting_groups_.empty()) return 0;
  if (written_down_ != group) WriteDown(*group);
  direct_pieces_.resize(std::max<size_t>(direct_pieces_.size(), pass->group_limit));
  slipway_copy* const pieces = &direct_pieces_[group->copies];
  const RequestSource::View view{pass->base, pass->begin, pass->bytes, run.kind_there};
  const size_t n = source.WriteAlike(next, like, view, pieces, pass->group_limit - group->copies);
  if (n == 0) return 0;
  group->end += static_cast<uint32_t>(n);
  group->copies += static_cast<uint32_t>(n);
  group->bytes += n * like.length;
  const bool full = group->copies == pass->group_limit;
  const GroupAnswer answer = full ? OfferGroup(*group) : GroupAnswer();
  const bool read = run.op == SLIPWAY_OP_READ;
  for (size_t i = 0; i < n; ++i) {
    RequestState* const request = batch->requests.Add();
    __builtin_prefetch(request + kStatesAhead, 1);
    *request = first;
    request->local_address = reinterpret_cast<uint64_t>(read ? pieces[i].dst : pieces[i].src);
    const char* const there = static_cast<const char*>(read ? pieces[i].src : pieces[i].dst);
    request->offset = pass->begin + static_cast<uint64_t>(there - pass->base);
    pieces[i].token = next + i;
  }
  if (!full) return n;
  pass->group = nullptr;
  Account(*group);
  (void)SettleGroup(group, answer);
  return n;
}

// What was put together counts from now on, and goes to the provider as soon as that has room.
void Dispatcher::CloseGroup(DirectPass* pass) {
  DirectGroup* const group = std::exchange(pass->group, nullptr);
  if (group == nullptr) return;
  Account(*group);
  waiting_groups_.push_back(group);
  SubmitDirectCopies();
}

void Dispatcher::Account(const DirectGroup& group) {
  const uint64_t n = group.copies;
  group.run->open += n;
  CountIn(group.run->segment, n);
  held_.AddHeld(Counter::kSlices, n);
  held_.AddHeld(Counter::kSlicesInflight, n);
  held_.AddHeld(Counter::kSlicesDirect, n);
}

// ---- submitting --------------------------------------------------------------------------------------------------

slipway_copy Dispatcher::PieceOf(const DirectRun& run, const DirectGroup& group, const RequestState& request) {
  char* const here = reinterpret_cast<char*>(request.local_address);
  char* const there = run.base + (request.offset - run.begin);
  if (run.op == SLIPWAY_OP_READ) return {0, here, there, request.length, group.local_kind, run.kind_there};
  return {0, there, here, request.length, run.kind_there, group.local_kind};
}

// The group's pieces; each one's token is the number of its request.
void Dispatcher::WriteDown(const DirectGroup& group) {
  const RequestList& requests = group.run->batch->requests;
  if (direct_pieces_.size() < group.copies) direct_pieces_.resize(group.copies);
  slipway_copy* piece = direct_pieces_.data();
  for (uint32_t i = group.first; i < group.end; ++i) {
    if (!requests[i].copying) continue;
    *piece = PieceOf(*group.run, group, requests[i]);
    piece++->token = i;
  }
  written_down_ = &group;
}

// The group is the one written down last.
Dispatcher::GroupAnswer Dispatcher::OfferGroup(const DirectGroup& group) {
  GroupAnswer answer;
  answer.status = direct_copier_->SubmitGroup(group.Token(), direct_pieces_.data(), sizeof direct_pieces_[0],
                                              group.copies, &answer.accepted, &answer.error);
  return answer;
}

// What was not taken of a group, which is in no list, goes back to the front. False: none was, and completions make
// room.
bool Dispatcher::SettleGroup(DirectGroup* group, const GroupAnswer& answer) {
  const bool full =
      answer.status == SLIPWAY_E_AGAIN || (answer.status == SLIPWAY_OK && answer.accepted < group->copies);
  group->submitted = answer.accepted > 0;
  if (answer.accepted == group->copies) return true;
  if (full && answer.accepted == 0) {
    waiting_groups_.push_front(group);
    return false;
  }
  written_down_ = nullptr;
  DirectGroup* const rest = CutGroup(group, answer.accepted);
  if (answer.accepted == 0) FreeGroup(group);
  if (full) {
    waiting_groups_.push_front(rest);
    return true;
  }
  // The first of the rest is at fault.
  DirectRun* const run = rest->run;
  RequestState* const culprit = &run->batch->requests[rest->first];
  DirectGroup* const others = CutGroup(rest, 1);
  FreeGroup(rest);
  if (others->copies > 0) {
    waiting_groups_.push_front(others);
  } else {
    FreeGroup(others);
  }
  FailDirect(
      run, culprit,
      FromPlugin(answer.status < 0 ? answer.status : SLIPWAY_E_INTERNAL, answer.error, "copying a device's memory"));
  return true;
}

// Gives what waits to the providers, as far as they have room. True when they took some.
bool Dispatcher::SubmitDirectCopies() {
  bool any = false;
  while (!waiting_groups_.empty()) {
    DirectGroup* const group = waiting_groups_.front();
    if (written_down_ != group) WriteDown(*group);
    waiting_groups_.pop_front();
    if (!SettleGroup(group, OfferGroup(*group))) return any;
    any = true;
  }
  return any;
}

// Takes all but the first `kept` of the group's requests out of it, as a group of their own.
Dispatcher::DirectGroup* Dispatcher::CutGroup(DirectGroup* group, uint32_t kept) {
  DirectGroup* const rest = NewGroup();
  RequestList& requests = group->run->batch->requests;
  rest->run = group->run;
  rest->local_kind = group->local_kind;
  rest->end = group->end;
  rest->copies = group->copies - kept;
  uint64_t bytes = 0;
  uint32_t at = group->first;
  for (uint32_t n = 0;; ++at) {
    if (at == group->end || (requests[at].copying && n++ == kept)) break;
    if (requests[at].copying) bytes += requests[at].length;
  }
  rest->first = group->end = at;
  rest->bytes = group->bytes - bytes;
  group->copies = kept;
  group->bytes = bytes;
  return rest;
}

// ---- completions -------------------------------------------------------------------------------------------------

// The group in flight with that token; null: there is none such.
Dispatcher::DirectGroup* Dispatcher::FindGroup(uint64_t token) {
  const uint64_t index = token & UINT32_MAX;
  if (index >= groups_.size()) return nullptr;
  DirectGroup* const group = &groups_[index];
  return group->run != nullptr && group->submitted && group->Token() == token ? group : nullptr;
}

bool Dispatcher::TakeDirectCopies() {
  if (direct_copier_ == nullptr) return false;
  bool any = false;
  for (uint32_t round = 0; round < kPollRounds && direct_copier_->inflight() > 0; ++round) {
    std::array<slipway_completion, kPollMax> completions;
    uint32_t n = 0;
    if (direct_copier_->Poll(completions.data(), sizeof completions[0], kPollMax, &n) != SLIPWAY_OK) break;
    for (uint32_t i = 0; i < n; ++i) {
      DirectGroup* const group = FindGroup(completions[i].token);
      if (group == nullptr) continue;  // given up
      const slipway_status status = completions[i].status;
      if (status != SLIPWAY_OK) {
        FailGroup(group, FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, EmptyError(),
                                    "the memory provider could not copy a device's memory"));
      } else {
        FinishGroup(group);
      }
    }
    any |= n > 0;
    polled_ += n;
    if (n < kPollMax) break;
  }
  return any;
}

// All of it has been copied. What was cut short meanwhile ends as that.
void Dispatcher::FinishGroup(DirectGroup* group) {
  DirectRun* const run = group->run;
  BatchState* const batch = run->batch;
  if (batch->cut_short != SLIPWAY_OK) return FailGroup(group, Status());
  uint64_t length = 0, alike = 0;
  for (uint32_t i = group->first; i < group->end; ++i) {
    RequestState& r = batch->requests[i];
    __builtin_prefetch(&r + kStatesAhead, 1);
    if (!r.copying) continue;
    r.copying = false;
    r.outstanding = 0;
    r.status = SLIPWAY_OK;
    r.bytes_done = r.length;
    r.transport = run->number;
    if (r.length != length) {
      if (alike > 0) held_.ObserveHeld(Histogram::kRequestBytes, length, std::exchange(alike, 0));
      length = r.length;
    }
    ++alike;
  }
  if (alike > 0) held_.ObserveHeld(Histogram::kRequestBytes, length, alike);
  const uint64_t copies = group->copies, bytes = group->bytes;
  FreeGroup(group);
  EndDirect(run, copies, bytes);
}

// Which of the group's requests were not copied is not known: each is copied again by itself, which tells. Of one that
// is by itself already, and of a batch that was cut short, the requests end or go other ways.
void Dispatcher::FailGroup(DirectGroup* group, const Status& why) {
  DirectRun* const run = group->run;
  BatchState* const batch = run->batch;
  const uint32_t first = group->first, end = group->end;
  const uint64_t local_kind = group->local_kind;
  const bool again = group->copies > 1 && batch->cut_short == SLIPWAY_OK;
  FreeGroup(group);
  // The batch stays until the lock is let go, whatever of it completes.
  for (uint32_t i = first; i < end; ++i) {
    RequestState* const request = &batch->requests[i];
    if (!request->copying) continue;
    if (!again) {
      FailDirect(run, request, why);
      continue;
    }
    DirectGroup* const alone = NewGroup();
    alone->run = run;
    alone->local_kind = local_kind;
    alone->first = i;
    alone->end = i + 1;
    alone->copies = 1;
    alone->bytes = request->length;
    waiting_groups_.push_back(alone);
  }
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
    free_runs_.push_back(run);
  }
  if (copies == 0) return;
  held_.AddHeld(read ? Counter::kBytesRead : Counter::kBytesWritten, bytes);
  held_.SubHeld(Counter::kSlicesInflight, copies);
  CountOut(batch, segment, copies);
}

// A copy of the run's that was not made, or whose request was cut short meanwhile.
void Dispatcher::FailDirect(DirectRun* run, RequestState* request, const Status& why) {
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

// Drops the groups of batches that were cut short and that no provider has yet.
void Dispatcher::SweepDirect() {
  std::vector<DirectGroup*> dead;
  std::erase_if(waiting_groups_, [&](DirectGroup* group) SLIPWAY_NO_TSA {
    if (group->run->batch->cut_short == SLIPWAY_OK) return false;
    dead.push_back(group);
    return true;
  });
  if (dead.empty()) return;
  written_down_ = nullptr;
  for (DirectGroup* group : dead) FailGroup(group, Status());
}

// The provider has these copies and does not end them: see AbandonSlice. The peer's memory stays entered.
void Dispatcher::AbandonDirect(BatchState* batch) {
  SweepDirect();
  bool any = false;
  for (DirectGroup& group : groups_) {
    if (group.run == nullptr || group.run->batch != batch) continue;
    lanes_[group.run->number].holds_lost = true;
    group.run = nullptr;  // and is not free: a late completion finds nothing
    any = true;
  }
  if (!any) return;
  for (DirectRun& run : runs_) {
    if (run.batch == batch && run.open > 0) run.batch = nullptr;  // and is not free
  }
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
