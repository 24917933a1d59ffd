#include "core/engine/segment_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/status_name.h"
#include "core/loader/host.h"

namespace slipway {
namespace {

const slipway_segment_memory* ExtensionOf(const Transport& transport) {
  const slipway_transport& table = transport.table();
  if (!SLIPWAY_HAS(&table, slipway_transport, get_extension) || table.get_extension == nullptr) return nullptr;
  const auto* found = static_cast<const slipway_segment_memory*>(table.get_extension(SLIPWAY_SEGMENT_MEMORY_ID));
  const bool whole = found != nullptr && SLIPWAY_HAS(found, slipway_segment_memory, release) &&
                     found->allocate != nullptr && found->release != nullptr;
  return whole ? found : nullptr;
}

Status NoSource(const std::string& name) {
  return Status(SLIPWAY_E_UNSUPPORTED, "no transport \"" + name +
                                           "\" that has memory for segments is loaded: name none, and the engine finds "
                                           "some");
}

}  // namespace

SegmentHeap::SegmentHeap(std::vector<Transport*> transports) {
  std::stable_sort(transports.begin(), transports.end(),
                   [](const Transport* a, const Transport* b) { return a->priority() < b->priority(); });
  for (Transport* transport : transports) {
    if (const slipway_segment_memory* table = ExtensionOf(*transport)) sources_.push_back({transport, table});
  }
}

SegmentHeap::~SegmentHeap() { Clear(); }

Result<void*> SegmentHeap::AllocateFrom(const Source& source, uint64_t bytes, int32_t numa) {
  if (source.transport->failed()) return source.transport->failure();
  slipway_error error = EmptyError();
  void* memory = nullptr;
  const slipway_status status = source.table->allocate(source.transport->instance(), bytes, numa, &memory, &error);
  const std::string who = source.transport->name() + " has no " + FormatSize(bytes) + " for a segment";
  if (status != SLIPWAY_OK) return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, who);
  if (memory != nullptr && reinterpret_cast<uintptr_t>(memory) % kAlignBytes == 0) return memory;
  (void)source.table->release(source.transport->instance(), memory);
  return Status(SLIPWAY_E_INTERNAL, who + ": what it gave is null or not aligned; report this to the plugin's vendor");
}

Result<void*> SegmentHeap::Allocate(uint64_t bytes, int32_t numa, const std::string& transport,
                                    std::vector<std::string>* warnings) {
  const auto keep = [&](void* address, const Source* source) {
    MutexLock lock(mutex_);
    blocks_.emplace(address, Block{bytes, source});
    return address;
  };
  bool known = transport.empty();
  for (const Source& source : sources_) {
    if (!transport.empty() && source.transport->name() != transport) continue;
    known = true;
    const Result<void*> memory = AllocateFrom(source, bytes, numa);
    if (memory.ok()) return keep(*memory, &source);
    if (!transport.empty()) return memory.status();
    if (memory.status().code() != SLIPWAY_E_UNSUPPORTED) warnings->push_back(memory.status().message());
  }
  if (!known) return NoSource(transport);
  void* const memory = AllocNear(bytes, kAlignBytes, numa);
  if (memory == nullptr) return Status(SLIPWAY_E_NOMEM, "no memory for a segment of " + FormatSize(bytes));
  madvise(memory, bytes, MADV_HUGEPAGE);  // harmless where it is refused
  return keep(memory, nullptr);
}

uint64_t SegmentHeap::LengthOf(const void* address) const {
  MutexLock lock(mutex_);
  const auto found = blocks_.find(address);
  return found == blocks_.end() ? 0 : found->second.bytes;
}

Status SegmentHeap::Release(void* address, const Block& block) {
  if (block.source == nullptr) {
    FreeNear(address, block.bytes);
    return {};
  }
  Transport& transport = *block.source->transport;
  const slipway_status status = block.source->table->release(transport.instance(), address);
  if (status == SLIPWAY_OK) return {};
  return Status(status < 0 ? status : SLIPWAY_E_INTERNAL, transport.name() + " did not take its memory back");
}

Status SegmentHeap::Free(void* address) {
  Block block;
  {
    MutexLock lock(mutex_);
    const auto found = blocks_.find(address);
    if (found == blocks_.end()) {
      return Status(SLIPWAY_E_INVALID, "no memory that this engine allocated begins there, or it was freed already");
    }
    block = found->second;
    blocks_.erase(found);
  }
  return Release(address, block);
}

void SegmentHeap::Clear() {
  std::map<const void*, Block> all;
  {
    MutexLock lock(mutex_);
    all.swap(blocks_);
  }
  for (const auto& [address, block] : all) (void)Release(const_cast<void*>(address), block);
}

std::vector<SegmentHeap::View> SegmentHeap::Views() const {
  std::vector<View> views;
  MutexLock lock(mutex_);
  for (const auto& [address, block] : blocks_) {
    views.push_back({reinterpret_cast<uint64_t>(address), block.bytes,
                     block.source == nullptr ? std::string() : block.source->transport->name()});
  }
  return views;
}

}  // namespace slipway
