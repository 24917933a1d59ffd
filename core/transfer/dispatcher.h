// The dispatcher: takes batches apart, keeps slices moving over links, stages what cannot go direct, and completes.
//
// One lock guards it all. Whoever holds the lock makes progress: a submitter once, a waiter until its batch is done,
// and the dispatcher's own thread whenever nobody else does. One waiter at a time leads: it sleeps on the transports'
// descriptors itself, so that a completion wakes who waits for it and no thread in between. Nothing is done under the
// lock that waits for a peer or a registration, and no more is copied under it than takes some 100 microseconds.
#ifndef SLIPWAY_CORE_TRANSFER_DISPATCHER_H_
#define SLIPWAY_CORE_TRANSFER_DISPATCHER_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/status_name.h"
#include "core/memory/copier.h"
#include "core/memory/host_copier.h"
#include "core/memory/pin_cache.h"
#include "core/memory/staging_pool.h"
#include "core/metrics/counters.h"
#include "core/transfer/batch.h"
#include "core/transfer/bell.h"
#include "core/transfer/coverage.h"
#include "core/transfer/link.h"
#include "core/transfer/route.h"
#include "core/transfer/submission.h"
#include "core/transfer/transport.h"
#include "slipway/options.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

enum class PriorityClass : uint8_t { kAuto, kSmall, kBulk };

struct BatchSpec {
  uint64_t timeout_ns = 0;  // 0: the configured default
  PriorityClass priority = PriorityClass::kAuto;
  std::function<void(BatchState*)> on_complete;
  std::shared_ptr<void> owner;  // kept by the batch
  uint64_t stream_kind = 0;     // of the provider whose stream that is; 0: none
  void* stream = nullptr;       // copies of that kind of memory come after what it holds when the batch is submitted
};

struct Explanation {
  std::vector<RouteFacts> transports;  // names point into the transports
  RoutePlan plan;
  uint64_t slices = 0, direct = 0, registered = 0, staged = 0, staged_bytes = 0;  // over the first choice
  Status slicing;  // why the first choice could not be sliced to the end
};

// Thread-safe.
class Dispatcher {
 public:
  struct Parts {
    TransferOptions transfer;
    StagingOptions staging;
    std::vector<Transport*> transports;  // at most kTransportsMax; outlive the dispatcher
    StagingPool* pool = nullptr;         // null: no staging
    CopyService* copies = nullptr;       // null: host memory is all there is
    std::vector<slipway_mr*> pool_mrs;   // per transport; null where it needs none, or where pool_ready is false
    std::vector<bool> pool_ready;        // per transport: the pool can be used with it
    PinCache* cache = nullptr;           // null: nothing is pinned on demand. Outlives the dispatcher; not started
    std::vector<int64_t> pinners;        // per transport: its number with the cache; -1, or no entry: none
    uint64_t pin_wait_ns = 0;            // how long a slice waits to be pinned
    const Clock* clock = nullptr;
    Logger* log = nullptr;
    Counters* counters = nullptr;
  };
  static constexpr uint64_t kInlineCopyBytes = 16384;
  // To look at the clock takes longer than most of what is complete at once: of so many, one stands for all.
  static constexpr uint64_t kTimedAtOnce = 16;

  explicit Dispatcher(Parts parts);
  ~Dispatcher();  // Stop() was called, or Start() never

  // Opens a channel on each transport. With `threaded` false nothing moves but through Progress(): for tests.
  Status Start(bool threaded) SLIPWAY_EXCLUDES(mutex_);
  // Cancels everything, waits for it (bounded by completion_grace_ms and the transports' own bounds), and takes links
  // and channels down. Refuses submissions from then on with E_CLOSED.
  void Stop() SLIPWAY_EXCLUDES(mutex_);

  // E_NO_ROUTE where the target offers nothing that any transport here speaks.
  Result<RemoteSegment*> Open(const SegmentTarget& target) SLIPWAY_EXCLUDES(mutex_);
  // Freed when its last request is complete.
  void Close(RemoteSegment* segment) SLIPWAY_EXCLUDES(mutex_);

