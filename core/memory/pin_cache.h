// The pin cache: pins the hot parts of declared regions when they are used, under the budget, and lets go of the idle.
//
// Transports (registrations) and memory providers (pinned host pages) are served alike: both are Pinners. Each region
// has a fixed grid of extents per pinner. A lookup that meets a pinned extent takes a lease with one compare-and-swap.
// One that does not is told to stage (copy through a pinned buffer), or to wait for a moment, and may have the extent
// pinned: by the cache's own thread, since that may block. Correctness never depends on any of it.
#ifndef SLIPWAY_CORE_MEMORY_PIN_CACHE_H_
#define SLIPWAY_CORE_MEMORY_PIN_CACHE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/memory/extent.h"
#include "core/memory/extent_table.h"
#include "core/memory/pin_budget.h"
#include "core/memory/pin_costs.h"
#include "core/memory/pinner.h"
#include "core/metrics/counters.h"
#include "slipway/options.hpp"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

enum class LeaseAnswer : uint8_t {
  kGranted,     // `lease` holds what covers the first `lease.bytes`; give it back with Return
  kStage,       // the first `lease.bytes` are not pinned: copy them, and say so with Copied
  kWait,        // they are being pinned, sooner than copying would take: ask again when told of a change
  kNotDeclared  // the first `lease.bytes` are in no declared region that this pinner reaches
};

// By whom a region may be pinned: by all, or by memory providers alone, as with what peers have registrations of
// already.
enum class PinFor : uint8_t { kAll, kDevices };

// A declared region, as the cache keeps it. Guarded by the cache's lock.
struct PinRegion {
  struct Grid {
    Extent* extents = nullptr;  // null: the pinner does not reach this memory
    uint64_t count = 0, first_chunk = 0;
    uint64_t begin = 0, end = 0;  // of what may be pinned: whole pages, for host memory
    uint32_t shift = 0;
  };
  struct Bounds {
    uint64_t begin, end;
  };
  // Of an extent of grids[who].
  Bounds BoundsOf(uint32_t who, const Extent& extent) const {
    const Grid& g = grids[who];
    const uint64_t chunk = g.first_chunk + static_cast<uint64_t>(&extent - g.extents);
    const uint64_t last = ((chunk + 1) << g.shift) - 1;  // the last byte, since the end may be 2^64
    return {std::max(g.begin, chunk << g.shift), std::min(g.end - 1, last) + 1};
  }

  uint64_t begin = 0, end = 0, mem_kind = 0;
  uint64_t declared = 0;  // how often
  bool closing = false;
  std::vector<Grid> grids;  // per pinner
};

struct LeaseQuery {
  uint32_t who = 0;  // the number of the pinner
  uint64_t addr = 0;
  uint64_t length = 0;    // bytes, more than 0; what the caller means to use from here on
  uint32_t access = 0;    // SLIPWAY_ACCESS_LOCAL_*
  bool must_pin = false;  // it cannot be copied: pinned at once, and waited for until the deadline
  bool whole = false;     // all of the range in one lease of several extents, or none; otherwise what one extent covers
  uint64_t now_ns = 0;
  uint64_t deadline_ns = 0;  // from then on the answer is not kWait; 0: never wait
};

// Thread-safe. Locks are held for moments only, and never while a pinner is called.
class PinCache {
 public:
  struct Parts {
    CacheOptions options;
    PinBudget* budget = nullptr;
    const Clock* clock = nullptr;
    Logger* log = nullptr;
    Counters* counters = nullptr;
  };
  explicit PinCache(const Parts& parts);
  ~PinCache();  // every region is undeclared, or its pinners were abandoned

  // Before the first region. The number by which lookups name the pinner, which outlives the cache or is abandoned.
  uint32_t AddPinner(Pinner& pinner, const PinnerTraits& traits);
  // Measures what pinning and copying cost with this pinner: a few milliseconds, within the budget. Nothing where the
  // budget or the pinner refuses.
  void Measure(uint32_t who);
  LinearCost& pin_cost(uint32_t who) { return clients_[who]->pin_cost; }
  LinearCost& copy_cost(uint32_t who) { return clients_[who]->copy_cost; }
  // `changed` is called, from any thread and with no lock held, when who was told to wait should ask again.
  void AddListener(std::function<void()> changed) { listeners_.push_back(std::move(changed)); }
  // Starts the thread that pins. Without it nothing is pinned but by RunOnce.
  void Start();
  void Stop();  // nothing is pinned any more; what is pinned stays

