#include "core/transfer/dispatcher.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/status_name.h"

namespace slipway {
namespace {

// So often is a submission asked for requests that are alike without having any.
constexpr uint32_t kMissesMax = 8;

uint64_t ShareBytes(const StagingPool* pool, const StagingOptions& options) {
  if (pool == nullptr) return 0;
  const uint64_t hundredth = pool->bytes() / 100, rest = pool->bytes() % 100;
  const uint64_t share = hundredth * options.share_per_batch_percent + rest * options.share_per_batch_percent / 100;
  return std::max(share, options.chunk_bytes);
}

// Where there are as many parts as may be, what is counted is not exact.
Counters& ShardOf(Counters& counters) {
  Counters* const shard = counters.NewShard();
  return shard == nullptr ? counters : *shard;
}

}  // namespace

Dispatcher::Dispatcher(Parts parts)
    : options_(parts.transfer),
      staging_options_(parts.staging),
      pool_(parts.pool),
      staging_share_bytes_(ShareBytes(parts.pool, parts.staging)),
      copies_to_devices_(parts.copies),
      pin_wait_ns_(parts.pin_wait_ns),
      clock_(*parts.clock),
      log_(*parts.log),
      counters_(*parts.counters),
      held_(ShardOf(*parts.counters)),
      copier_(
          parts.pool == nullptr ? 0 : parts.staging.copy_threads, [this] { Wake(); }, parts.clock) {
  assert(parts.transports.size() <= kTransportsMax);
  for (size_t i = 0; i < parts.transports.size(); ++i) {
    Lane lane;
    lane.transport = parts.transports[i];
    lane.transport->name().copy(lane.label.data(), lane.label.size() - 1);
    lane.direct = lane.transport->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG) ? nullptr : lane.transport->direct();
    any_direct_ |= lane.direct != nullptr;
    lane.pool_ready = pool_ != nullptr && parts.pool_ready[i];
    lane.pool_mr = lane.pool_ready ? parts.pool_mrs[i] : nullptr;
    lane.source.ledger = &lane.transport->ledger();
    if (parts.cache != nullptr && i < parts.pinners.size() && parts.pinners[i] >= 0) {
      lane.source.cache = parts.cache;
      lane.source.who = static_cast<uint32_t>(parts.pinners[i]);
    }
    lanes_.push_back(lane);
  }
  if (pool_ != nullptr) {
    pool_->AddListener(this, [this] {
      pool_changed_.store(true);
      Wake();
    });
  }
  if (parts.cache != nullptr) {
    parts.cache->AddListener([this] {
      pins_changed_.store(true);
      Wake();
    });
  }
}

Dispatcher::~Dispatcher() {}

Status Dispatcher::Start(bool threaded) {
  MutexLock lock(mutex_);
  if (thread_bell_.fd() < 0 || leader_bell_.fd() < 0)
    return Status(SLIPWAY_E_NOMEM, "cannot make an eventfd: too many open files?");
  for (Lane& lane : lanes_) {
    const slipway_transport& table = lane.transport->table();
    slipway_error error = EmptyError();
    const slipway_status status = table.channel_open(lane.transport->instance(), this, &lane.channel, &error);
    if (status != SLIPWAY_OK) {
      lane.channel = nullptr;
      return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error,
                        lane.transport->name() + " cannot open a channel");
    }
    if (lane.transport->Has(SLIPWAY_CAP_EVENT_FD) && table.event_fd != nullptr) {
      lane.event_fd = table.event_fd(lane.channel);
      event_fds_ |= lane.event_fd >= 0;
    }
  }
  if (copies_to_devices_ != nullptr) {
    Result<Copier*> copier = copies_to_devices_->Open(this, Counter::kStagedProviderCopies);
    if (!copier.ok()) return copier.status();
    device_copier_ = *copier;
    Result<Copier*> direct = copies_to_devices_->Open(this, Counter::kDirectProviderCopies);
    if (!direct.ok()) return direct.status();
    direct_copier_ = *direct;
  }
  threaded_ = threaded;
  if (threaded) thread_ = std::thread([this] { Run(); });
  return {};
}

