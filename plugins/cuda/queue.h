// A copy queue: pieces in, completions out.
#ifndef SLIPWAY_PLUGINS_CUDA_QUEUE_H_
#define SLIPWAY_PLUGINS_CUDA_QUEUE_H_

#include <atomic>
#include <memory>
#include <vector>

#include "plugins/cuda/lane.h"
#include "plugins/cuda/pointers.h"
#include "slipway/sdk/memory_provider.hpp"

namespace slipway::cuda {

class Copiers;
class CudaInstance;

// See sdk::CopyQueue. Submitting allocates nothing once the queue has been as busy as it gets. The core serialises what
// is marked [channel].
class CudaQueue final : public sdk::CopyQueue {
 public:
  CudaQueue(CudaInstance& owner, void* cookie);
  ~CudaQueue() override;

  // [control] Makes the streams for the devices that are in use already.
  slipway_status Open(sdk::Error& err);
  slipway_status Submit(const sdk::Copies& pieces, uint32_t& accepted, sdk::Error& err) override
      SLIPWAY_EXCLUDES(mutex_);
  slipway_status SubmitGroup(uint64_t token, const sdk::Copies& pieces, uint32_t& accepted, sdk::Error& err) override
      SLIPWAY_EXCLUDES(mutex_);
  slipway_status Poll(sdk::Completions& out) override SLIPWAY_EXCLUDES(mutex_);
  // [channel] See sdk::MemoryAhead.
  uint32_t ReadAhead(const sdk::Copies& pieces) SLIPWAY_EXCLUDES(mutex_);
  bool DropAhead() SLIPWAY_EXCLUDES(mutex_);
  // [channel] Pieces submitted from now on are copied after what `stream` holds now.
  slipway_status After(Stream stream, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);

  // ---- for who unpins; any thread ---------------------------------------------------------------------------------
  // Returns when the submission that is under way, if there is one, has ended.
  void AwaitSubmission() const;
  // Whether something in flight reads or writes the range, by addresses as devices call them.
  bool Uses(DeviceAddress begin, DeviceAddress end) SLIPWAY_EXCLUDES(mutex_);

  // ---- for the copiers; any thread --------------------------------------------------------------------------------
  // Takes what has landed off the streams where the caller does not poll. Whether there was anything.
  bool HarvestForOthers() SLIPWAY_EXCLUDES(mutex_);
  // For a chunk; the lane's context is current. NULL: the driver has no event.
  Flight* TakeFlight(Lane& lane) SLIPWAY_EXCLUDES(mutex_);
  void GiveBack(Lane& lane, Flight* flight) SLIPWAY_EXCLUDES(mutex_);
  // The flight was counted with the copiers before.
  void Push(Lane& lane, Flight* flight) SLIPWAY_EXCLUDES(mutex_);
  // All parts of the chunk are where they should be, or have failed.
  void PartsDone(const Chunk& chunk) SLIPWAY_EXCLUDES(mutex_);
  void PlainDone(Op& op, Result result) SLIPWAY_EXCLUDES(mutex_);
  // Wakes the core when something completed since the last time.
  void WakeIfDone() SLIPWAY_EXCLUDES(mutex_);
  // While entered, the queue stays. Only for who holds an op of it that is not done, or has it from the list of queues.
  void Enter() { users_.fetch_add(1, std::memory_order_relaxed); }
  void Leave() { users_.fetch_sub(1, std::memory_order_release); }

 private:
  struct Landing {
    Chunk* first = nullptr;
    bool any = false;
  };
  // What the next bytes of a piece need.
  struct Step {
    Lane* lane = nullptr;
    uint64_t bytes = 0;
    bool pageable = false;
    KernelPiece piece;  // as the device calls it; for pageable memory its flags alone
  };
  // What the last piece was found to be, and pieces that lie beside it on both sides are too: the way that most go.
  struct Recent {
    Lane* lane = nullptr;
    uint64_t dst_kind = 0, src_kind = 0;
    uintptr_t dst_begin = 0, dst_end = 0, src_begin = 0, src_end = 0;
    DeviceAddress dst_delta = 0, src_delta = 0;
    uint32_t flags = 0;
    bool pageable = false;

    // Whether the piece is of so many bytes, can be listed as one of many such, and is what the last one was found to
    // be.
    bool HoldsEqual(const slipway_copy& c, uint64_t bytes) const {
      const auto dst = reinterpret_cast<uintptr_t>(c.dst), src = reinterpret_cast<uintptr_t>(c.src);
      return c.length == bytes && c.dst_kind == dst_kind && c.src_kind == src_kind && dst >= dst_begin &&
             dst < dst_end && bytes <= dst_end - dst && src >= src_begin && src < src_end && bytes <= src_end - src &&
             ((dst + dst_delta) | (src + src_delta)) % 16 == 0;
    }
  };
  // What was read ahead lies one after the other in the order of `sources`, each of so many bytes. It is `used` in that
  // order, or not at all.
  struct Ahead {
    Lane* lane = nullptr;
    DeviceAddress memory = 0;
    uint64_t bytes = 0;
    std::vector<DeviceAddress> sources;
    size_t used = 0;
    bool loose = false;  // it may still be read, and what of it was submitted may be complete before that