  // [addr, addr + length), not empty and not wrapping, may be pinned from now on; may be declared more than once.
  void Declare(uint64_t addr, uint64_t length, uint64_t mem_kind, PinFor whom = PinFor::kAll) SLIPWAY_EXCLUDES(mutex_);
  // Takes one declare of exactly this range, for the same, back. The last one refuses new leases, waits up to
  // `timeout_ns` for those that there are, unpins, and returns: then the memory may be freed. E_REGION_BUSY: leases
  // outlast the time; the region is as declared as before. Any other failure: some of it could not be unpinned, stays
  // charged, and may be pinned for good. E_NOT_DECLARED.
  Status Undeclare(uint64_t addr, uint64_t length, uint64_t timeout_ns, PinFor whom = PinFor::kAll)
      SLIPWAY_EXCLUDES(mutex_);
  // Forgets all that the pinner pinned without calling it, for an instance that is gone. Releases the charges.
  void Abandon(uint32_t who) SLIPWAY_EXCLUDES(mutex_);

  // Never blocks and never calls a pinner. `lease->bytes` is always set: more than 0, at most the length asked about.
  LeaseAnswer TryLease(const LeaseQuery& query, ExtentLease* lease) SLIPWAY_EXCLUDES(mutex_);
  // The same, waiting (by the cache's clock) until the query's deadline for what could be pinned: for callers that may
  // block. Never kWait; kStage also where pinning is not worth it.
  LeaseAnswer Lease(LeaseQuery query, ExtentLease* lease) SLIPWAY_EXCLUDES(mutex_);
  void Return(const ExtentLease& lease) SLIPWAY_EXCLUDES(mutex_);
  // Where an address lies: in an extent, or between regions.
  struct Place {
    uint64_t begin = 0, end = 0;
    bool declared = false;
  };
  Place Locate(uint32_t who, uint64_t addr) const SLIPWAY_EXCLUDES(mutex_);
  // What was told to stage is copied: counts, and makes the range more worth pinning.
  void Copied(uint32_t who, uint64_t addr, uint64_t length, uint64_t now_ns) SLIPWAY_EXCLUDES(mutex_);
  // What the first `*bytes` are pinned with, null for nothing, changing nothing: for explaining, never for using.
  Extent* Peek(uint32_t who, uint64_t addr, uint64_t length, uint32_t access, uint64_t* bytes) const;

  // Unpins idle extents of at least `bytes` where there are that many, also ones used a moment ago. May block.
  void MakeRoom(uint64_t bytes) SLIPWAY_EXCLUDES(mutex_);
  // The same for who may not block: some time later, by the cache's thread.
  void AskForRoom(uint64_t bytes) SLIPWAY_EXCLUDES(mutex_);
  // One step of the cache's thread: makes room that was asked for, serves the first of those that wait, or unpins a few
  // of what has been idle for long. False: there was nothing to do now.
  bool RunOnce() SLIPWAY_EXCLUDES(mutex_, run_mutex_);

  struct View {
    std::string name;
    uint64_t pinned = 0, pinned_bytes = 0, charged_bytes = 0;  // extents now
    uint64_t learned_cap_bytes = 0;                            // on what it may be charged; 0: none
    uint64_t stuck = 0;                                        // extents that could not be unpinned
    uint64_t pin_fixed_ns = 0, pin_ns_per_mib = 0, copy_fixed_ns = 0, copy_ns_per_mib = 0;
  };
  std::vector<View> Views() const SLIPWAY_EXCLUDES(mutex_);
  uint64_t NowNs() const { return clock_.NowNs(); }

 private:
  // Sorted by where they begin.
  struct RegionKey {
    uint64_t begin = 0, bytes = 0;
    PinFor whom = PinFor::kAll;
    auto operator<=>(const RegionKey&) const = default;
  };
  struct Client {
    Client(Pinner& p, const PinnerTraits& t) : pinner(p), traits(t) {}
    Pinner& pinner;
    const PinnerTraits traits;
    ExtentTable table;                     // changed under the cache's lock
    LinearCost pin_cost{20'000, 250'000};  // until measured
    LinearCost copy_cost{500, 100'000};
    // Guarded by the cache's lock.
    uint64_t pinned = 0, pinned_bytes = 0, charged_bytes = 0, stuck = 0;
    uint64_t learned_cap_bytes = PinBudget::kNoCap;
    bool failure_told = false;
    Status stuck_why;                           // why something could not be unpinned
    uint64_t probe_ns = 0, probe_after_ns = 0;  // when to try more again, and how long after a refusal that is
  };
  struct Job {  // extents to be pinned, all of them or none
    uint32_t who = 0;
    uint32_t access = 0;
    PinRegion* region = nullptr;
    std::vector<Extent*> extents;
    uint64_t deadline_ns = 0;     // to wait for room
    uint64_t colder_than_ns = 0;  // only what has not been used since then is unpinned for it
    uint64_t charge_bytes = 0, estimate_ns = 0;
  };
  enum class Room { kReserved, kLater, kNone };
  struct Pick {                      // what to unpin
    uint64_t bytes = 0;              // of charge, at least
    uint64_t unused_since_ns = 0;    // not used from then on
    uint32_t only_who = UINT32_MAX;  // of this pinner
    bool second_chance = true;       // those used since the last look are passed over once
    size_t max_extents = SIZE_MAX;
  };

