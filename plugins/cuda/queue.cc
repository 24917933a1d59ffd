#include "plugins/cuda/queue.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "plugins/cuda/copiers.h"
#include "plugins/cuda/instance.h"
#include "plugins/cuda/unpinning.h"

namespace slipway::cuda {
namespace {

// A kernel's piece has its length in 32 bits, and one command should not hold a stream for seconds.
constexpr uint64_t kStepBytesMax = uint64_t{1} << 30;
constexpr uint32_t kDirections = 3;
// What is read ahead and never submitted takes a fraction of a millisecond.
constexpr std::chrono::seconds kAheadBound{1};
// So few pieces are not worth being listed as equal, nor is a group that has turned out so a few times.
constexpr uint32_t kEqualMin = 16, kEqualTries = 4;

uintptr_t At(const void* p) { return reinterpret_cast<uintptr_t>(p); }

// Whether all of the range is memory of devices.
bool IsDevice(RunCache& runs, uintptr_t at, uint64_t length) {
  for (uint64_t done = 0; done < length;) {
    const Run& run = runs.FindDevice(at + done, length - done);
    if (run.kind != Run::kDevice) return false;
    done += run.end - (at + done);
  }
  return true;
}

}  // namespace

CudaQueue::CudaQueue(CudaInstance& owner, void* cookie)
    : sdk::CopyQueue(owner.config().max_inflight),
      owner_(owner),
      driver_(owner.driver()),
      cookie_(cookie),
      op_memory_(new std::byte[sizeof(Op) * owner.config().max_inflight]),
      runs_(owner.device_count() == 1 ? 1 : static_cast<size_t>(owner.device_count()) + 1,
            RunCache(owner.driver(), owner.pins())),
      lanes_(static_cast<size_t>(owner.device_count()) * kDirections) {}

CudaQueue::~CudaQueue() {
  const auto until = std::chrono::steady_clock::now() + kAheadBound;
  while (DropAhead() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  Unpinning::Get().Remove(*this);
  owner_.copiers().Remove(*this);
  while (users_.load(std::memory_order_acquire) > 0) std::this_thread::yield();  // they are about to leave
  for (const Order& order : orders_) {
    const ThreadGuard guard(driver_, order.context);
    driver_.EventDestroy(order.event);
  }
}

slipway_status CudaQueue::Open(sdk::Error& err) {
  for (int32_t d = 0; d < owner_.device_count(); ++d) {
    if (!owner_.device(d).Active()) continue;
    ThreadGuard guard(driver_, nullptr);
    for (const Direction direction : {Direction::kUp, Direction::kDown}) {
      Lane* lane = nullptr;
      if (const slipway_status s = FindLane(d, direction, guard, lane, err); s != SLIPWAY_OK) return s;
    }
  }
  owner_.copiers().Add(*this);
  Unpinning::Get().Add(*this);
  return SLIPWAY_OK;
}

// ---- submitting --------------------------------------------------------------------------------------------------

slipway_status CudaQueue::FindLane(int32_t ordinal, Direction direction, ThreadGuard& guard, Lane*& out,
                                   sdk::Error& err) {
  if (ordinal < 0) ordinal = owner_.home().ordinal();  // managed memory that is nowhere yet
  if (ordinal >= owner_.device_count()) return err.Fail(SLIPWAY_E_DEVICE, "memory of a device that the driver hides");
  std::unique_ptr<Lane>& place = lanes_[static_cast<size_t>(ordinal) * kDirections + static_cast<size_t>(direction)];
  if (place == nullptr) {
    auto lane = std::make_unique<Lane>(driver_, owner_.device(ordinal), direction, owner_.config(), owner_.ring(),
                                       owner_.counters(), *this);
    if (const slipway_status s = lane->Open(err); s != SLIPWAY_OK) return s;
    guard.Use(lane->context());
    for (const Order& order : orders_) WaitFor(*lane, order.event);
    MutexLock lock(mutex_);
    place = std::move(lane);
  }
  out = place.get();
  guard.Use(out->context());
  return SLIPWAY_OK;
}

slipway_status CudaQueue::Plan(const slipway_copy& rest, ThreadGuard& guard, Step& out, sdk::Error& err) {
  const bool to_device = rest.dst_kind != SLIPWAY_MEM_HOST, from_device = rest.src_kind != SLIPWAY_MEM_HOST;
  const Direction direction = !from_device ? Direction::kUp : !to_device ? Direction::kDown : Direction::kAcross;
  const uintptr_t near = to_device ? At(rest.dst) : At(rest.src);  // on the device whose lane it is
  Run run = runs_.back().FindDevice(near, rest.length);
  if (run.kind != Run::kDevice) {
    return err.Fail(SLIPWAY_E_INVALID, "copy_submit: an address that is said to be a device's is not");
  }
  if (const slipway_status s = FindLane(run.device, direction, guard, out.lane, err); s != SLIPWAY_OK) return s;
  RunCache& runs = runs_[static_cast<size_t>(out.lane->device().ordinal())];
  run = runs.FindDevice(near, rest.length);
  const uintptr_t far = to_device ? At(rest.src) : At(rest.dst);
  const bool other_on_device = to_device && from_device;
  const Run other = other_on_device ? runs.FindDevice(far, rest.length) : runs.FindHost(far, rest.length);
  if (other.kind == Run::kDevice ? !other_on_device && !other.managed : other_on_device) {
    return err.Fail(SLIPWAY_E_INVALID, other_on_device
                                           ? "copy_submit: an address that is said to be a device's is not"
                                           : "copy_submit: an address that is said to be the host's is a device's");
  }
  const bool kernel = run.kernel && (other.kernel || (!other_on_device && other.kind != Run::kPinned));
  out.piece.flags = kernel ? 0 : KernelPiece::kNoKernel;
  out.pageable = !other_on_device && other.kind != Run::kPinned;
  if (out.pageable && !IsDevice(runs, near, rest.length)) {
    return err.Fail(SLIPWAY_E_INVALID, "copy_submit: a range reaches beyond the device's memory");
  }
  const Run &dst = to_device ? run : other, &src = to_device ? other : run;
  recent_ = {out.lane, rest.dst_kind, rest.src_kind, dst.begin,       dst.end,     src.begin,
             src.end,  dst.delta,     src.delta,     out.piece.flags, out.pageable};
  if (out.pageable) {
    // All of the rest: what follows may be pinned, but the ring serves any memory.
    out.bytes = rest.length;
    if (!run.Holds(near, rest.length)) out.piece.flags = KernelPiece::kNoKernel;
    return SLIPWAY_OK;
  }
  out.bytes = std::min({rest.length, dst.end - At(rest.dst), src.end - At(rest.src), kStepBytesMax});
  out.piece.dst = At(rest.dst) + dst.delta;
  out.piece.src = At(rest.src) + src.delta;
  out.piece.bytes = static_cast<uint32_t>(out.bytes);
  return SLIPWAY_OK;
}

Op* CudaQueue::TakeOp(uint64_t token, uint64_t length) {
  Op* op = free_;
  if (op != nullptr) {
    free_ = op->next;
  } else if (ops_made_ < owner_.config().max_inflight) {
    static_assert(alignof(Op) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    op = new (op_memory_.get() + sizeof(Op) * ops_made_++) Op;
  } else {
    return nullptr;
  }
  op->token = token;
  op->length = length;
  op->parts.store(1, std::memory_order_relaxed);
  op->status = SLIPWAY_OK;
  op->native = 0;
  op->whole = nullptr;
  return op;
}

void CudaQueue::GiveOp(Op* op) {
  op->next = free_;
  free_ = op;
}

bool CudaQueue::Begin(Lane& lane, bool must, ThreadGuard& guard) {
  guard.Use(lane.context());
  MutexLock lock(mutex_);
  Flight* const flight = lane.TakeFlight(must);
  if (flight == nullptr) return false;
  lane.BeginGroup(*flight);
  flight->op = group_;
  if (group_ != nullptr) group_->parts.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool CudaQueue::AddDirect(Lane& lane, const KernelPiece& piece, bool must, ThreadGuard& guard) {
  if (lane.group() != nullptr && lane.group()->equal_bytes != 0) {
    guard.Use(lane.context());
    LaunchGroup(lane);
  }
  if (!must && !lane.HasRoom(piece)) return false;
  if (lane.group() == nullptr && !Begin(lane, must, guard)) return false;
  lane.Add(piece);
  if (lane.group_full()) {
    guard.Use(lane.context());
    LaunchGroup(lane);
  }
  return true;
}

uint32_t CudaQueue::AddEqual(const sdk::Copies& pieces, ThreadGuard& guard) {
  const Recent& r = recent_;
  const uint64_t bytes = pieces[0].length;
  if (pieces.size() < kEqualMin || equal_tried_ == kEqualTries || r.lane == nullptr || r.pageable || r.flags != 0 ||
      !r.lane->ListsEqual(bytes)) {
    return 0;
  }
  Lane& lane = *r.lane;
  const auto fits = [&](const slipway_copy& c) { return r.HoldsEqual(c, bytes); };
  if (!fits(pieces[0])) return 0;
  uint32_t n = 0;
  while (n < pieces.size()) {
    if (lane.group() != nullptr && lane.group()->equal_bytes != bytes) {
      guard.Use(lane.context());
      LaunchGroup(lane);
    }
    if (!fits(pieces[n])) break;
    if (lane.group() == nullptr) {
      Block* const block = lane.HasRoom({}) ? lane.TakeBlockForEqual() : nullptr;
      if (block == nullptr) break;
      if (!Begin(lane, false, guard)) {
        lane.GiveBlock(block);
        break;
      }
      lane.MakeEqual(*block, static_cast<uint32_t>(bytes));
    }
    EqualPiece* const at = lane.equal_next();
    uint32_t most = std::min(lane.equal_room(), pieces.size() - n);
    // What was read ahead has a stream of its own.
    const bool ahead = ahead_.left() > 0;
    if (ahead) most = static_cast<uint32_t>(std::min<size_t>(most, ahead_.left()));
    uint32_t k = 0;
    for (; k < most && fits(pieces[n + k]); ++k) {
      const slipway_copy& c = pieces[n + k];
      at[k] = {At(c.dst) + r.dst_delta, At(c.src) + r.src_delta};
    }
    if (ahead) UseAhead(lane, at, k);
    lane.AddedEqual(k);
    n += k;
    if (lane.group_full() || (ahead && ahead_.left() == 0)) {
      guard.Use(lane.context());
      LaunchGroup(lane);
    }
    if (k < most) break;
  }
  if (n < kEqualMin) ++equal_tried_;
  return n;
}

CudaQueue::Added CudaQueue::AddQuickly(const slipway_copy& c, ThreadGuard& guard) {
  const Recent& r = recent_;
  const uintptr_t dst = At(c.dst), src = At(c.src);
  const bool same = c.dst_kind == r.dst_kind && c.src_kind == r.src_kind && c.length - 1 < kStepBytesMax &&
                    dst >= r.dst_begin && dst < r.dst_end && c.length <= r.dst_end - dst && src >= r.src_begin &&
                    src < r.src_end && c.length <= r.src_end - src;
  if (!same) return Added::kFault;  // not known to be one, that is
  if (r.pageable) {
    Op* const op = TakeOp(c.token, c.length);
    if (op == nullptr) return Added::kNoRoom;
    AddPageable(*r.lane, r.flags, c, *op);
    return Added::kYes;
  }
  const KernelPiece piece{dst + r.dst_delta, src + r.src_delta, static_cast<uint32_t>(c.length), r.flags, c.token};
  return AddDirect(*r.lane, piece, false, guard) ? Added::kYes : Added::kNoRoom;
}

void CudaQueue::AddPageable(Lane& lane, uint32_t flags, const slipway_copy& rest, Op& op) {
  const bool down = lane.direction() == Direction::kDown;
  op.host = static_cast<char*>(down ? rest.dst : const_cast<void*>(rest.src));
  op.device = At(down ? rest.src : rest.dst);
  op.left = rest.length;
  op.kernel = (flags & KernelPiece::kNoKernel) == 0;
  op.next = nullptr;
  if (group_ != nullptr) {
    op.whole = group_;
    group_->parts.fetch_add(1, std::memory_order_relaxed);
  }
  (lane.pageable_last != nullptr ? lane.pageable_last->next : lane.pageable_first) = &op;
  lane.pageable_last = &op;
  lane.pageable_bytes += rest.length;
}

// Gives up the part of a piece that nothing was given to.
void CudaQueue::FailRest(Op& op, slipway_status status) {
  MutexLock lock(mutex_);
  Spoil(op, status, 0);
  Unref(op, kSuccess);
}

CudaQueue::Added CudaQueue::AddPiece(const slipway_copy& piece, ThreadGuard& guard, slipway_status& fault,
                                     sdk::Error& err) {
  slipway_copy rest = piece;
  if (piece.length == 0) {
    if (group_ != nullptr) return Added::kYes;
    Op* const op = TakeOp(piece.token, 0);
    if (op == nullptr) return Added::kNoRoom;
    MutexLock lock(mutex_);
    Unref(*op, kSuccess);
    return Added::kYes;
  }
  Op* op = nullptr;  // of a piece that takes several copies, or waits for the ring; pieces of a group mostly need none
  // What has begun is accepted, whatever becomes of the rest.
  const auto give_up = [&](slipway_status status) {
    if (op != nullptr) {
      FailRest(*op, status);
    } else {
      MutexLock lock(mutex_);
      Spoil(*group_, status, 0);
    }
    return Added::kYes;
  };
  while (rest.length > 0) {
    Step step;
    const bool begun = rest.length < piece.length;
    const slipway_status s = Plan(rest, guard, step, err);
    if (s != SLIPWAY_OK) {
      if (begun) return give_up(s);
      fault = s;
      return Added::kFault;
    }
    const bool last = step.bytes == rest.length;
    if (!begun && last && !step.pageable) {
      step.piece.mark = piece.token;
      return AddDirect(*step.lane, step.piece, false, guard) ? Added::kYes : Added::kNoRoom;
    }
    if (op == nullptr && (group_ == nullptr || step.pageable)) op = TakeOp(piece.token, piece.length);
    if (step.pageable) {
      if (op == nullptr) return begun ? give_up(SLIPWAY_E_NOMEM) : Added::kNoRoom;
      AddPageable(*step.lane, step.piece.flags, rest, *op);
      return Added::kYes;
    }
    if (group_ == nullptr) {
      if (op == nullptr) return Added::kNoRoom;
      step.piece.flags |= KernelPiece::kPart;
      step.piece.mark = At(op);
      if (!last) op->parts.fetch_add(1, std::memory_order_relaxed);
    }
    if (!AddDirect(*step.lane, step.piece, begun, guard)) {
      if (!begun) {
        if (op != nullptr) GiveOp(op);
        return Added::kNoRoom;
      }
      if (op != nullptr && !last) op->parts.fetch_sub(1, std::memory_order_relaxed);
      return give_up(SLIPWAY_E_NOMEM);
    }
    rest.dst = static_cast<char*>(rest.dst) + step.bytes;
    rest.src = static_cast<const char*>(rest.src) + step.bytes;
    rest.length -= step.bytes;
  }
  return Added::kYes;
}

void CudaQueue::LaunchGroup(Lane& lane) {
  Flight* const flight = lane.group();
  if (lane.LaunchGroup()) {
    owner_.copiers().Launched(false);
    Push(lane, flight);
    return;
  }
  MutexLock lock(mutex_);
  Landing nothing;
  Land(flight, nothing);
}

void CudaQueue::LaunchAll(ThreadGuard& guard) {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane == nullptr) continue;
    if (lane->group() != nullptr) {
      guard.Use(lane->context());
      LaunchGroup(*lane);
    }
    if (lane->pageable_first != nullptr) {
      guard.Use(lane->context());
      Op *const first = std::exchange(lane->pageable_first, nullptr), *const last =
                                                                          std::exchange(lane->pageable_last, nullptr);
      owner_.copiers().Copy(*lane, first, last, std::exchange(lane->pageable_bytes, 0));
    }
  }
}

slipway_status CudaQueue::AddAll(const sdk::Copies& pieces, uint32_t& accepted, uint64_t& bytes, ThreadGuard& guard,
                                 sdk::Error& err) {
  for (RunCache& runs : runs_) runs.Clear();
  recent_ = Recent{};
  equal_tried_ = 0;
  if (group_ != nullptr && pieces.size() >= kEqualMin && pieces[0].length > 0) {
    Step step;
    (void)Plan(pieces[0], guard, step, err);  // what it finds is remembered; what is wrong is found again
  }
  slipway_status status = SLIPWAY_OK;
  while (accepted < pieces.size()) {
    if (group_ != nullptr) {
      const uint32_t n = AddEqual(pieces.From(accepted), guard);
      if (n > 0) {
        bytes += n * pieces[accepted].length;
        accepted += n;
        continue;
      }
    }
    const slipway_copy& piece = pieces[accepted];
    Added added = AddQuickly(piece, guard);
    if (added == Added::kFault) added = AddPiece(piece, guard, status, err);
    if (added != Added::kYes) break;
    bytes += piece.length;
    ++accepted;
  }
  LaunchAll(guard);
  Counters& counters = owner_.counters();
  Count(counters.pieces, accepted);
  Count(counters.bytes, bytes);
  for (const RunCache& runs : runs_) Count(counters.address_queries, runs.asked());
  return status;
}

slipway_status CudaQueue::Submit(const sdk::Copies& pieces, uint32_t& accepted, sdk::Error& err) {
  const Submission under_way(submissions_);
  ThreadGuard guard(driver_, owner_.home().context());
  uint64_t bytes = 0;
  const slipway_status status = AddAll(pieces, accepted, bytes, guard, err);
  WakeIfDone();
  return status;
}

slipway_status CudaQueue::SubmitGroup(uint64_t token, const sdk::Copies& pieces, uint32_t& accepted, sdk::Error& err) {
  if (pieces.size() == 1) {  // is whole by itself
    slipway_copy piece = pieces[0];
    piece.token = token;
    return Submit(sdk::Copies(&piece, sizeof(piece), 1), accepted, err);
  }
  const Submission under_way(submissions_);
  ThreadGuard guard(driver_, owner_.home().context());
  Op* const op = TakeOp(token, 0);  // held by this submission, and by each flight and piece through the ring
  if (op == nullptr) return SLIPWAY_OK;
  group_ = op;
  const slipway_status status = AddAll(pieces, accepted, op->length, guard, err);
  group_ = nullptr;
  if (accepted == 0) {
    GiveOp(op);
  } else {
    MutexLock lock(mutex_);
    Unref(*op, kSuccess);
  }
  WakeIfDone();
  return status;
}

Result CudaQueue::WaitFor(const Lane& lane, Event event) const {
  Result result = kSuccess;
  for (const Stream stream : lane.streams()) {
    if (const Result r = driver_.StreamWaitEvent(stream, event, 0); r != kSuccess) result = r;
  }
  return result;
}

slipway_status CudaQueue::After(Stream stream, sdk::Error& err) {
  ThreadGuard guard(driver_, owner_.home().context());
  Context context = nullptr;
  int32_t capturing = kCaptureStatusNone;
  if (const Result r = driver_.StreamGetCtx(stream, &context); r != kSuccess) {
    return driver_.Fail(err, r, "cuStreamGetCtx", "the stream is none of this process");
  }
  guard.Use(context);
  if (driver_.StreamIsCapturing(stream, &capturing) != kSuccess || capturing != kCaptureStatusNone) {
    return err.Fail(SLIPWAY_E_INVALID, "the stream is being captured into a graph, and copies cannot come after that");
  }
  auto order = std::find_if(orders_.begin(), orders_.end(), [&](const Order& o) { return o.context == context; });
  if (order == orders_.end()) {
    Event event = nullptr;
    orders_.reserve(orders_.size() + 1);
    if (const Result r = driver_.EventCreate(&event, kEventDisableTiming); r != kSuccess) {
      return driver_.Fail(err, r, "cuEventCreate");
    }
    order = orders_.insert(orders_.end(), {context, event});
  }
  if (const Result r = driver_.EventRecord(order->event, stream); r != kSuccess) {
    return driver_.Fail(err, r, "cuEventRecord");
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane == nullptr) continue;
    guard.Use(lane->context());
    if (const Result r = WaitFor(*lane, order->event); r != kSuccess) return driver_.Fail(err, r, "cuStreamWaitEvent");
  }
  return SLIPWAY_OK;
}

}  // namespace slipway::cuda
