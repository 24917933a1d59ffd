// The streams of a queue: copies in one direction on one device, and what flies on them. Two take turns, so that what
// it costs to begin one submission is hidden behind the end of another.
#ifndef SLIPWAY_PLUGINS_CUDA_LANE_H_
#define SLIPWAY_PLUGINS_CUDA_LANE_H_

#include <atomic>
#include <memory>
#include <vector>

#include "plugins/cuda/device.h"
#include "plugins/cuda/ring.h"
#include "plugins/cuda/stats.h"

namespace slipway::cuda {

class CudaQueue;
class Lane;

enum class Direction : uint8_t { kUp, kDown, kAcross };  // to the device, from it, within and between devices

// An accepted piece that is not copied whole and direct: it waits for the ring, or takes several copies. `next` puts it
// into one list at a time: of those that wait, or of those done. Or a group of pieces that complete together.
struct Op {
  uint64_t token = 0, length = 0;
  // How much there is that still has to be seen landing. One more while a part has not been given to anything.
  std::atomic<uint32_t> parts{0};
  slipway_status status = SLIPWAY_OK;  // guarded by the queue
  int32_t native = 0;                  // guarded by the queue
  Op* next = nullptr;
  Op* whole = nullptr;  // the group that this is a piece of; NULL: it has a completion of its own
  // What waits for the ring; guarded by the copiers.
  char* host = nullptr;
  DeviceAddress device = 0;
  uint64_t left = 0;
  bool kernel = false;
};

// What was put on a stream by one call, up to an event.
struct Flight {
  static constexpr uint32_t kFew = 8;

  Event event = nullptr;
  Lane* lane = nullptr;
  Flight* next = nullptr;
  Result result = kSuccess;  // of issuing; what was issued in spite of a failure still has to land
  Chunk* chunk = nullptr;    // what flies, or, where NULL:
  Op* op = nullptr;          // whose all of the pieces are; NULL: each has its own token, or is a part
  Block* block = nullptr;    // where the pieces are; NULL: in `few`
  uint32_t equal_bytes = 0;  // the length of each where they are listed as EqualPieces; else 0
  KernelPiece few[kFew];
  uint32_t count = 0, commands = 0;
  uint32_t told = 0;        // completions that were polled
  uint32_t flag = 0;        // what the lane's flag is when it has landed; 0: the event alone tells
  bool ahead = false;       // it reads into the lane's memory for that, and completes nothing
  bool from_ahead = false;  // some of its pieces come from there

  KernelPiece* pieces() { return block != nullptr ? block->pieces : few; }
};

// Pieces that are copied as one submission.
struct PieceList {
  KernelPiece* pieces = nullptr;
  DeviceAddress address = 0;  // of the list, for kernels; 0: they cannot read it
  uint32_t count = 0;
};

class Lane {
 public:
  Lane(const Driver& driver, Device& device, Direction direction, const Config& config, Ring& ring, Counters& counters,
       CudaQueue& queue);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Makes the streams, and the device's context where nobody has yet.
  slipway_status Open(sdk::Error& err);

  Context context() const { return context_; }
  const std::vector<Stream>& streams() const { return streams_; }
  Device& device() const { return device_; }
  Direction direction() const { return direction_; }
  CudaQueue& queue() const { return queue_; }

  // Puts the pieces on a stream, by the ways that are the fastest for them, and records the flight's event. The context
  // is current. Reorders the list. Whether anything flies; otherwise nothing does any more, and the flight's result
  // says why. Any thread.
  bool Launch(Flight& flight, PieceList& list);

  // ---- the pieces of the submission under way; only submit() touches them -----------------------------------------
  // Whether one more piece has room on the stream.
  bool HasRoom(const KernelPiece& piece) const {
    const uint32_t waiting = commands_.load(std::memory_order_relaxed) + (group_ != nullptr ? group_->commands : 0);
    return waiting + CommandsFor(piece) < kCommandsMax;
  }
  // The flight that the group will be, taken before its first piece is added.
  Flight* group() const { return group_; }
  void BeginGroup(Flight& flight);
  // The group is not full.
  void Add(const KernelPiece& piece) {
    Flight& group = *group_;
    group_pieces_[group.count++] = piece;
    group.commands += CommandsFor(piece);
    if (group.count == Flight::kFew && group.block == nullptr) MoveToBlock();
  }
  bool group_full() const { return group_->count == group_limit_; }
  // Launches the group, which ends with it.
  bool LaunchGroup();
  // Pieces of one length, at multiples of 16, are better listed as such where there are many.
  bool ListsEqual(uint64_t bytes) const {
    return device_.equal_kernel() != nullptr && bytes < kernel_below_ && bytes % 16 == 0 && bytes > 0;
  }
  Block* TakeBlockForEqual();  // NULL: there is none that kernels can read
  void GiveBlock(Block* block) { ring_.GiveBlock(block); }
  // The group, just begun, is to be of such.
  void MakeEqual(Block& block, uint32_t bytes);
  // Where the next ones are to be written, so many at most; then how many were.
  EqualPiece* equal_next() const { return group_->block->equal() + group_->count; }
  uint32_t equal_room() const { return group_limit_ - group_->count; }
  void AddedEqual(uint32_t count) { group_->count += count; }
  // What is read before it is submitted lies in memory of the device, ahead_bytes of it. The first to ask takes it; 0:
  // there is none, which is not asked for again, as a full device takes long to say so.
  DeviceAddress AheadMemory();
  // Pageable pieces of the submission, by Op::next.
  Op *pageable_first = nullptr, *pageable_last = nullptr;
  uint64_t pageable_bytes = 0;