void Dispatcher::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    ForgetPlan();
    std::vector<BatchState*> all;
    for (BatchState* b = inflight_; b != nullptr; b = b->next_inflight) all.push_back(b);
    for (BatchState* b : all) {
      b->canceled = true;
      CutShort(b, SLIPWAY_E_CLOSED);
    }
    // Every batch that was cut short has a time by which it is complete or its transport is given up.
    const uint64_t until_ns = DeadlineAfter(clock_.NowNs(), options_.completion_grace_ms * 1'000'000);
    while (inflight_ != nullptr || ahead_.segment != nullptr) {
      ProgressLocked();
      if (inflight_ == nullptr && clock_.NowNs() >= until_ns) LeaveAhead(true);
      if (inflight_ != nullptr || ahead_.segment != nullptr) idle_.WaitFor(mutex_, std::chrono::milliseconds(1));
    }
    exit_ = true;
  }
  RunCallbacks();
  thread_bell_.Ring();
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mutex_);
  while (copies_ > 0) TakeCopies();
  TakeDeviceCopies();
  TakeDirectCopies();
  for (Copier** copier : {&device_copier_, &direct_copier_}) {
    if (*copier != nullptr) (void)copies_to_devices_->Close(*copier);
    *copier = nullptr;
  }
  for (const auto& segment : segments_) segment->closed = true;
  garbage_ = true;
  for (int round = 0; round < 1000 && garbage_; ++round) {
    if (!Collect()) idle_.WaitFor(mutex_, std::chrono::milliseconds(1));
  }
  for (Lane& lane : lanes_) {
    // Where copies were given up that may still go on, the peer's memory stays entered.
    if (lane.channel == nullptr || lane.holds_lost) continue;
    (void)lane.transport->table().channel_close(lane.channel);  // destroy() takes what is left
    lane.channel = nullptr;
  }
}

Status Dispatcher::CheckOne(const RequestSpec& spec) const {
  if (spec.op != SLIPWAY_OP_READ && spec.op != SLIPWAY_OP_WRITE) {
    return Status(SLIPWAY_E_INVALID, "op is neither read nor write");
  }
  if (spec.segment == nullptr) return Status(SLIPWAY_E_INVALID, "segment is null");
  const RemoteSegment& segment = *spec.segment;
  if (!Within(spec.offset, spec.length, segment.length)) {
    return Status(SLIPWAY_E_SEGMENT_RANGE, std::to_string(spec.length) + " bytes at offset " +
                                               std::to_string(spec.offset) + " are not within segment \"" +
                                               segment.name + "\" of " + std::to_string(segment.length) + " bytes");
  }
  if (spec.op == SLIPWAY_OP_READ ? !segment.readable : !segment.writable) {
    return Status(SLIPWAY_E_SEGMENT_ACCESS, "segment \"" + segment.name + "\" was published without " +
                                                (spec.op == SLIPWAY_OP_READ ? "read" : "write") + " access");
  }
  if (spec.length > options_.max_request_bytes) {
    return Status(SLIPWAY_E_TOO_LARGE, std::to_string(spec.length) +
                                           " bytes are more than transfer.max_request_bytes, " +
                                           std::to_string(options_.max_request_bytes));
  }
  if (spec.length == 0) return {};
  if (spec.local == nullptr) return Status(SLIPWAY_E_INVALID, "the local address is null and the length is not 0");
  if (Wraps(reinterpret_cast<uint64_t>(spec.local), spec.length)) {
    return Status(SLIPWAY_E_INVALID, "local address + length wraps around the address space");
  }
  return {};
}

// What is wrong with it is said by CheckOne, where this is false.
bool IsFine(const RequestSpec& spec, uint64_t longest) {
  const RemoteSegment* const segment = spec.segment;
  return segment != nullptr && spec.length - 1 < longest && Within(spec.offset, spec.length, segment->length) &&
         (spec.op == SLIPWAY_OP_READ    ? segment->readable
          : spec.op == SLIPWAY_OP_WRITE ? segment->writable
                                        : false) &&
         spec.local != nullptr && !Wraps(reinterpret_cast<uint64_t>(spec.local), spec.length);
}

