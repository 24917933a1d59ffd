#include "plugins/cuda/copiers.h"

#include <algorithm>

#include "plugins/cuda/host_copy.h"
#include "plugins/cuda/queue.h"

namespace slipway::cuda {
namespace {

// How many chunks a submitting thread gives out, which must not keep its caller waiting; the others follow as these
// land. Those that go up are merely listed for the threads, who should not run out of work.
constexpr uint32_t kPumpAtSubmit = 4, kPumpUpAtSubmit = 8;
constexpr uint64_t kPartAlign = 16;
constexpr uint64_t kSmallestSplit = 4096;
// What a thread copies at a time.
constexpr uint64_t kPortionBytes = uint64_t{256} << 10;
// A transfer begins and ends with small chunks, since nothing overlaps the copying of the first and the last.
constexpr uint64_t kFirstChunkBytes = uint64_t{512} << 10;

}  // namespace

Copiers::Copiers(const Driver& driver, sdk::Host host, const Config& config, Ring& ring, Counters& counters)
    : driver_(driver),
      host_(host),
      config_(config),
      ring_(ring),
      counters_(counters),
      portion_bytes_(std::min(config.ring_chunk_bytes, kPortionBytes)) {}

void Copiers::Add(CudaQueue& queue) {
  MutexLock lock(mutex_);
  queues_.push_back(&queue);
}

void Copiers::Remove(CudaQueue& queue) {
  MutexLock lock(mutex_);
  std::erase(queues_, &queue);
}

void Copiers::Launched(bool chunk) {
  flights_.fetch_add(1);
  if (chunk) chunk_flights_.fetch_add(1);
  if (watching_.load()) return;
  MutexLock lock(mutex_);
  Notify();
}

void Copiers::Ended(bool chunk) {
  flights_.fetch_sub(1);
  if (chunk) chunk_flights_.fetch_sub(1);
}

void Copiers::Notify() {
  if (sleeping_ > 0) work_.NotifyOne();
}

// ---- chunks ------------------------------------------------------------------------------------------------------

void Copiers::List(Lane& lane) {
  if (lane.listed || lane.waiting_first == nullptr) return;
  lane.listed = true;
  lane.next_waiting = nullptr;
  (waiting_last_ != nullptr ? waiting_last_->next_waiting : waiting_first_) = &lane;
  waiting_last_ = &lane;
}

// A lane whose pieces are all done may go, so it is not left in the list.
void Copiers::Unlist(Lane& lane) {
  if (!lane.listed) return;
  Lane* before = nullptr;
  for (Lane* l = waiting_first_; l != &lane; l = l->next_waiting) before = l;
  (before != nullptr ? before->next_waiting : waiting_first_) = lane.next_waiting;
  if (waiting_last_ == &lane) waiting_last_ = before;
  lane.listed = false;
}

Chunk* Copiers::TakeChunk(Lane& lane) {
  Chunk* const chunk = free_;
  if (chunk == nullptr) return nullptr;
  free_ = chunk->next;
  busy_.fetch_add(1);
  if (lane.direction() == Direction::kUp) busy_up_.fetch_add(1);
  chunk->lane = &lane;
  chunk->result = kSuccess;
  chunk->caller_copies = false;
  FillParts(*chunk);
  ++lane.chunks;
  return chunk;
}

// What the next chunk of the lane may hold.
uint64_t Copiers::ChunkBytes(const Lane& lane) const {
  const uint64_t first = std::min(kFirstChunkBytes, config_.ring_chunk_bytes);
  const uint64_t begin = first << std::min(lane.chunks, 16u);
  const uint64_t end = std::max(lane.waiting_bytes / 4, first);
  return std::min({begin, end, config_.ring_chunk_bytes});
}

// Parts lie in the chunk as they lie in the device's memory, to 16 bytes, which is what the kernel likes best.
void Copiers::FillParts(Chunk& chunk) {
  Lane& lane = *chunk.lane;
  const bool down = lane.direction() == Direction::kDown;
  const uint64_t most = ChunkBytes(lane);
  uint64_t used = 0;
  uint32_t n = 0;
  while (lane.waiting_first != nullptr && n < Chunk::kPartsMax) {
    Op& op = *lane.waiting_first;
    const uint64_t at = (used + kPartAlign - 1) / kPartAlign * kPartAlign + op.device % kPartAlign;
    if (at >= most) break;
    const uint64_t bytes = std::min(op.left, most - at);
    if (bytes < op.left && bytes < kSmallestSplit) break;
    chunk.parts[n] = {&op, op.host, static_cast<uint32_t>(bytes), static_cast<uint32_t>(at)};
    KernelPiece& piece = chunk.pieces[n];
    piece.dst = down ? chunk.address + at : op.device;
    piece.src = down ? op.device : chunk.address + at;
    piece.bytes = static_cast<uint32_t>(bytes);
    piece.flags = op.kernel ? 0 : KernelPiece::kNoKernel;
    used = at + bytes;
    ++n;
    op.host += bytes;
    op.device += bytes;
    op.left -= bytes;
    lane.waiting_bytes -= bytes;
    if (op.left > 0) {
      op.parts.fetch_add(1, std::memory_order_relaxed);
    } else {  // the last part takes over what the op was held by
      lane.waiting_first = op.next;
      if (lane.waiting_first == nullptr) lane.waiting_last = nullptr;
    }
  }
  chunk.part_count = n;
  chunk.bytes = used;
  chunk.portions = static_cast<uint32_t>((used + portion_bytes_ - 1) / portion_bytes_);
  chunk.portions_left = chunk.portions;
  chunk.next_portion = 0;
}

void Copiers::MakeReady(Chunk& chunk) {
  chunk.next = nullptr;
  (ready_last_ != nullptr ? ready_last_->next : ready_first_) = &chunk;
  ready_last_ = &chunk;
  if (chunk.lane->direction() == Direction::kUp) {
    ready_up_.fetch_add(chunk.portions);
    for (uint32_t i = 0; i < std::min(chunk.portions, sleeping_up_); ++i) work_up_.NotifyOne();
  }
  ready_portions_.fetch_add(chunk.portions);
  for (uint32_t i = 0; i < std::min(chunk.portions, sleeping_); ++i) work_.NotifyOne();
}

void Copiers::Pump(uint32_t count) {
  for (uint32_t given = 0; given < count;) {
    Chunk* chunk = nullptr;
    {
      MutexLock lock(mutex_);
      Lane* const lane = waiting_first_;
      if (lane == nullptr || free_ == nullptr) return;
      waiting_first_ = lane->next_waiting;
      if (waiting_first_ == nullptr) waiting_last_ = nullptr;
      lane->listed = false;
      if (lane->waiting_first == nullptr) continue;
      chunk = TakeChunk(*lane);
      List(*lane);  // to the end: every lane gets its turn
      if (lane->direction() == Direction::kUp) {
        MakeReady(*chunk);  // and may be in other hands as soon as the lock is not held
        ++given;
        continue;
      }
    }
    if (Issue(*chunk, true)) ++given;
  }
}

bool Copiers::Issue(Chunk& chunk, bool wake) {
  Lane& lane = *chunk.lane;
  CudaQueue& queue = lane.queue();
  const ThreadGuard guard(driver_, lane.context());
  queue.Enter();
  Flight* const flight = queue.TakeFlight(lane);
  bool flies = false;
  if (flight == nullptr) {
    chunk.result = kErrorOutOfMemory;
  } else {
    flight->chunk = &chunk;
    PieceList list{chunk.pieces, chunk.pieces_address, chunk.part_count};
    flies = lane.Launch(*flight, list);
    if (flies) {
      Count(chunk.caller_copies ? counters_.inline_chunks : counters_.ring_chunks);
      Count(counters_.ring_bytes, chunk.bytes);
      Launched(!chunk.caller_copies);
      queue.Push(lane, flight);
    } else {
      chunk.result = flight->result;
      queue.GiveBack(lane, flight);
    }
  }
  if (!flies) {
    const Result result = chunk.result;
    Finish(chunk, false);
    FailWaiting(lane, result);  // they would fare no better
    if (wake) queue.WakeIfDone();
  }
  queue.Leave();
  return flies;
}

void Copiers::Landed(Chunk& chunk, bool wake) {
  const bool down = chunk.lane->direction() == Direction::kDown;
  if (down && chunk.result == kSuccess) {
    if (!chunk.caller_copies) {
      MutexLock lock(mutex_);
      MakeReady(chunk);
      return;
    }
    for (uint32_t i = 0; i < chunk.portions; ++i) CopyPortion(chunk, i);
  }
  Finish(chunk, wake);
  Pump(kPumpAfterChunk);
}

void Copiers::Finish(Chunk& chunk, bool wake) {
  Lane& lane = *chunk.lane;
  CudaQueue& queue = lane.queue();
  queue.Enter();
  queue.PartsDone(chunk);
  {
    MutexLock lock(mutex_);
    chunk.next = free_;
    free_ = &chunk;
    busy_.fetch_sub(1);
    if (lane.direction() == Direction::kUp) busy_up_.fetch_sub(1);
    --lane.chunks;
  }
  if (wake) queue.WakeIfDone();
  queue.Leave();
}

void Copiers::FailWaiting(Lane& lane, Result result) {
  Op* op = nullptr;
  {
    MutexLock lock(mutex_);
    op = lane.waiting_first;
    lane.waiting_first = lane.waiting_last = nullptr;
    lane.waiting_bytes = 0;
    Unlist(lane);
  }
  while (op != nullptr) {
    Op* const next = op->next;
    lane.queue().PlainDone(*op, result);
    op = next;
  }
}

void Copiers::Copy(Lane& lane, Op* first, Op* last, uint64_t bytes) {
  Chunk* chunk = nullptr;
  {
    MutexLock lock(mutex_);
    const bool alone = lane.waiting_first == nullptr;
    (alone ? lane.waiting_first : lane.waiting_last->next) = first;
    lane.waiting_last = last;
    last->next = nullptr;
    lane.waiting_bytes += bytes;
    if (alone && bytes <= config_.inline_bytes) chunk = TakeChunk(lane);
    if (chunk != nullptr) chunk->caller_copies = true;
    List(lane);
    if (ring_.chunks().empty()) Notify();
  }
  if (chunk != nullptr) {
    if (lane.direction() == Direction::kUp) {
      for (uint32_t i = 0; i < chunk->portions; ++i) CopyPortion(*chunk, i);
    }
    Issue(*chunk, false);
    return;
  }
  Pump(lane.direction() == Direction::kUp ? kPumpUpAtSubmit : kPumpAtSubmit);
  MutexLock lock(mutex_);
  if (sleeping_up_ > 0 && lane.direction() == Direction::kUp) work_up_.NotifyAll();
  if (sleeping_ > 0) work_.NotifyAll();  // waking takes longer than the first chunk does, so they wake meanwhile
}

void Copiers::Help(CudaQueue& queue) {
  if (ready_portions_.load() == 0) return;
  Chunk* chunk = nullptr;
  uint32_t portion = 0;
  {
    MutexLock lock(mutex_);
    if (ready_first_ == nullptr || &ready_first_->lane->queue() != &queue) return;
    chunk = Claim(portion);
  }
  CopyPortion(*chunk, portion);
  PortionDone(*chunk, false);
}

}  // namespace slipway::cuda