  // ---- guarded by the queue's mutex ------------------------------------------------------------------------------
  // NULL: too many are under way (unless `always`), or the driver has no event.
  Flight* TakeFlight(bool always);
  void GiveFlight(Flight* flight);  // and its block
  void Push(Flight* flight);
  Flight* front() const { return first_; }
  // Whether the flight has landed; kErrorNotReady: it has not.
  Result Look(const Flight& flight);
  Flight* PopFront();
  Result ahead_result = kSuccess;  // of what was read ahead, and so of what is copied from there

  // ---- guarded by the copiers' mutex: pageable pieces that wait for a chunk ---------------------------------------
  Op *waiting_first = nullptr, *waiting_last = nullptr;
  uint64_t waiting_bytes = 0;
  Lane* next_waiting = nullptr;
  bool listed = false;                                    // among the lanes that have something waiting
  uint32_t chunks = 0;                                    // in use by it
  uint32_t begun = 0;                                     // since it had none in use
  Chunk *filled_first = nullptr, *filled_last = nullptr;  // by Chunk::with: they go up when fewer fly
  uint32_t flying = 0;                                    // flights of chunks that threads filled

 private:
  static constexpr uint32_t kFlightsMax = 256;
  static constexpr uint32_t kTurns = 2;  // streams that take turns: the first ones
  // Of both streams. The driver blocks callers when about 1024 commands wait on one.
  static constexpr uint32_t kCommandsMax = 768;
  // A group on an idle stream is launched early, so that the device has something to do while the next is put together.
  static constexpr uint32_t kFirstGroup = 256;
  // A flight that fails does not write its flag, so every so often its event is asked too.
  static constexpr uint32_t kLooksAtFlag = 64;

  // Pieces longer than this whose ends are unequally aligned go to the copy engines, which do not mind.
  static constexpr uint32_t kMisalignedBytes = 2048;

  // Whether the piece is for the kernel, where there are enough of its like.
  bool IsKernels(const KernelPiece& p) const {
    return p.bytes < kernel_below_ && (p.flags & KernelPiece::kNoKernel) == 0 &&
           (p.bytes <= misaligned_bytes_ || ((p.dst ^ p.src) & 3) == 0);
  }
  // Those of a kernel are one command together.
  uint32_t CommandsFor(const KernelPiece& p) const { return IsKernels(p) ? 0 : 1; }
  void MoveToBlock();
  Result Issue(PieceList& list, Stream stream);
  Result CopyByEngines(const KernelPiece* pieces, uint32_t count, Stream stream);
  Result CopyOneByOne(const KernelPiece* pieces, uint32_t count, Stream stream);
  Result CopyBatched(const KernelPiece* pieces, uint32_t count, Stream stream);
  Result CopyByKernel(const PieceList& list, uint32_t count, uint64_t bytes, Stream stream);
  Result CopyEqual(const Flight& flight, Stream stream);
  void SetFlag(Flight& flight, Stream stream);
  // Has the kernel copy `count` pieces.
  Result Launch(Function kernel, uint32_t blocks, void** params, uint32_t count, Stream stream);

  const Driver& driver_;
  Device& device_;
  const Direction direction_;
  const Config& config_;
  Ring& ring_;
  Counters& counters_;
  CudaQueue& queue_;
  Context context_ = nullptr;
  // Those that take turns, and upwards one for what is read ahead and for what is copied from there, beside which
  // others go on.
  std::vector<Stream> streams_;
  std::atomic<uint32_t> turn_{0};
  DeviceAddress ahead_ = 0;
  bool ahead_asked_ = false;
  Flag flag_;  // of one flight at a time: one that found none before it
  std::atomic<uint32_t> flags_set_{0};
  uint32_t looks_ = 0;         // guarded by the queue's mutex
  bool batches_ = false;       // the driver's batched copy is there and wanted
  uint64_t kernel_below_ = 0;  // pieces shorter than this are a kernel's
  uint32_t misaligned_bytes_ = kMisalignedBytes;

  Flight* group_ = nullptr;
  KernelPiece* group_pieces_ = nullptr;
  uint32_t group_limit_ = 0;

  std::vector<std::unique_ptr<Flight>> flights_;
  Flight *free_ = nullptr, *first_ = nullptr, *last_ = nullptr;
  std::atomic<uint32_t> commands_{0};  // on the streams
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_LANE_H_