Status Dispatcher::Check(RequestSource& source, const BatchSpec& spec, SegmentsNamed* named, DirectPass* pass) {
  const size_t count = source.size();
  if (count == 0) return Status(SLIPWAY_E_INVALID, "a batch needs at least one request");
  if (count > options_.max_batch_requests) {
    return Status(SLIPWAY_E_TOO_LARGE, std::to_string(count) + " requests are more than transfer.max_batch_requests, " +
                                           std::to_string(options_.max_batch_requests));
  }
  if (spec.priority > PriorityClass::kBulk) return Status(SLIPWAY_E_INVALID, "unknown priority");
  uint32_t misses = 0;
  bool begun = false;
  for (size_t i = 0; i < count; ++i) {
    RequestSpec request;
    const char* why = "";
    const slipway_status got = source.Get(i, &request, &why);
    if (got != SLIPWAY_OK || !IsFine(request, options_.max_request_bytes)) {
      const Status status = got == SLIPWAY_OK ? CheckOne(request) : Status(got, why);
      if (!status.ok()) return Status(status.code(), "request " + std::to_string(i) + ": " + status.message());
    }
    named->Add(request.segment);
    if (i + 1 == count || misses == kMissesMax || request.length == 0) continue;
    if (count - i >= kLongSubmission && request.local_kind != SLIPWAY_MEM_HOST && !begun) {
      begun = true;
      // The device first: it takes longer than those who look have left when they are awake.
      const bool ahead = i == 0 && spec.stream_kind == 0 && BeginAhead(source, request, pass);
      source.BeginCount(i + 1, request, options_.max_request_bytes);
      if (ahead) ReadOnAhead(source, request, pass);
    }
    const size_t alike = source.CountAlike(i + 1, request, options_.max_request_bytes);
    i += alike;
    if (alike == 0) ++misses;
  }
  return {};
}

bool Dispatcher::AnyClosed(RequestSource& source, const SegmentsNamed& named) const {
  const auto closed = [](const RemoteSegment* segment) { return segment->closed; };
  if (named.count <= named.segments.size()) {
    return std::any_of(named.segments.begin(), named.segments.begin() + static_cast<ptrdiff_t>(named.count), closed);
  }
  for (size_t i = 0; i < source.size(); ++i) {
    RequestSpec request;
    const char* why = "";
    if (source.Get(i, &request, &why) == SLIPWAY_OK && closed(request.segment)) return true;
  }
  return false;
}

Result<BatchState*> Dispatcher::Submit(std::span<const RequestSpec> specs, const BatchSpec& spec) {
  SpanSource source(specs);
  return Submit(source, spec);
}