  // All or none. The batch is the caller's, to be released. `accepted` is told it before anything can complete.
  Result<BatchState*> Submit(RequestSource& source, BatchSpec spec,
                             const std::function<void(BatchState*)>& accepted = nullptr) SLIPWAY_EXCLUDES(mutex_);
  Result<BatchState*> Submit(std::span<const RequestSpec> specs, const BatchSpec& spec) SLIPWAY_EXCLUDES(mutex_);
  // A request alone that is like the one before, and is copied while it is submitted as that was: its batch is
  // complete, has no dispatcher, and may outlive this one. Null, with nothing done: Submit finds out.
  BatchState* SubmitAlone(const RequestSpec& spec) SLIPWAY_EXCLUDES(mutex_);
  // Whether there was one before: else it need not be asked.
  bool RemembersAlone() const { return alone_.segment.load(std::memory_order_relaxed) != nullptr; }
  static int EventFdAlone(BatchState* batch);  // EventFd and Release of such a batch
  static void ReleaseAlone(BatchState* batch);
  // IN_PROGRESS when `timeout_ns` passed first.
  slipway_status Wait(BatchState* batch, uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);
  void Cancel(BatchState* batch) SLIPWAY_EXCLUDES(mutex_);
  int EventFd(BatchState* batch) SLIPWAY_EXCLUDES(mutex_);
  Status Release(BatchState* batch) SLIPWAY_EXCLUDES(mutex_);  // E_BUSY while it is in progress
  // Runs `look` with the lock held: a view of a batch that may be in progress.
  void Look(const std::function<void()>& look) SLIPWAY_EXCLUDES(mutex_);

  // Whether no request in flight uses [begin, begin + bytes), waiting for that up to `timeout_ns`.
  bool WaitRangeIdle(uint64_t begin, uint64_t bytes, uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);
  Result<Explanation> Explain(const RequestSpec& spec) SLIPWAY_EXCLUDES(mutex_);

  struct LinkView {
    std::string transport, peer, state;
    uint64_t open_slices = 0, paused_ms = 0;
  };
  std::vector<LinkView> Links() SLIPWAY_EXCLUDES(mutex_);

  // One round: completions, copies, links, deadlines. True when something moved. For tests and waiters.
  bool Progress() SLIPWAY_EXCLUDES(mutex_);
  // Completions or copies may be ready. Any thread; never blocks.
  void Wake();

 private:
  struct Lane {  // a transport as the dispatcher uses it
    Transport* transport = nullptr;
    slipway_channel* channel = nullptr;
    const slipway_direct* direct = nullptr;  // null: it has none
    slipway_mr* pool_mr = nullptr;
    bool pool_ready = false;
    CoverSource source;
    TransportLabel label{};
    int event_fd = -1;
    uint32_t open_slices = 0;
    uint32_t links = 0;
    bool violation_told = false;
    bool holds_lost = false;  // copies through it, with no slice in between, were given up
    uint64_t window_begin_ns = 0, window_bytes = 0;
  };
  struct PlanKey {
    const RemoteSegment* segment = nullptr;
    uint32_t op = 0;
    uint64_t local_kind = 0, length = 0;
    bool operator==(const PlanKey&) const = default;
  };
  // Copies by memory providers, for one batch, straight into or out of one registration of a peer's.
  struct DirectRun {
    BatchState* batch = nullptr;  // null: free; or some of its copies were given up, and it is never used again
    RemoteSegment* segment = nullptr;
    slipway_remote* remote = nullptr;
    char* base = nullptr;  // where the segment's byte `begin` lies
    uint64_t begin = 0, kind_there = 0;
    slipway_direct_use use{};
    uint64_t open = 0;           // copies in groups that are closed, and have not ended
    uint8_t number = 0, op = 0;  // the transport's; SLIPWAY_OP_*
    bool filling = false;        // more may be added
  };
  // Requests of a run whose local sides are of one kind of memory: what a provider is given at a time. They are those
  // of [first, end) that are `copying`: groups of a batch do not overlap.
  struct DirectGroup {
    DirectRun* run = nullptr;  // null: free; or given up, and never used again
    DirectGroup* next = nullptr;
    uint64_t local_kind = 0, bytes = 0;
    uint32_t first = 0, end = 0, copies = 0;
    uint32_t index = 0;       // in groups_
    uint32_t generation = 0;  // counts its uses, so that a late or repeated completion is told apart
    bool submitted = false;

    uint64_t Token() const { return (uint64_t{generation} << 32 | index) % Copier::kTokens; }
  };
  // What the last request of a submission was found to be, if it goes direct; the next is mostly like it. What has no
  // value at first is set before it is looked at: a submission may be of one request, and then that shows.
  struct DirectPass {
    DirectPass() {}

