#include "plugins/cuda/pointers.h"

#include <algorithm>

#include "plugins/cuda/unpinning.h"

namespace slipway::cuda {
namespace {

// Pageable memory has no bounds that the driver knows. What is found out of an address is taken to hold up to the next
// multiple of this: a wrong guess makes a copy of pinned memory slower and never wrong, since the ring serves any
// memory.
constexpr uintptr_t kPageableWindow = uintptr_t{2} << 20;

// Several attributes in one call. The driver leaves zeros for what it does not know; the call only fails for attributes
// that it has never heard of.
template <size_t N>
bool Ask(const Driver& driver, uintptr_t at, const std::array<int32_t, N>& attributes, std::array<void*, N> values) {
  std::array<int32_t, N> asked = attributes;
  return driver.PointerGetAttributes(N, asked.data(), values.data(), at) == kSuccess;
}

// What several attributes together say.
struct Answer {
  uint32_t type = 0, managed = 0, access = 0;
  int32_t ordinal = -1;
  uint64_t id = 0, size = 0;
  DeviceAddress start = 0, device_pointer = 0;
  Context context = nullptr;
  void* pool = nullptr;

  bool device() const { return type == kMemoryDevice || managed != 0; }
  // Memory that was mapped by hand: what the driver calls its range is all that was reserved, holes included.
  bool mapped_by_hand() const { return device() && managed == 0 && context == nullptr && pool == nullptr; }
};

bool AskAll(const Driver& driver, uintptr_t at, Answer& a) {
  if (!Ask<10>(driver, at,
               {kPointerMemoryType, kPointerIsManaged, kPointerAccessFlags, kPointerDeviceOrdinal, kPointerBufferId,
                kPointerRangeSize, kPointerRangeStart, kPointerDevicePointer, kPointerContext, kPointerMempoolHandle},
               {&a.type, &a.managed, &a.access, &a.ordinal, &a.id, &a.size, &a.start, &a.device_pointer, &a.context,
                &a.pool})) {
    return false;
  }
  if (a.mapped_by_hand()) {
    a.start = a.size = 0;
    if (!Ask<2>(driver, at, {kPointerMappingBase, kPointerMappingSize}, {&a.start, &a.size})) a.start = a.size = 0;
  }
  if (a.start == 0 || a.size == 0 || at < a.start || at - a.start >= a.size) a.start = a.size = 0;  // not known
  return true;
}

}  // namespace

bool ClassifyAddress(const Driver& driver, const void* addr, slipway_mem_info& out) {
  Answer a;
  if (addr == nullptr || !AskAll(driver, reinterpret_cast<uintptr_t>(addr), a) || !a.device()) return false;
  out.device_ordinal = a.ordinal >= 0 ? a.ordinal : -1;
  out.base = reinterpret_cast<void*>(a.start);
  out.size = a.size;
  out.allocation_id = a.id;
  return true;
}

const Run& RunCache::Search(uintptr_t at, uint64_t length, Run::Kind wanted) {
  for (size_t i = 0; i < used_; ++i) {
    if (Serves(runs_[i], at, wanted)) {
      recent_ = i;
      return runs_[i];
    }
  }
  // Full: the oldest gives way. Runs are few (an allocation each), so this is rare.
  const size_t place = used_ < kRuns ? used_++ : asked_ % kRuns;
  runs_[place] = Ask(at, length);
  recent_ = place;
  return runs_[place];
}

Run RunCache::Ask(uintptr_t at, uint64_t length) {
  Answer a;
  ++asked_;
  const bool known = AskAll(*driver_, at, a);
  Run run{at, at + length};
  if (known && a.size != 0) {
    run.begin = a.start;
    run.end = a.start + a.size;
  }
  // Memory of another context, or that the device was not given access to, or in a hole, faults in a kernel, which is
  // the end of the context for everybody; the copy engines merely refuse.
  Context current = nullptr;
  driver_->CtxGetCurrent(&current);
  const bool reachable = known && a.size != 0 && a.device_pointer != 0 && a.access == kAccessReadWrite;
  if (known && a.device()) {
    run.kind = Run::kDevice;
    run.device = a.ordinal;
    run.managed = a.managed != 0;
    run.kernel = reachable && !run.managed && (a.context == nullptr || a.context == current);
    return run;
  }
  if (known && a.type == kMemoryHost && !Unpinning::Get().Holds(at)) {
    run.kind = Run::kPinned;
    run.kernel = reachable && (a.context == current || pins_->Hold(at));
    run.delta = a.device_pointer != 0 ? a.device_pointer - at : 0;
    return run;
  }
  run.begin = at;
  run.end = std::max<uintptr_t>(at + 1, (at / kPageableWindow + 1) * kPageableWindow);
  return run;
}

}  // namespace slipway::cuda