    size_t left() const { return sources.size() - used; }
    void Clear() {
      sources.clear();
      used = 0;
    }
  };
  // From before addresses are looked up until what they were found to be is on a stream.
  class Submission {
   public:
    explicit Submission(std::atomic<uint64_t>& count) : count_(count) { count_.fetch_add(1); }
    ~Submission() { count_.fetch_add(1); }
    Submission(const Submission&) = delete;
    Submission& operator=(const Submission&) = delete;

   private:
    std::atomic<uint64_t>& count_;
  };
  enum class Added { kYes, kNoRoom, kFault };

  // Adds the pieces that there is room for, in order.
  slipway_status AddAll(const sdk::Copies& pieces, uint32_t& accepted, uint64_t& bytes, ThreadGuard& guard,
                        sdk::Error& err);
  // Of a group: as many as are alike, which may be none. Others are left to the functions below.
  uint32_t AddEqual(const sdk::Copies& pieces, ThreadGuard& guard);
  // Has the pieces, just listed as the group's, copied from what was read ahead of them.
  void UseAhead(Lane& lane, EqualPiece* pieces, uint32_t count);
  uint32_t LaunchAhead(Lane& lane, const sdk::Copies& pieces);
  Added AddQuickly(const slipway_copy& piece, ThreadGuard& guard);
  Added AddPiece(const slipway_copy& piece, ThreadGuard& guard, slipway_status& fault, sdk::Error& err);
  // Finds out about the first bytes of what is left of a piece.
  slipway_status Plan(const slipway_copy& rest, ThreadGuard& guard, Step& out, sdk::Error& err);
  slipway_status FindLane(int32_t ordinal, Direction direction, ThreadGuard& guard, Lane*& out, sdk::Error& err);
  // The lane has a flight to add to. False: no room.
  bool Begin(Lane& lane, bool must, ThreadGuard& guard);
  // False: no room. `must`: there has to be, as the piece has begun.
  bool AddDirect(Lane& lane, const KernelPiece& piece, bool must, ThreadGuard& guard);
  void AddPageable(Lane& lane, uint32_t flags, const slipway_copy& rest, Op& op);
  Result WaitFor(const Lane& lane, Event event) const;
  void LaunchGroup(Lane& lane);
  void FailRest(Op& op, slipway_status status);
  void Spoil(Op& op, slipway_status status, int32_t native) SLIPWAY_REQUIRES(mutex_) {
    if (status == SLIPWAY_OK || op.status != SLIPWAY_OK) return;
    op.status = status;
    op.native = native;
  }
  void LaunchAll(ThreadGuard& guard);

  Op* TakeOp(uint64_t token, uint64_t length);
  void GiveOp(Op* op);
  void Done(Op& op) SLIPWAY_REQUIRES(mutex_);
  void Unref(Op& op, Result result) SLIPWAY_REQUIRES(mutex_);
  void Land(Flight* flight, Landing& landing) SLIPWAY_REQUIRES(mutex_);
  void TellFlights(sdk::Completions& out) SLIPWAY_EXCLUDES(mutex_);
  void TellOps(sdk::Completions& out) SLIPWAY_EXCLUDES(mutex_);
  void HarvestLocked(Landing& landing) SLIPWAY_REQUIRES(mutex_);
  void HandOver(const Landing& landing, bool wake) SLIPWAY_EXCLUDES(mutex_);

  CudaInstance& owner_;
  const Driver& driver_;
  void* const cookie_;

  // Only under [channel]. Ops are made when they are first needed.
  std::unique_ptr<std::byte[]> op_memory_;
  uint32_t ops_made_ = 0;
  Op* free_ = nullptr;
  Op* group_ = nullptr;       // whose pieces are being submitted; NULL: each is its own
  uint32_t equal_tried_ = 0;  // how often pieces of it were listed as equal, and were few
  Op* ready_ = nullptr;       // completions for the next poll, and flights that have some
  Flight* telling_ = nullptr;
  Recent recent_;
  Ahead ahead_;
  // By device, as it sees memory; one more to find out about memory of which it is not known whose it is, where there
  // are several devices.
  std::vector<RunCache> runs_;

  std::atomic<uint64_t> submissions_{0};  // that began and that ended: odd while one is under way
  std::atomic<uint32_t> users_{0}, polls_{0};
  std::atomic<uint32_t> flights_{0}, chunk_flights_{0}, ahead_flights_{0};
  std::atomic<uint32_t> polls_seen_{0};  // by the thread that harvests
  std::atomic<bool> any_done_{false};    // there is something in the lists of what is done

  Mutex mutex_;
  std::vector<std::unique_ptr<Lane>>
      lanes_;  // a place for each device and direction; set under the mutex and [channel]
  Op *done_first_ SLIPWAY_GUARDED_BY(mutex_) = nullptr, *done_last_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  Flight *landed_first_ SLIPWAY_GUARDED_BY(mutex_) = nullptr, *landed_last_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  bool untold_ SLIPWAY_GUARDED_BY(mutex_) = false;  // something was done since the core was woken
  // The last event of each context whose stream pieces were to come after.
  struct Order {
    Context context;
    Event event;
  };
  std::vector<Order> orders_;  // only under [channel]
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_QUEUE_H_