    const RemoteSegment* segment = nullptr;
    slipway_remote* remote = nullptr;  // that is entered; null: the last request does not go direct
    DirectRun* run = nullptr;
    DirectGroup* group = nullptr;   // that is being put together
    uint32_t group_limit = 0;       // requests; 0: there was no group yet
    size_t requests = 0;            // in the whole submission
    uint64_t begin = 0, bytes = 0;  // of the segment, that lie at `base`
    uint64_t copied_bytes = 0;      // on this thread, in the whole submission
    uint64_t done = 0;              // requests that are complete and not accounted for, all of this length
    uint64_t done_in_all = 0;       // in the whole submission
    bool hold = false;              // a memory provider copies
    bool never = false;             // whatever is like the last request goes by a transport that has no such thing
    bool reads_ahead = false;       // see Ahead
    uint32_t ahead_requests = 0;    // that are read ahead
    uint8_t op, number;
    uint32_t access;
    uint64_t local_kind, length;
    char* base;
    uint64_t kind_there, brief_bytes;
    slipway_direct_use use;
  };
  // What is read before all requests of a submission have been looked at; one at a time has such.
  struct Ahead {
    const DirectPass* pass = nullptr;  // whose pieces the provider is given next; null: it was made to forget them
    RemoteSegment* segment = nullptr;  // null: nothing is read ahead
    slipway_remote* remote = nullptr;  // that is entered once more for it
    uint8_t number = 0;
    bool ended = false;  // to be left once it is not read any more
  };
  // What the last request that came alone was found to be, if it was copied: the next is mostly like it.
  struct Alone {
    std::atomic<const RemoteSegment*> segment{nullptr};  // null: none; changed with the lock held
    const Lane* lane = nullptr;
    slipway_remote* remote = nullptr;
    uint64_t begin = 0, bytes = 0;  // of the segment, that are reached so
    uint64_t longest = 0;
    uint64_t length = 0;    // 0: requests of all lengths go the same way
    uint64_t until_ns = 0;  // when it is to be found out anew
    uint8_t op = 0, number = 0;
  };
  enum class Staging { kOk, kWaitForShare, kWaitForPool };

  // While a thread makes progress, with the lock held, transports that complete at once wake nobody: the round looks
  // for itself. At its end whoever is in charge is woken if anything is left in flight. Rounds nest.
  class Round {
   public:
    explicit Round(Dispatcher* dispatcher);
    ~Round() SLIPWAY_NO_TSA;
    Round(const Round&) = delete;
    Round& operator=(const Round&) = delete;
    // Whether this thread is within a round of that dispatcher, which takes note.
    static bool Note(const Dispatcher* dispatcher);

   private:
    static thread_local Round* innermost_;
    Dispatcher* const dispatcher_;
    Round* const outer_;
    bool noted_ = false;
  };

  // dispatcher.cc: batches, progress
  Status Check(RequestSource& source, const BatchSpec& spec, SegmentsNamed* named, DirectPass* pass)
      SLIPWAY_EXCLUDES(mutex_);
  Status CheckOne(const RequestSpec& spec) const;
  bool AnyClosed(RequestSource& source, const SegmentsNamed& named) const SLIPWAY_REQUIRES(mutex_);
  Status ComeAfter(const BatchSpec& spec) const;
  bool ProgressLocked() SLIPWAY_REQUIRES(mutex_) { return ProgressLocked(clock_.NowNs()); }
  // `caught_up`: there was nothing to submit but what has just come, for which no completion needs to make room.
  bool ProgressLocked(uint64_t now_ns, bool caught_up = false) SLIPWAY_REQUIRES(mutex_);
  void RunCallbacks() SLIPWAY_EXCLUDES(mutex_);

