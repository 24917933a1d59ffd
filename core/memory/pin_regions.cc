// The pin cache's part about regions: their grids, and undeclaring them.
#include <bit>
#include <chrono>
#include <utility>

#include "core/base/bytes.h"
#include "core/memory/mapping.h"
#include "core/memory/pin_cache.h"

namespace slipway {
namespace {

constexpr uint64_t kExtentsPerRegionMax = 1u << 16;  // what a grid costs in memory stays far below what it can pin

}  // namespace

// The chunk that is configured, within what the budget, the device and the region's size allow. 0: none will do.
uint64_t PinCache::ChunkBytes(const Client& client, const PinRegion& region, uint64_t page_bytes) const {
  const PinnerTraits& traits = client.traits;
  const uint64_t least = std::max(page_bytes, traits.granularity_bytes);
  const uint64_t pins = std::max<uint64_t>(1, traits.pins_per_byte);
  uint64_t chunk = std::max(options_.chunk_bytes, least);
  uint64_t most = PinBudget::kNoCap;  // that may ever be pinned by this pinner
  if (budget_.cap_bytes() != PinBudget::kNoCap) most = budget_.cap_bytes() / pins;
  if (traits.max_total_bytes != 0) most = std::min(most, traits.max_total_bytes);
  if (traits.max_pins != 0 && most != PinBudget::kNoCap) {
    while (most / chunk >= std::max<uint64_t>(1, traits.max_pins / 2)) chunk *= 2;
  }
  while ((region.end - region.begin) / chunk > kExtentsPerRegionMax) chunk *= 2;
  if (most != PinBudget::kNoCap) {
    // Two at least beside what is pinned for good, which is what there is at the start.
    const uint64_t room = most - std::min(most, fixed_bytes_ / pins);
    while (chunk > least && 2 * chunk > room) chunk /= 2;
  }
  while (chunk > least && traits.max_pin_bytes != 0 && chunk > traits.max_pin_bytes) chunk /= 2;
  return traits.max_pin_bytes != 0 && chunk > traits.max_pin_bytes ? 0 : chunk;
}

PinRegion::Grid PinCache::MakeGrid(const Client& client, PinRegion* region, uint64_t page_bytes) {
  PinRegion::Grid grid;
  if ((client.traits.mem_kinds & region->mem_kind) == 0) return grid;
  const uint64_t chunk = ChunkBytes(client, *region, page_bytes);
  if (chunk == 0) return grid;
  // Host memory is pinned by whole pages. Of other kinds nobody here knows the pages: exactly what was declared.
  const uint64_t unit = region->mem_kind == SLIPWAY_MEM_HOST ? page_bytes : 1;
  grid.shift = static_cast<uint32_t>(std::countr_zero(chunk));
  grid.begin = RoundDown(region->begin, unit);
  grid.end = RoundUp(region->end, unit);
  grid.first_chunk = grid.begin >> grid.shift;
  grid.count = ((grid.end - 1) >> grid.shift) - grid.first_chunk + 1;
  grid.extents = store_.Take(grid.count);
  for (uint64_t i = 0; i < grid.count; ++i) grid.extents[i].region = region;
  return grid;
}

void PinCache::Declare(uint64_t addr, uint64_t length, uint64_t mem_kind, PinFor whom) {
  const uint64_t page_bytes = mem_kind == SLIPWAY_MEM_HOST ? MappingPageBytes(addr, length) : PageBytes();
  MutexLock lock(mutex_);
  std::unique_ptr<PinRegion>& region = regions_[{addr, length, whom}];
  if (region == nullptr) {
    region = std::make_unique<PinRegion>();
    region->begin = addr;
    region->end = addr + length;
    region->mem_kind = mem_kind;
    for (const auto& client : clients_) {
      const bool mine = whom == PinFor::kAll || client->traits.for_devices;
      region->grids.push_back(mine ? MakeGrid(*client, region.get(), page_bytes) : PinRegion::Grid());
    }
    RebuildTables();
  }
  ++region->declared;
}

// Where regions overlap, each byte is looked up in the one that begins first; what another has pinned there already
// stays until it is idle.
void PinCache::RebuildTables() {
  for (size_t who = 0; who < clients_.size(); ++who) {
    std::vector<ExtentGrid> grids;
    uint64_t covered_to = 0;
    for (const auto& [key, region] : regions_) {
      const PinRegion::Grid& grid = region->grids[who];
      const uint64_t begin = std::max(region->begin, covered_to);
      if (region->closing || grid.extents == nullptr || begin >= region->end) continue;
      const uint64_t skipped = (begin >> grid.shift) - grid.first_chunk;
      grids.push_back({begin, region->end, grid.extents + skipped, grid.first_chunk + skipped, grid.shift});
      covered_to = region->end;
    }
    clients_[who]->table.Replace(grids);
  }
}

// Closes or opens all extents of the region to new leases.
void PinCache::Mark(PinRegion* region, bool closing) {
  region->closing = closing;
  for (const PinRegion::Grid& grid : region->grids) {
    for (uint64_t i = 0; grid.extents != nullptr && i < grid.count; ++i) {
      if (closing) {
        const uint64_t before = grid.extents[i].word.fetch_or(ExtentWord::kClosing);
        counters_.Add(Counter::kPinLeasesAtClose, ExtentWord::LeasesOf(before));
      } else {
        grid.extents[i].word.fetch_and(~ExtentWord::kClosing);
      }
    }
  }
  RebuildTables();
}

// Takes back a job that has not begun.
void PinCache::DropJob(size_t index) {
  Job job = std::move(jobs_[index]);
  jobs_.erase(jobs_.begin() + static_cast<ptrdiff_t>(index));
  backlog_ns_ -= job.estimate_ns;
  Refuse(job, 0, ExtentWord::kAbsent, 0);
}

// False when leases, or a pin or unpin that is under way, last longer than that.
bool PinCache::WaitForLeases(PinRegion* region, uint64_t timeout_ns) {
  using std::chrono::steady_clock;
  constexpr std::chrono::nanoseconds kLook = std::chrono::milliseconds(10);
  const auto until = steady_clock::now() + std::chrono::nanoseconds(std::min<uint64_t>(timeout_ns, INT64_MAX / 4));
  const auto busy = [](const Extent& e) {
    const uint64_t word = e.word.load();
    return ExtentWord::LeasesOf(word) > 0 || ExtentWord::StateOf(word) == ExtentWord::kEvicting ||
           ExtentWord::StateOf(word) == ExtentWord::kRegistering;
  };
  for (const PinRegion::Grid& grid : region->grids) {
    for (uint64_t i = 0; grid.extents != nullptr && i < grid.count; ++i) {
      while (busy(grid.extents[i])) {
        const auto left = until - steady_clock::now();
        if (left.count() <= 0) return false;
        moved_.WaitFor(mutex_, std::min<std::chrono::nanoseconds>(left, kLook));
      }
    }
  }
  return true;
}

Status PinCache::Undeclare(uint64_t addr, uint64_t length, uint64_t timeout_ns, PinFor whom) {
  const RegionKey key = {addr, length, whom};
  MutexLock lock(mutex_);
  const auto found = regions_.find(key);
  if (found == regions_.end()) return Status(SLIPWAY_E_NOT_DECLARED, "this range was not declared");
  PinRegion* const region = found->second.get();
  if (region->closing) return Status(SLIPWAY_E_REGION_BUSY, "the region is being undeclared already");
  if (region->declared == 1) return Close(key, region, timeout_ns);
  --region->declared;
  return {};
}

// The last to have declared it lets go of it.
Status PinCache::Close(const RegionKey& key, PinRegion* region, uint64_t timeout_ns) {
  Mark(region, true);
  for (size_t i = jobs_.size(); i-- > 0;) {
    if (jobs_[i].region == region) DropJob(i);
  }
  if (!WaitForLeases(region, timeout_ns)) {
    Mark(region, false);
    return Status(SLIPWAY_E_REGION_BUSY, "requests in flight use the memory: wait for them or cancel them");
  }
  std::vector<Extent*> pinned;
  Status stuck;
  for (const PinRegion::Grid& grid : region->grids) {
    for (uint64_t i = 0; grid.extents != nullptr && i < grid.count; ++i) {
      Extent& e = grid.extents[i];
      const uint64_t word = e.word.load();
      if (ExtentWord::StateOf(word) == ExtentWord::kStuck) stuck = clients_[e.who]->stuck_why;
      if (ExtentWord::StateOf(word) != ExtentWord::kPinned) continue;
      e.word.store(ExtentWord::With(word, ExtentWord::kEvicting));
      Unlink(&e);
      pinned.push_back(&e);
    }
  }
  Status status = Unpin(pinned);
  if (status.code() == SLIPWAY_E_REGION_BUSY) {
    Mark(region, false);
    return status;
  }
  if (status.ok()) status = stuck;  // an earlier unpin failed: whoever frees the memory must know now
  for (const PinRegion::Grid& grid : region->grids) {
    if (grid.extents != nullptr) store_.GiveBack(grid.extents, grid.count);
  }
  regions_.erase(key);
  return status;
}

void PinCache::Abandon(uint32_t who) {
  MutexLock lock(mutex_);
  Client& client = *clients_[who];
  for (size_t i = jobs_.size(); i-- > 0;) {
    if (jobs_[i].who == who) DropJob(i);
  }
  for (const auto& [key, region] : regions_) {
    PinRegion::Grid& grid = region->grids[who];
    for (uint64_t i = 0; grid.extents != nullptr && i < grid.count; ++i) {
      Extent& e = grid.extents[i];
      const uint64_t word = e.word.load();
      if (ExtentWord::StateOf(word) == ExtentWord::kPinned) Unlink(&e);
      // Leases that are out still may yet be returned.
      e.word.store((ExtentWord::NextGeneration(word) & ~uint64_t{7}) | ExtentWord::kAbsent | ExtentWord::kClosing);
    }
    grid = PinRegion::Grid();  // the storage stays the cache's, and is not used again: leases may be out still
  }
  RebuildTables();
  budget_.Release(client.charged_bytes);
  client.pinned = client.pinned_bytes = client.charged_bytes = client.stuck = 0;
}

}  // namespace slipway