  // pin_cache.cc: regions and lookups
  bool TakeLease(Extent* extent, uint64_t word, const LeaseQuery& query);
  void ReturnOne(Extent* extent) SLIPWAY_EXCLUDES(mutex_);
  LeaseAnswer Miss(const LeaseQuery& query, ExtentLease* lease) SLIPWAY_EXCLUDES(mutex_);
  LeaseAnswer Decide(const LeaseQuery& query, const ExtentTable::Found& found, uint64_t count) SLIPWAY_REQUIRES(mutex_);
  bool WorthPinning(const LeaseQuery& query, const Extent& extent, uint64_t* colder_than_ns) SLIPWAY_REQUIRES(mutex_);

  // pin_regions.cc
  PinRegion::Grid MakeGrid(const Client& client, PinRegion* region, uint64_t page_bytes) SLIPWAY_REQUIRES(mutex_);
  Status Close(const RegionKey& key, PinRegion* region, uint64_t timeout_ns) SLIPWAY_REQUIRES(mutex_);
  uint64_t ChunkBytes(const Client& client, const PinRegion& region, uint64_t page_bytes) const
      SLIPWAY_REQUIRES(mutex_);
  void RebuildTables() SLIPWAY_REQUIRES(mutex_);
  void Mark(PinRegion* region, bool closing) SLIPWAY_REQUIRES(mutex_);
  bool WaitForLeases(PinRegion* region, uint64_t timeout_ns) SLIPWAY_REQUIRES(mutex_);
  void DropJob(size_t index) SLIPWAY_REQUIRES(mutex_);

  // pin_worker.cc: what runs on the cache's thread
  void Run() SLIPWAY_EXCLUDES(mutex_);
  bool ServeJob(uint64_t now_ns) SLIPWAY_REQUIRES(run_mutex_, mutex_);
  Room ReserveFor(const Job& job, uint64_t now_ns) SLIPWAY_REQUIRES(run_mutex_, mutex_);
  Room ReserveFree(const Job& job, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool TryReserve(Client& client, const Job& job, uint64_t now_ns, uint32_t* only_who, uint64_t* missing)
      SLIPWAY_REQUIRES(mutex_);
  Status PinOne(const Job& job, Extent* extent) SLIPWAY_REQUIRES(run_mutex_, mutex_);
  void PinAll(Job& job) SLIPWAY_REQUIRES(run_mutex_, mutex_);
  uint64_t IdleBytes() const SLIPWAY_REQUIRES(mutex_);
  void Refuse(Job& job, size_t from, ExtentWord::State state, uint64_t retry_ns) SLIPWAY_REQUIRES(mutex_);
  void Learn(Client& client, const Status& why, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void ForgetLearned(Client& client, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void ShowLearned() SLIPWAY_REQUIRES(mutex_);
  bool Reap(uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void MakeRoomLocked(uint64_t bytes) SLIPWAY_REQUIRES(mutex_);
  // Marks victims EVICTING and takes them out of the ring. Also says how much that would do is leased just now.
  std::vector<Extent*> PickVictims(const Pick& pick, uint64_t now_ns, uint64_t* leased_bytes) SLIPWAY_REQUIRES(mutex_);
  // Lets the lock go while it calls the pinners. The first failure that is not E_REGION_BUSY.
  Status Unpin(const std::vector<Extent*>& victims) SLIPWAY_REQUIRES(mutex_);
  void Link(Extent* extent) SLIPWAY_REQUIRES(mutex_);
  void Unlink(Extent* extent) SLIPWAY_REQUIRES(mutex_);
  void TellListeners() SLIPWAY_EXCLUDES(mutex_);

  const CacheOptions options_;
  const AdmissionRule admission_;
  PinBudget& budget_;
  const Clock& clock_;
  Logger& log_;
  Counters& counters_;
  std::vector<std::unique_ptr<Client>> clients_;  // constant once the first region is declared
  std::vector<std::function<void()>> listeners_;
  std::thread thread_;
  std::atomic<bool> room_wanted_{false};  // somebody waits for leases to be returned
  std::atomic<bool> changed_{false};      // listeners are to be told

  Mutex run_mutex_;  // held by whoever pins, across calls of pinners; taken before mutex_
  mutable Mutex mutex_;
  CondVar work_;   // for the thread
  CondVar moved_;  // a lease was returned to a closing region, or a job or an eviction ended
  std::map<RegionKey, std::unique_ptr<PinRegion>> regions_ SLIPWAY_GUARDED_BY(mutex_);
  ExtentStore store_ SLIPWAY_GUARDED_BY(mutex_);
  std::deque<Job> jobs_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t backlog_ns_ SLIPWAY_GUARDED_BY(mutex_) = 0;   // estimates of the jobs
  uint64_t room_bytes_ SLIPWAY_GUARDED_BY(mutex_) = 0;   // that were asked for
  uint64_t fixed_bytes_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // charged at the start, and not by the cache
  Extent* hand_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;    // the ring of what is pinned: where the evictor looks next
  uint64_t ring_size_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t next_reap_ns_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_PIN_CACHE_H_
