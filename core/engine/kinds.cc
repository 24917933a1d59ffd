#include "core/engine/kinds.h"

namespace slipway {

uint64_t KindLookup::KindOf(const void* addr, uint64_t length) {
  if (providers_.kinds() == 0) return SLIPWAY_MEM_HOST;
  if (Holds(addr, length)) return kind_;
  const auto at = reinterpret_cast<uint64_t>(addr);
  // Whoever declared a region has promised to leave its memory alone, so its kind is still what it was.
  const Regions::Holder holder = regions_.FindHolder(at, length);
  if (holder.length > 0) {
    begin_ = holder.address;
    bytes_ = holder.length;
    return kind_ = holder.mem_kind;
  }
  const MemoryInfo info = providers_.Classify(addr, length);
  if (info.size > 0) {
    begin_ = info.base;
    bytes_ = info.size;
    kind_ = info.kind;
  }
  return info.kind;
}

}  // namespace slipway