Result<BatchState*> Dispatcher::Submit(RequestSource& source, BatchSpec spec,
                                       const std::function<void(BatchState*)>& accepted) {
  SegmentsNamed named;
  struct Pass : DirectPass {
    explicit Pass(Dispatcher* d) : dispatcher(d) {}
    ~Pass() {  // what was read ahead is of no use where the submission is refused
      if (!reads_ahead && remote == nullptr) return;
      MutexLock lock(dispatcher->mutex_);
      if (reads_ahead) dispatcher->EndAhead(this);
      dispatcher->LeaveDirect(this);
      dispatcher->WakeForTimers();
    }
    Dispatcher* const dispatcher;
  } pass(this);
  const size_t count = source.size();
  pass.requests = count;
  SLIPWAY_RETURN_IF_ERROR(Check(source, spec, &named, &pass));
  const uint64_t now_ns = clock_.NowNs();
  auto owned = std::make_unique<BatchState>(count, &spare_requests_);
  BatchState* const batch = owned.get();
  batch->dispatcher = this;
  batch->on_complete = std::move(spec.on_complete);
  batch->owner = std::move(spec.owner);
  batch->submitted_ns = now_ns;
  const uint64_t timeout_ns = spec.timeout_ns == 0 ? options_.default_deadline_ms * 1'000'000 : spec.timeout_ns;
  batch->deadline_ns = DeadlineAfter(now_ns, timeout_ns);
  {
    MutexLock lock(mutex_);
    if (stopping_) return Status(SLIPWAY_E_CLOSED, "the engine is being destroyed");
    if (AnyClosed(source, named)) return Status(SLIPWAY_E_CLOSED, "the segment was closed");
    const uint64_t inflight = std::max(inflight_requests_, counters_.Get(Counter::kRequestsInflight));
    if (count > options_.max_inflight_requests - std::min(options_.max_inflight_requests, inflight)) {
      return Status(SLIPWAY_E_AGAIN, "transfer.max_inflight_requests are in flight: wait for some to complete");
    }
    if (spec.stream_kind != 0) SLIPWAY_RETURN_IF_ERROR(ComeAfter(spec));
    owned.release();
    if (accepted) accepted(batch);
    const Round round(this);
    const bool caught_up = busy_links_.empty();
    Enqueue(batch, source, spec.priority, now_ns, &pass);
    if (batch->at_once) return batch;
    Looked();
    ProgressLocked(now_ns, caught_up);
    WakeForTimers(now_ns);
  }
  RunCallbacks();
  return batch;
}

// Copies of the batch's memory come after what the stream holds now. With the lock held, so that those of a batch
// submitted after this one do too.
Status Dispatcher::ComeAfter(const BatchSpec& spec) const {
  if (copies_to_devices_ == nullptr) {
    return Status(SLIPWAY_E_INVALID, "a stream is given, and no memory provider is configured that knows streams");
  }
  return copies_to_devices_->After(spec.stream_kind, spec.stream);
}

// From now on somebody else may look at it.
void Dispatcher::ListInflight(BatchState* batch) {
  if (std::exchange(batch->inflight, true)) return;
  batch->behind = inflight_ != nullptr;
  batch->next_inflight = inflight_;
  if (inflight_ != nullptr) inflight_->prev_inflight = batch;
  inflight_ = batch;
  inflight_hint_.store(true, std::memory_order_relaxed);
  next_deadline_ns_ = std::min(next_deadline_ns_, batch->deadline_ns);
  if (batch->on_complete) RelyOn(batch);
}

void Dispatcher::Cancel(BatchState* batch) {
  {
    MutexLock lock(mutex_);
    if (batch->remaining == 0 || batch->canceled) return;
    batch->canceled = true;
    counters_.Add(Counter::kCancels);
    CutShort(batch, SLIPWAY_E_CANCELED);
    ProgressLocked();
    WakeForTimers();
  }
  RunCallbacks();
}

int MakeEventFd(BatchState* batch) {
  if (batch->event_fd < 0) {
    batch->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (batch->event_fd >= 0 && batch->done.load(std::memory_order_relaxed)) WriteEvent(batch->event_fd);
  }
  return batch->event_fd;
}

int Dispatcher::EventFd(BatchState* batch) {
  MutexLock lock(mutex_);
  if (batch->remaining > 0) RelyOn(batch);
  return MakeEventFd(batch);
}

Status Dispatcher::Release(BatchState* batch) {
  if (batch->at_once) {  // nobody else ever knew of it
    if (batch->event_fd >= 0) close(batch->event_fd);
  } else {
    MutexLock lock(mutex_);
    if (!batch->done.load(std::memory_order_relaxed)) {
      return Status(SLIPWAY_E_BUSY, "the batch is in progress: wait for it, or cancel it and then wait");
    }
    if (batch->released_by_callback != nullptr) {
      if (batch->callback_thread != std::this_thread::get_id()) {
        return Status(SLIPWAY_E_BUSY, "the batch's callback is running");
      }
      *batch->released_by_callback = true;
    }
    if (batch->event_fd >= 0) close(batch->event_fd);
  }
  const std::shared_ptr<void> owner = std::move(batch->owner);
  delete batch;
  return {};
}

