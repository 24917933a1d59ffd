#include "plugins/cuda/copiers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "plugins/cuda/host_copy.h"
#include "plugins/cuda/queue.h"

namespace slipway::cuda {
namespace {

// How many chunks a submitting thread gives out, which must not keep its caller waiting; the others follow as these
// land. Those that go up are merely listed for the threads, who should not run out of work.
constexpr uint32_t kPumpAtSubmit = 4, kPumpUpAtSubmit = 8;
constexpr uint64_t kPartAlign = 16;
constexpr uint64_t kSmallestSplit = 4096;
// What a thread copies at a time: less of short chunks, so that all threads have something of the first and the last.
constexpr uint64_t kPortionsMin = 8, kPortionBytes = uint64_t{256} << 10, kPortionBytesMin = uint64_t{64} << 10;
constexpr uint64_t kShortestChunkBytes = uint64_t{512} << 10;
// Of chunks that go up, where lines are demoted: so little is on its way that the caches that all share keep it.
constexpr uint64_t kShortestDemotedBytes = uint64_t{256} << 10, kLongestDemotedBytes = uint64_t{2} << 20;
constexpr uint64_t kChunkAlign = uint64_t{64} << 10;
// What a core has just written is still in its own cache, and a device reads it from there at less than half its rate.
// In the middle of a transfer enough is written ahead for it to have left; not at its beginning, nor at its end.
constexpr uint32_t kStreamedFirst = 4;
constexpr uint64_t kStreamedTailBytes = uint64_t{20} << 20;
// A device takes 2 microseconds or more between two copies that it is given one by one, and less than half of one
// between those that it is given together. So chunks that go up wait for each other while so many flights keep it busy.
constexpr uint32_t kFlyingMax = 2, kTogetherMax = 2;

}  // namespace

Copiers::Copiers(const Driver& driver, sdk::Host host, const Config& config, Ring& ring, Counters& counters)
    : driver_(driver), host_(host), config_(config), ring_(ring), counters_(counters) {}

void Copiers::Add(CudaQueue& queue) {
  BriefLock lock(mutex_);
  queues_.push_back(&queue);
}

void Copiers::Remove(CudaQueue& queue) {
  BriefLock lock(mutex_);
  std::erase(queues_, &queue);
}

void Copiers::Launched(bool chunk) {
  flights_.fetch_add(1);
  if (chunk) chunk_flights_.fetch_add(1);
  if (!watching_.load()) sleepers_.Wake(1);
}

void Copiers::Ended(bool chunk) {
  flights_.fetch_sub(1);
  if (chunk) chunk_flights_.fetch_sub(1);
}

void Copiers::Wake(uint32_t portions, bool up) {
  sleepers_.Wake(portions);
  if (up) sleepers_up_.Wake(portions);
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
  chunk->with = nullptr;
  if (lane.chunks == 0) lane.begun = 0;
  FillParts(*chunk);
  ++lane.chunks;
  ++lane.begun;
  return chunk;
}

// What the next chunk of the lane may hold. Each is a copy more for the device, which costs it microseconds, so chunks
// are short only where the device waits for the first one to be filled, or the caller for the last one to be emptied.
uint64_t Copiers::ChunkBytes(const Lane& lane) const {
  const bool up = lane.direction() == Direction::kUp, demotes = up && Demotes();
  const uint64_t longest = std::min(demotes ? kLongestDemotedBytes : UINT64_MAX, config_.ring_chunk_bytes);
  const uint64_t shortest = std::min(demotes ? kShortestDemotedBytes : kShortestChunkBytes, longest);
  const uint64_t most = up ? shortest << std::min(lane.begun, 16u)
                           : std::max(lane.waiting_bytes / 2 / kChunkAlign * kChunkAlign, shortest);
  return std::min(most, longest);
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
  chunk.streaming = lane.begun < kStreamedFirst || lane.waiting_bytes < kStreamedTailBytes;
  chunk.part_count = n;
  chunk.bytes = used;
  chunk.portion_bytes = std::clamp(used / kPortionsMin / kPartAlign * kPartAlign, kPortionBytesMin, kPortionBytes);
  chunk.portions = static_cast<uint32_t>((used + chunk.portion_bytes - 1) / chunk.portion_bytes);
  chunk.portions_left = chunk.portions;
  chunk.next_portion = 0;
}

void Copiers::MakeReady(Chunk& chunk) {
  chunk.next = nullptr;
  (ready_last_ != nullptr ? ready_last_->next : ready_first_) = &chunk;
  ready_last_ = &chunk;
  if (chunk.lane->direction() == Direction::kUp) ready_up_.fetch_add(chunk.portions);
  ready_portions_.fetch_add(chunk.portions);
}

void Copiers::Pump(uint32_t count) {
  uint32_t ready = 0;
  for (uint32_t given = 0; given < count;) {
    Chunk* chunk = nullptr;
    {
      BriefLock lock(mutex_);
      Lane* const lane = waiting_first_;
      if (lane == nullptr || free_ == nullptr) break;
      waiting_first_ = lane->next_waiting;
      if (waiting_first_ == nullptr) waiting_last_ = nullptr;
      lane->listed = false;
      if (lane->waiting_first == nullptr) continue;
      chunk = TakeChunk(*lane);
      List(*lane);  // to the end: every lane gets its turn
      if (lane->direction() == Direction::kUp) {
        ready += chunk->portions;
        MakeReady(*chunk);  // and may be in other hands as soon as the lock is not held
        ++given;
        continue;
      }
    }
    if (Issue(*chunk, true)) ++given;
  }
  Wake(ready, true);
}

void Copiers::AddFilled(Chunk& chunk) {
  Lane& lane = *chunk.lane;
  (lane.filled_last != nullptr ? lane.filled_last->with : lane.filled_first) = &chunk;
  lane.filled_last = &chunk;
}

// Of several parts each chunk is a submission of its own, by the kernel or as a batch.
Chunk* Copiers::TakeFilled(Lane& lane) {
  Chunk* const first = lane.filled_first;
  if (first == nullptr || lane.flying >= kFlyingMax) return nullptr;
  Chunk* last = first;
  for (uint32_t n = 1; n < kTogetherMax && last->with != nullptr; ++n) {
    if (first->part_count > 1 || last->with->part_count > 1) break;
    last = last->with;
  }
  lane.filled_first = std::exchange(last->with, nullptr);
  if (lane.filled_first == nullptr) lane.filled_last = nullptr;
  ++lane.flying;
  return first;
}

void Copiers::IssueFilled(Lane& lane, bool wake) {
  for (;;) {
    Chunk* chunk = nullptr;
    {
      BriefLock lock(mutex_);
      chunk = TakeFilled(lane);
    }
    if (chunk == nullptr) return;
    if (Issue(*chunk, wake)) continue;
    BriefLock lock(mutex_);
    --lane.flying;
  }
}

bool Copiers::Issue(Chunk& chunk, bool wake) {
  Lane& lane = *chunk.lane;
  CudaQueue& queue = lane.queue();
  const ThreadGuard guard(driver_, lane.context());
  queue.Enter();
  Flight* const flight = queue.TakeFlight(lane);
  Result result = kErrorOutOfMemory;
  bool flies = false;
  if (flight != nullptr) {
    flight->chunk = &chunk;
    PieceList list{chunk.pieces, chunk.pieces_address, chunk.part_count};
    std::array<KernelPiece, kTogetherMax> together;
    uint32_t chunks = 0;
    uint64_t bytes = 0;
    for (const Chunk* c = &chunk; c != nullptr; c = c->with) {
      together[chunks++] = c->pieces[0];
      bytes += c->bytes;
    }
    if (chunks > 1) list = {together.data(), 0, chunks};
    flies = lane.Launch(*flight, list);
    if (flies) {
      Count(chunk.caller_copies ? counters_.inline_chunks : counters_.ring_chunks, chunks);
      Count(counters_.ring_bytes, bytes);
      Launched(!chunk.caller_copies);
      queue.Push(lane, flight);
    } else {
      result = flight->result;
      queue.GiveBack(lane, flight);
    }
  }
  if (!flies) {
    for (Chunk* c = &chunk; c != nullptr;) {
      Chunk* const with = c->with;
      c->result = result;
      Finish(*c, false);
      c = with;
    }
    FailWaiting(lane, result);  // they would fare no better
    if (wake) queue.WakeIfDone();
  }
  queue.Leave();
  return flies;
}

void Copiers::LandedUp(Chunk& chunk, bool wake) {
  Lane& lane = *chunk.lane;
  CudaQueue& queue = lane.queue();
  queue.Enter();
  {
    BriefLock lock(mutex_);
    --lane.flying;
  }
  IssueFilled(lane, wake);
  for (Chunk* c = &chunk; c != nullptr;) {
    Chunk* const with = c->with;
    Finish(*c, wake);
    c = with;
  }
  queue.Leave();
  Pump(kPumpAfterChunk);
}

void Copiers::Landed(Chunk& chunk, bool wake) {
  const bool down = chunk.lane->direction() == Direction::kDown;
  if (!down && !chunk.caller_copies) return LandedUp(chunk, wake);
  if (down && chunk.result == kSuccess) {
    if (!chunk.caller_copies) {
      const uint32_t portions = chunk.portions;
      {
        BriefLock lock(mutex_);
        MakeReady(chunk);
      }
      return Wake(portions, false);
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
    BriefLock lock(mutex_);
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
    BriefLock lock(mutex_);
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
    BriefLock lock(mutex_);
    const bool alone = lane.waiting_first == nullptr;
    (alone ? lane.waiting_first : lane.waiting_last->next) = first;
    lane.waiting_last = last;
    last->next = nullptr;
    lane.waiting_bytes += bytes;
    if (alone && bytes <= config_.inline_bytes) chunk = TakeChunk(lane);
    if (chunk != nullptr) chunk->caller_copies = true;
    List(lane);
  }
  if (ring_.chunks().empty()) return Wake(1, false);
  if (chunk != nullptr) {
    if (lane.direction() == Direction::kUp) {
      for (uint32_t i = 0; i < chunk->portions; ++i) CopyPortion(*chunk, i);
    }
    Issue(*chunk, false);
    return;
  }
  if (lane.direction() == Direction::kUp) return Pump(kPumpUpAtSubmit);
  Pump(kPumpAtSubmit);
  // Waking takes longer than the first chunk does, so they wake meanwhile.
  Wake(static_cast<uint32_t>(std::min<uint64_t>(bytes / kPortionBytesMin + 1, UINT32_MAX)), false);
}

void Copiers::Help(CudaQueue& queue) {
  if (ready_portions_.load() == 0) return;
  Chunk* chunk = nullptr;
  uint32_t portion = 0;
  {
    BriefLock lock(mutex_);
    if (ready_first_ == nullptr || &ready_first_->lane->queue() != &queue) return;
    chunk = Claim(portion);
  }
  CopyPortion(*chunk, portion);
  PortionDone(*chunk, false);
}

}  // namespace slipway::cuda
