// A memory provider that keeps the contract. Its device's memory is ordinary memory; its device's state is a number a
// thread has.
#include <sys/mman.h>
#include <sys/resource.h>

#include <deque>
#include <map>

#include "slipway/sdk/config_reader.hpp"
#include "slipway/sdk/mutex.hpp"
#include "tests/mutants/mutant.h"
#include "tools/conform/test_memory.h"

extern "C" const char good_provider_schema[] = R"({
  "type": "object", "additionalProperties": false,
  "properties": {"devices": {"type": "integer", "minimum": 0, "maximum": 8}}
})";

struct slipway_pin {
  uintptr_t start;
  uint64_t length;
};

struct slipway_provider {
  struct Allocation {
    uint64_t size, id;
  };
  slipway::Mutex mutex;
  uint64_t last_id SLIPWAY_GUARDED_BY(mutex) = 0, pinned SLIPWAY_GUARDED_BY(mutex) = 0;
  std::map<uintptr_t, Allocation> allocations SLIPWAY_GUARDED_BY(mutex);
  std::map<uintptr_t, slipway_pin> pins SLIPWAY_GUARDED_BY(mutex);
};

struct slipway_copy_queue {
  std::deque<slipway_copy> pieces;
};

namespace {

namespace sdk = slipway::sdk;

constexpr size_t kQueueMax = 256;
thread_local int t_device = 0;

slipway_status Alloc(slipway_provider* p, uint64_t bytes, void** out) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return SLIPWAY_E_NOMEM;
  slipway::MutexLock lock(p->mutex);
  p->allocations[reinterpret_cast<uintptr_t>(at)] = {bytes, ++p->last_id};
  *out = at;
  return SLIPWAY_OK;
}
void Dealloc(slipway_provider* p, void* at) {
  slipway::MutexLock lock(p->mutex);
  const auto it = p->allocations.find(reinterpret_cast<uintptr_t>(at));
  if (it == p->allocations.end()) return;
  munmap(at, it->second.size);
  p->allocations.erase(it);
}
uint64_t ThreadState(slipway_provider*) { return static_cast<uint64_t>(t_device); }
void Disturb(slipway_provider*) { t_device = t_device % 7 + 1; }

constexpr slipway_test_memory kTestMemory = {sizeof(slipway_test_memory), 0, Alloc, Dealloc, ThreadState, Disturb};

}  // namespace

extern "C" {

void good_set_device(int device) { t_device = device; }

slipway_status good_provider_probe(const slipway_host*, const char* json, size_t n, slipway_error* error) {
  return sdk::Guarded(error, [&]() -> slipway_status {
    sdk::Error err(error);
    nlohmann::json object;
    if (const slipway_status s = sdk::ParseConfig(std::string_view(json, n), object, err); s != SLIPWAY_OK) return s;
    sdk::ConfigReader reader(object, "", err);
    uint32_t devices = 1;
    reader.UInt("devices", devices, 0, 8);
    if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
    return devices > 0 ? SLIPWAY_OK : err.Fail(SLIPWAY_E_DEVICE, "there is no device: plug one in");
  });
}
slipway_status good_provider_create(const slipway_host* host, const char* json, size_t n, slipway_provider** out,
                                    slipway_error* error) {
  const slipway_status s = good_provider_probe(host, json, n, error);
  if (s == SLIPWAY_OK) *out = new slipway_provider;
  return s;
}
void good_provider_destroy(slipway_provider* p) { delete p; }

slipway_status good_classify(slipway_provider* p, const void* addr, uint64_t, slipway_mem_info* out) {
  slipway::MutexLock lock(p->mutex);
  const auto at = reinterpret_cast<uintptr_t>(addr);
  out->mem_kind = 0;
  auto it = p->allocations.upper_bound(at);
  if (it == p->allocations.begin()) return SLIPWAY_OK;
  --it;
  if (at - it->first >= it->second.size) return SLIPWAY_OK;
  out->mem_kind = kOwnKind;
  out->device_ordinal = 0;
  out->base = reinterpret_cast<void*>(it->first);
  out->size = it->second.size;
  out->allocation_id = it->second.id;
  return SLIPWAY_OK;
}

slipway_status good_pin_host(slipway_provider* p, void* addr, uint64_t length, slipway_pin** out,
                             slipway_error* error) {
  sdk::Error err(error);
  const auto start = reinterpret_cast<uintptr_t>(addr);
  if (length == 0 || start % 4096 != 0) return err.Fail(SLIPWAY_E_INVALID, "pins are whole pages");
  slipway::MutexLock lock(p->mutex);
  const auto next = p->pins.lower_bound(start + length);
  if (next != p->pins.begin()) {
    const slipway_pin& before = std::prev(next)->second;
    if (before.start + before.length > start) return err.Fail(SLIPWAY_E_BUSY, "the range overlaps a pin");
  }
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (p->pinned + length > limit.rlim_cur) {
    return err.FailRetryable(SLIPWAY_E_PIN_LIMIT, "RLIMIT_MEMLOCK is too low: raise it, or pin less");
  }
  p->pinned += length;
  *out = &(p->pins[start] = {start, length});
  return SLIPWAY_OK;
}
slipway_status good_unpin_host(slipway_provider* p, slipway_pin* pin, slipway_error*) {
  slipway::MutexLock lock(p->mutex);
  p->pinned -= pin->length;
  p->pins.erase(pin->start);
  return SLIPWAY_OK;
}

slipway_status good_queue_open(slipway_provider*, void*, slipway_copy_queue** out, slipway_error*) {
  *out = new slipway_copy_queue;
  return SLIPWAY_OK;
}
slipway_status good_queue_close(slipway_copy_queue* queue) {
  if (!queue->pieces.empty()) return SLIPWAY_E_BUSY;
  delete queue;
  return SLIPWAY_OK;
}
slipway_status good_copy_submit(slipway_copy_queue* queue, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                                uint32_t* accepted, slipway_error* error) {
  *accepted = 0;
  if (pieces == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "NULL pieces");
  for (; *accepted < n && queue->pieces.size() < kQueueMax; ++*accepted) {
    queue->pieces.push_back(
        *reinterpret_cast<const slipway_copy*>(reinterpret_cast<const char*>(pieces) + size_t{stride} * *accepted));
  }
  return *accepted > 0 ? SLIPWAY_OK : sdk::Fail(error, SLIPWAY_E_AGAIN, "poll first");
}
slipway_status good_copy_poll(slipway_copy_queue* queue, slipway_completion* out, uint32_t stride, uint32_t max,
                              uint32_t* n) {
  for (*n = 0; *n < max && !queue->pieces.empty(); ++*n) {
    const slipway_copy& c = queue->pieces.front();
    if (c.length > 0) memmove(c.dst, c.src, c.length);
    CompletionAt(out, stride, *n) = {c.token, SLIPWAY_OK, 0, c.length, 0};
    queue->pieces.pop_front();
  }
  return SLIPWAY_OK;
}
const void* good_provider_extension(const char* id) {
  return strcmp(id, SLIPWAY_TEST_MEMORY_ID) == 0 ? &kTestMemory : nullptr;
}

}  // extern "C"