void Dispatcher::Look(const std::function<void()>& look) {
  MutexLock lock(mutex_);
  look();
}

bool Dispatcher::WaitRangeIdle(uint64_t begin, uint64_t bytes, uint64_t timeout_ns) {
  const uint64_t until_ns = DeadlineAfter(clock_.NowNs(), timeout_ns);
  MutexLock lock(mutex_);
  for (const auto& [at, length] : stuck_ranges_) {
    if (at < begin + bytes && begin < at + length) return false;  // and never will be
  }
  for (;;) {
    bool used = false;
    for (BatchState* b = inflight_; b != nullptr && !used; b = b->next_inflight) {
      used = std::any_of(b->requests.begin(), b->requests.end(), [&](const RequestState& r) {
        return r.status == SLIPWAY_IN_PROGRESS && r.Overlaps(begin, bytes);
      });
    }
    if (!used) return true;
    if (clock_.NowNs() >= until_ns) return false;
    const Reliance reliance(this);
    idle_.WaitFor(mutex_, std::chrono::milliseconds(10));
  }
}

bool Dispatcher::Progress() {
  bool moved = false;
  {
    MutexLock lock(mutex_);
    Looked();
    moved = ProgressLocked();
  }
  RunCallbacks();
  return moved;
}

bool Dispatcher::ProgressLocked(uint64_t now_ns, bool caught_up) {
  const Round round(this);
  const auto poll = [&]() SLIPWAY_REQUIRES(mutex_) {
    bool any = false;
    for (Lane& lane : lanes_) {
      if (lane.open_slices > 0) any |= PollLane(&lane, now_ns);
    }
    return any;
  };
  bool moved = !caught_up && poll();
  if (copies_ > 0) moved |= TakeCopies();
  moved |= TakeDeviceCopies();
  moved |= TakeDirectCopies();
  if (pool_changed_.load(std::memory_order_relaxed) && pool_changed_.exchange(false)) serve_staging_ = true;
  if (serve_staging_) ServeStagingQueue();
  if (!pin_queue_.empty() && (pins_changed_.load() || now_ns >= pin_wake_ns_)) ServePinQueue();
  // From another link each time, so that none is always last in line for the channel.
  const size_t links = busy_links_.size();
  if (links > 0) first_link_ = (first_link_ + 1) % links;
  bool served = false;
  for (size_t i = 0; i < links; ++i) served |= ServeLink(busy_links_[(first_link_ + i) % links], now_ns);
  std::erase_if(busy_links_, [](Link* link) {
    link->listed = link->HasWork() || link->state == Link::State::kConnecting || link->state == Link::State::kDraining;
    return !link->listed;
  });
  // What completed while it was submitted need not wait for another round.
  if (served || caught_up) moved |= poll();
  moved |= served;
  moved |= SubmitDeviceCopies();
  moved |= SubmitDirectCopies();
  if (now_ns >= next_deadline_ns_) LookAtDeadlines(now_ns);
  if (ahead_.ended) LeaveAhead(false);
  if (garbage_) moved |= Collect();
  return moved;
}

void Dispatcher::RunCallbacks() {
  while (calls_pending_.load(std::memory_order_acquire)) {
    std::function<void(BatchState*)> call;
    BatchState* batch = nullptr;
    bool released = false;
    {
      MutexLock lock(mutex_);
      if (to_call_ == nullptr) {
        calls_pending_.store(false, std::memory_order_release);
        return;
      }
      batch = std::exchange(to_call_, to_call_->next_completed);
      call = std::move(batch->on_complete);
      batch->callback_thread = std::this_thread::get_id();
      batch->released_by_callback = &released;
      batch->done.store(true, std::memory_order_release);
      TellWaiters(batch);
    }
    call(batch);
    if (released) continue;
    MutexLock lock(mutex_);
    batch->released_by_callback = nullptr;
  }
}

}  // namespace slipway
