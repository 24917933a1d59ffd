// What is read before it is submitted: into memory of the device, from where it is copied when it is. The link is the
// slow part of the way, and what crosses it by then need not any more.
#include <algorithm>
#include <utility>

#include "plugins/cuda/copiers.h"
#include "plugins/cuda/instance.h"
#include "plugins/cuda/queue.h"

namespace slipway::cuda {

// Only what the kernel for pieces of one length copies, to a device that has nothing else to do: what it reads ahead
// later in the same submission comes after the first.
uint32_t CudaQueue::ReadAhead(const sdk::Copies& pieces) {
  const bool more = ahead_.used == 0 && !ahead_.sources.empty();
  const uint64_t bytes = pieces[0].length;
  if (more ? bytes != ahead_.bytes : flights_.load() > 0) return 0;
  const Submission under_way(submissions_);
  ThreadGuard guard(driver_, owner_.home().context());
  for (RunCache& runs : runs_) runs.Clear();
  recent_ = Recent{};
  Step step;
  sdk::Error none(nullptr);
  if (bytes == 0 || Plan(pieces[0], guard, step, none) != SLIPWAY_OK) return 0;
  Lane& lane = *step.lane;
  if (recent_.pageable || recent_.flags != 0 || lane.direction() != Direction::kUp || !lane.ListsEqual(bytes) ||
      !recent_.HoldsEqual(pieces[0], bytes)) {
    return 0;
  }
  if (!more) {
    ahead_.Clear();
    ahead_.lane = &lane;
    ahead_.bytes = bytes;
    ahead_.memory = lane.AheadMemory();
    if (ahead_.memory == 0) return 0;
    MutexLock lock(mutex_);
    lane.ahead_result = kSuccess;
  } else if (&lane != ahead_.lane) {
    return 0;
  }
  const uint64_t fit = owner_.config().ahead_bytes / bytes - ahead_.sources.size();
  const uint64_t room = std::min<uint64_t>(fit, Block::kEqualPieces);
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(room, pieces.size()));
  return most == 0 ? 0 : LaunchAhead(lane, pieces.First(most));
}

uint32_t CudaQueue::LaunchAhead(Lane& lane, const sdk::Copies& pieces) {
  const size_t first = ahead_.sources.size();
  ahead_.sources.reserve(first + pieces.size());  // may throw, so before anything is taken
  Block* const block = lane.TakeBlockForEqual();
  if (block == nullptr) return 0;
  Flight* flight = nullptr;
  {
    MutexLock lock(mutex_);
    flight = lane.TakeFlight(false);
    if (flight == nullptr) {
      lane.GiveBlock(block);
      return 0;
    }
  }
  ahead_.sources.resize(first + pieces.size());
  DeviceAddress at = ahead_.memory + first * ahead_.bytes;
  uint32_t count = 0;
  for (; count < pieces.size() && recent_.HoldsEqual(pieces[count], ahead_.bytes); ++count, at += ahead_.bytes) {
    const DeviceAddress source = reinterpret_cast<uintptr_t>(pieces[count].src) + recent_.src_delta;
    ahead_.sources[first + count] = source;
    block->equal()[count] = {at, source};
  }
  ahead_.sources.resize(first + count);
  flight->ahead = true;
  flight->block = block;
  flight->equal_bytes = static_cast<uint32_t>(ahead_.bytes);
  flight->count = count;
  PieceList none;
  const bool flies = lane.Launch(*flight, none), good = flies && flight->result == kSuccess;
  if (flies) {
    ahead_.loose = true;
    ahead_flights_.fetch_add(1);
    owner_.copiers().Launched(false);
    Push(lane, flight);
  } else {
    GiveBack(lane, flight);
  }
  if (!good) ahead_.Clear();
  if (good) Count(owner_.counters().read_ahead, count);
  return good ? count : 0;
}

void CudaQueue::UseAhead(Lane& lane, EqualPiece* pieces, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (&lane != ahead_.lane || lane.group()->equal_bytes != ahead_.bytes ||
        pieces[i].src != ahead_.sources[ahead_.used]) {
      return ahead_.Clear();
    }
    pieces[i].src = ahead_.memory + ahead_.used++ * ahead_.bytes;
    lane.group()->from_ahead = true;
  }
  if (ahead_.used < ahead_.sources.size()) return;
  // All of it is submitted, and is copied after it is read, on the same stream.
  ahead_.loose = false;
  ahead_.Clear();
}

bool CudaQueue::DropAhead() {
  ahead_.Clear();
  ahead_.loose &= ahead_flights_.load() > 0;
  if (!ahead_.loose) return false;
  Landing landing;
  {
    const ThreadGuard guard(driver_, owner_.home().context());
    BriefLock lock(mutex_);
    HarvestLocked(landing);
  }
  HandOver(landing, false);
  ahead_.loose = ahead_flights_.load() > 0;
  return ahead_.loose;
}

}  // namespace slipway::cuda