  // dispatch_enqueue.cc: what was just submitted
  void Enqueue(BatchState* batch, RequestSource& source, PriorityClass priority, uint64_t now_ns, DirectPass* pass)
      SLIPWAY_REQUIRES(mutex_);
  void ListInflight(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  void Begin(RequestState* request, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  size_t AddOn(RequestSource& source, size_t next, const RequestSpec& like, const RequestState* run,
               const RequestState* last) SLIPWAY_REQUIRES(mutex_);
  void BeginRun(RequestState* first, RequestState* end, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);

  // dispatch_waiting.cc: waiting, waking, the thread
  bool Spin(BatchState* batch, uint64_t until_ns) SLIPWAY_EXCLUDES(mutex_);
  bool DeviceCopiesFly() const { return copies_to_devices_ != nullptr && copies_to_devices_->inflight() > 0; }
  void Lead(BatchState* batch, uint64_t until_ns) SLIPWAY_REQUIRES(mutex_);
  void TellWaiters(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  uint64_t NextWakeNs(uint64_t now_ns) const SLIPWAY_REQUIRES(mutex_);
  void WakeForTimers() SLIPWAY_REQUIRES(mutex_) { WakeForTimers(clock_.NowNs()); }
  void WakeForTimers(uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void Looked() SLIPWAY_REQUIRES(mutex_) {
    looks_.store(looks_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void Rely();
  void RelyOn(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  struct Reliance {  // somebody sleeps meanwhile until a completion
    explicit Reliance(Dispatcher* dispatcher) : relied_on(dispatcher) { relied_on->Rely(); }
    ~Reliance() { relied_on->relying_.fetch_sub(1); }
    Reliance(const Reliance&) = delete;
    Reliance& operator=(const Reliance&) = delete;
    Dispatcher* const relied_on;
  };
  bool Attended(uint64_t* seen_looks);
  uint64_t AsideNs(uint64_t last_ns) SLIPWAY_EXCLUDES(mutex_);
  bool OnlyBrief() const SLIPWAY_REQUIRES(mutex_);
  void Run() SLIPWAY_EXCLUDES(mutex_);
  bool Sleep(Bell* bell, uint64_t until_ns, bool on_transports) SLIPWAY_NO_TSA;  // false: nothing woke it
  bool ProgressAfter(bool woken) SLIPWAY_REQUIRES(mutex_);

  // dispatch_requests.cc: routing, completion, cutting short
  const RoutePlan& Plan(const RequestState& request, uint64_t length, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void ForgetPlan() SLIPWAY_REQUIRES(mutex_);
  void Route(WorkItem* item, const Status& last, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void FailRequest(RequestState* request, const Status& why) SLIPWAY_REQUIRES(mutex_);
  void DropItem(WorkItem* item) SLIPWAY_REQUIRES(mutex_);
  void MaybeComplete(RequestState* request) SLIPWAY_REQUIRES(mutex_);
  void EndRun(RequestState* first) SLIPWAY_REQUIRES(mutex_);
  void FailRun(RequestState* first) SLIPWAY_REQUIRES(mutex_);
  void CountIn(RemoteSegment* segment, uint64_t requests) SLIPWAY_REQUIRES(mutex_);
  void CountOut(BatchState* batch, RemoteSegment* segment, uint64_t requests) SLIPWAY_REQUIRES(mutex_);
  void CompleteBatch(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  static Status WhyCut(slipway_status status);
  void CutShort(BatchState* batch, slipway_status status) SLIPWAY_REQUIRES(mutex_);
  void SweepDead(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  void SweepQueue(WorkQueue* queue) SLIPWAY_REQUIRES(mutex_);
  void AbandonSlices(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  Status Stuck(RequestState* request, const std::string& what) SLIPWAY_REQUIRES(mutex_);
  void AbandonSlice(Slice* slice) SLIPWAY_REQUIRES(mutex_);
  void LookAtDeadlines(uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  WorkItem* NewItem() SLIPWAY_REQUIRES(mutex_);

  // dispatch_links.cc: peers and segments
  void ListLink(Link* link) SLIPWAY_REQUIRES(mutex_);
  bool ServeLink(Link* link, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void Connect(Link* link, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void LookAtConnecting(Link* link, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void FailLink(Link* link, const Status& why, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void FailTransport(Lane* lane, const Status& why, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool TakeDown(Link* link) SLIPWAY_REQUIRES(mutex_);
  bool ReleaseRemotes(SegmentRoute* route) SLIPWAY_REQUIRES(mutex_);
  Result<slipway_remote*> Import(Link* link, SegmentRoute* route, uint32_t piece) SLIPWAY_REQUIRES(mutex_);
  Status PeerStatus(Link* link, slipway_status status, BlastRadius* radius) SLIPWAY_REQUIRES(mutex_);
  Link* FindOrMakeLink(uint8_t number, const std::string& instance_id, const std::string& address)
      SLIPWAY_REQUIRES(mutex_);
  bool Collect() SLIPWAY_REQUIRES(mutex_);

  // dispatch_slices.cc: cutting, staging, submission, completion
  bool OpenSlices(Link* link, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool OpenSlice(Link* link, WorkQueue* queue, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool GiveUp(Link* link, WorkQueue* queue, const Status& why, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  Slice* MakeSlice(Link* link, const WorkItem& item, const SliceCut& cut, char* staging) SLIPWAY_REQUIRES(mutex_);
  bool SubmitReady(Link* link, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool PollLane(Lane* lane, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void OnCompletion(Lane* lane, const slipway_completion& completion, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void FinishSlice(Slice* slice) SLIPWAY_REQUIRES(mutex_);
  void FailSlice(Slice* slice, const Status& why, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_) {
    FailSlice(slice, why, BlastRadiusOf(why.code()), now_ns);
  }
  void FailSlice(Slice* slice, const Status& why, BlastRadius radius, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void CloseSlice(Slice* slice, bool keep_memory) SLIPWAY_REQUIRES(mutex_);
  void CancelSlices(const RequestState* request) SLIPWAY_REQUIRES(mutex_);
  Slice* NewSlice() SLIPWAY_REQUIRES(mutex_);
  void Violation(Lane* lane, const std::string& what) SLIPWAY_REQUIRES(mutex_);

  // dispatch_direct.cc: what needs no slice
  bool GoDirect(DirectPass* pass, RequestState* request, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void Aim(DirectPass* pass, const RequestState& request, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool EnterDirect(DirectPass* pass, uint8_t number, slipway_remote* remote, bool hold) SLIPWAY_REQUIRES(mutex_);
  void LeaveDirect(DirectPass* pass) SLIPWAY_REQUIRES(mutex_);
  void CountDone(DirectPass* pass, BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  void CountCopied(uint32_t op, uint64_t length, uint64_t n) SLIPWAY_REQUIRES(mutex_);
  void RememberAlone(const DirectPass& pass) SLIPWAY_REQUIRES(mutex_);
  bool CopyAlone(const RequestSpec& spec) SLIPWAY_REQUIRES(mutex_);

  // dispatch_device.cc: what memory providers copy without a slice
  DirectRun* NewRun() SLIPWAY_REQUIRES(mutex_);
  DirectGroup* NewGroup() SLIPWAY_REQUIRES(mutex_);
  void FreeGroup(DirectGroup* group) SLIPWAY_REQUIRES(mutex_);
  bool AddDirectCopy(DirectPass* pass, RequestState* request, char* there) SLIPWAY_REQUIRES(mutex_);
  size_t AddAlike(DirectPass* pass, RequestSource& source, size_t next, const RequestSpec& like,
                  const RequestState& first) SLIPWAY_REQUIRES(mutex_);
  void CloseGroup(DirectPass* pass) SLIPWAY_REQUIRES(mutex_);
  void Account(const DirectGroup& group) SLIPWAY_REQUIRES(mutex_);
  static slipway_copy PieceOf(const DirectRun& run, const DirectGroup& group, const RequestState& request);
  void WriteDown(const DirectGroup& group) SLIPWAY_REQUIRES(mutex_);
  // What a provider said of a group.
  struct GroupAnswer {
    slipway_status status = SLIPWAY_OK;
    uint32_t accepted = 0;
    slipway_error error = EmptyError();
  };
  GroupAnswer OfferGroup(const DirectGroup& group) SLIPWAY_REQUIRES(mutex_);
  bool SettleGroup(DirectGroup* group, const GroupAnswer& answer) SLIPWAY_REQUIRES(mutex_);
  bool SubmitDirectCopies() SLIPWAY_REQUIRES(mutex_);
  DirectGroup* CutGroup(DirectGroup* group, uint32_t kept) SLIPWAY_REQUIRES(mutex_);
  DirectGroup* FindGroup(uint64_t token) SLIPWAY_REQUIRES(mutex_);
  bool TakeDirectCopies() SLIPWAY_REQUIRES(mutex_);
  void FinishGroup(DirectGroup* group) SLIPWAY_REQUIRES(mutex_);
  void FailGroup(DirectGroup* group, const Status& why) SLIPWAY_REQUIRES(mutex_);
  void EndDirect(DirectRun* run, uint64_t copies, uint64_t bytes) SLIPWAY_REQUIRES(mutex_);
  void FailDirect(DirectRun* run, RequestState* request, const Status& why) SLIPWAY_REQUIRES(mutex_);
  void SweepDirect() SLIPWAY_REQUIRES(mutex_);
  void AbandonDirect(BatchState* batch) SLIPWAY_REQUIRES(mutex_);

  // dispatch_ahead.cc: what a device reads before it is known that all requests are right
  bool BeginAhead(RequestSource& source, const RequestSpec& first, DirectPass* pass) SLIPWAY_EXCLUDES(mutex_);
  void ReadOnAhead(RequestSource& source, const RequestSpec& first, DirectPass* pass) SLIPWAY_EXCLUDES(mutex_);
  bool ReadAhead(RequestSource& source, const RequestSpec& first, uint32_t most, DirectPass* pass)
      SLIPWAY_REQUIRES(mutex_);
  void DropAhead() SLIPWAY_REQUIRES(mutex_);
  void EndAhead(DirectPass* pass) SLIPWAY_REQUIRES(mutex_);
  void LeaveAhead(bool give_up) SLIPWAY_REQUIRES(mutex_);

  // dispatch_copies.cc: copies to and from staging
  void StartCopy(Slice* slice, bool in) SLIPWAY_REQUIRES(mutex_);
  void OnCopied(Slice* slice) SLIPWAY_REQUIRES(mutex_);
  bool TakeCopies() SLIPWAY_REQUIRES(mutex_);
  bool SubmitDeviceCopies() SLIPWAY_REQUIRES(mutex_);
  void DropDeadCopies() SLIPWAY_REQUIRES(mutex_);
  bool TakeDeviceCopies() SLIPWAY_REQUIRES(mutex_);
  void FailCopy(Slice* slice, const Status& why) SLIPWAY_REQUIRES(mutex_);
  Slice* FindCopying(uint64_t token) SLIPWAY_REQUIRES(mutex_);

  char* CutStaging(BatchState* batch, uint64_t bytes, uint64_t align) SLIPWAY_REQUIRES(mutex_);
  void WaitForStaging(WorkItem* item, uint64_t bytes) SLIPWAY_REQUIRES(mutex_);
  bool OverShare(const BatchState& batch, uint64_t bytes) const SLIPWAY_REQUIRES(mutex_);
  void CloseBlock(BatchState* batch) SLIPWAY_REQUIRES(mutex_);
  void ReclaimIdleBlocks() SLIPWAY_REQUIRES(mutex_);
  Staging EnsureStaging(BatchState* batch, uint64_t bytes, uint64_t align) SLIPWAY_REQUIRES(mutex_);
  uint64_t EstimateStaging(const BatchState& batch, uint64_t enough) const SLIPWAY_REQUIRES(mutex_);
  void ServeStagingQueue() SLIPWAY_REQUIRES(mutex_);
  void BlockFreed(BatchState* batch, uint64_t bytes) SLIPWAY_REQUIRES(mutex_);
  // Kinds of memory, besides host memory, that can be copied to and from the pool.
  uint64_t StagedKinds() const { return copies_to_devices_ == nullptr ? 0 : copies_to_devices_->kinds(); }
  SliceLimits LimitsFor(const Lane& lane, uint64_t local_kind) const;

  // dispatch_pinning.cc: what is pinned on demand
  LeaseQuery PinQuery(const Lane& lane, const WorkItem& item, uint64_t now_ns) const SLIPWAY_REQUIRES(mutex_);
  void WaitForPin(WorkItem* item, const LeaseQuery& query) SLIPWAY_REQUIRES(mutex_);
  void ServePinQueue() SLIPWAY_REQUIRES(mutex_);

  const TransferOptions options_;
  const StagingOptions staging_options_;
  StagingPool* const pool_;
  const uint64_t staging_share_bytes_;
  CopyService* const copies_to_devices_;
  const uint64_t pin_wait_ns_;
  const Clock& clock_;
  Logger& log_;
  Counters& counters_;
  Counters& held_;  // its own part of these, for what is counted with the lock held
  Bell thread_bell_, leader_bell_;
  HostCopier copier_;
  std::atomic<bool> led_{false};            // a waiter leads; written with the lock held
  std::atomic<uint32_t> spinners_{0};       // waiters that make progress now
  std::atomic<uint64_t> looks_{0};          // by submitters and waiters, ever; written with the lock held
  std::atomic<uint32_t> relying_{0};        // batches in flight whose end is told, and sleepers until some end
  std::atomic<bool> thread_away_{false};    // leaves the transports to those who look
  std::atomic<bool> inflight_hint_{false};  // inflight_ is not empty; written with the lock held
  std::atomic<bool> calls_pending_{false};  // to_call_ is not empty; written with the lock held
  std::atomic<bool> pins_changed_{false};   // who waits for something to be pinned should ask again
  std::atomic<bool> pool_changed_{false};   // another dispatcher gave back some of the staging pool
  SpareRequests spare_requests_;
  std::thread thread_;

  Mutex mutex_;
  CondVar idle_;                                              // some batch completed; for Stop and WaitRangeIdle
  BatchState* led_for_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;  // what the leading waiter waits for; null: none leads
  bool leader_asleep_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool thread_aside_ SLIPWAY_GUARDED_BY(mutex_) = false;  // it does not watch the transports
  bool recall_ SLIPWAY_GUARDED_BY(mutex_) = false;     // it is away for long: who submits more than brief things rings
  bool event_fds_ SLIPWAY_GUARDED_BY(mutex_) = false;  // some transport has a descriptor
  std::vector<Lane> lanes_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Link>> links_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<Link*> busy_links_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<RemoteSegment>> segments_ SLIPWAY_GUARDED_BY(mutex_);
  bool garbage_ SLIPWAY_GUARDED_BY(mutex_) = false;  // closed segments or unused links wait to be collected
  std::deque<Slice> slices_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<Slice*> free_slices_ SLIPWAY_GUARDED_BY(mutex_);
  std::deque<WorkItem> items_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<WorkItem*> free_items_ SLIPWAY_GUARDED_BY(mutex_);
  WorkQueue staging_queue_ SLIPWAY_GUARDED_BY(mutex_);
  WorkQueue pin_queue_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t pin_waiters_ SLIPWAY_GUARDED_BY(mutex_) = 0;            // in that queue
  uint64_t pin_wake_ns_ SLIPWAY_GUARDED_BY(mutex_) = kNoDeadline;  // when the first of them has waited long enough
  // Memory of slices that were abandoned: begin and length.
  std::vector<std::pair<uint64_t, uint64_t>> stuck_ranges_ SLIPWAY_GUARDED_BY(mutex_);
  bool serve_staging_ SLIPWAY_GUARDED_BY(mutex_) = false;
  BatchState* inflight_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  BatchState* to_call_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;  // complete, callbacks not run
  uint64_t inflight_requests_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t copies_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // with the copier
  Copier* device_copier_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  std::vector<slipway_copy> device_copies_ SLIPWAY_GUARDED_BY(mutex_);  // to be submitted together
  bool any_direct_ SLIPWAY_GUARDED_BY(mutex_) = false;                  // some transport has the extension
  Copier* direct_copier_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  std::deque<DirectGroup*> waiting_groups_ SLIPWAY_GUARDED_BY(mutex_);  // to be submitted
  std::vector<slipway_copy> direct_pieces_ SLIPWAY_GUARDED_BY(mutex_);  // of the group written down last; room for more
  const DirectGroup* written_down_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  Ahead ahead_ SLIPWAY_GUARDED_BY(mutex_);
  std::deque<DirectRun> runs_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<DirectRun*> free_runs_ SLIPWAY_GUARDED_BY(mutex_);
  std::deque<DirectGroup> groups_ SLIPWAY_GUARDED_BY(mutex_);
  DirectGroup* free_groups_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  uint64_t polled_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // completions, ever
  uint64_t next_deadline_ns_ SLIPWAY_GUARDED_BY(mutex_) = kNoDeadline;
  uint64_t thread_until_ns_ SLIPWAY_GUARDED_BY(mutex_) = 0, leader_until_ns_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // asleep
  std::vector<RouteFacts> facts_ SLIPWAY_GUARDED_BY(mutex_);  // Plan's scratch
  PlanKey plan_key_ SLIPWAY_GUARDED_BY(mutex_);
  RoutePlan plan_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t plan_until_ns_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  Alone alone_;                                      // guarded by mutex_, but for a first look
  uint64_t at_once_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // batches that were complete when they were submitted
  size_t first_link_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  bool threaded_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool exit_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_DISPATCHER_H_
