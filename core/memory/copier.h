// Copies of memory that only providers can touch: queues to all of them behind one submit and one poll.
#ifndef SLIPWAY_CORE_MEMORY_COPIER_H_
#define SLIPWAY_CORE_MEMORY_COPIER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/memory/pin_cache.h"
#include "core/memory/providers.h"
#include "core/metrics/counters.h"
#include "slipway/abi/group.h"
#include "slipway/abi/memory_provider.h"
#include "slipway/sdk/memory_provider_extensions.hpp"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

class CopyService;

// Made by CopyService::Open. Thread-safe, though meant for one user at a time.
class Copier {
 public:
  // E_UNSUPPORTED where no provider copies between the two kinds of the first piece refused. Otherwise the contract of
  // slipway_memory_provider.copy_submit and copy_poll.
  slipway_status Submit(const slipway_copy* pieces, uint32_t stride, uint32_t n, uint32_t* accepted,
                        slipway_error* error) SLIPWAY_EXCLUDES(mutex_);
  // The same for pieces of the same two kinds that complete together, as `token`, which is below kTokens: the contract
  // of slipway_memory_group.submit, also over a provider that has no groups. Of one copier all is submitted this way,
  // or nothing.
  slipway_status SubmitGroup(uint64_t token, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                             uint32_t* accepted, slipway_error* error) SLIPWAY_EXCLUDES(mutex_);
  slipway_status Poll(slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) SLIPWAY_EXCLUDES(mutex_);
  // What is read ahead of these pieces, and whether some of it still is after it is dropped: see sdk::MemoryAhead. Over
  // a provider that cannot it is nothing.
  uint32_t ReadAhead(const slipway_copy* pieces, uint32_t stride, uint32_t n) SLIPWAY_EXCLUDES(mutex_);
  bool DropAhead() SLIPWAY_EXCLUDES(mutex_);
  static constexpr uint64_t kTokens = uint64_t{1} << 63;
  // Pieces submitted from now on come after what `stream` holds now; see sdk::MemoryOrder.
  Status After(uint64_t kind, void* stream) SLIPWAY_EXCLUDES(mutex_);
  // Pieces, or groups, accepted and not yet polled. (Of a provider without groups those count by their pieces.)
  uint64_t inflight() const { return inflight_.load(std::memory_order_relaxed); }
  CopyService& service() const { return service_; }

  ~Copier();  // what is not polled goes on; the provider's destroy() ends it

 private:
  friend class CopyService;
  struct Queue {
    const MemoryProvider* provider = nullptr;
    slipway_copy_queue* queue = nullptr;
    const sdk::MemoryOrder* order = nullptr;
    const slipway_memory_group* group = nullptr;  // null: it has none
    const sdk::MemoryAhead* ahead = nullptr;      // null: it does not read ahead
    int64_t pinner = -1;                          // the provider's number with the cache
    uint64_t inflight = 0;
  };

  Copier(CopyService& service, Counter count) : service_(service), count_(count) {}
  Status OpenQueues(const Providers& providers, void* cookie);
  Queue* FindQueue(const slipway_copy& piece) SLIPWAY_REQUIRES(mutex_);
  // What was accepted.
  void Account(Queue* queue, const slipway_copy* pieces, uint32_t stride, uint32_t n, uint64_t completions)
      SLIPWAY_REQUIRES(mutex_);
  slipway_status SubmitParts(Queue* queue, uint64_t token, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                             uint32_t* accepted, slipway_error* error) SLIPWAY_REQUIRES(mutex_);
  uint32_t Gather(slipway_completion* at, uint32_t stride, uint32_t n) SLIPWAY_REQUIRES(mutex_);

  CopyService& service_;
  const Counter count_;
  std::atomic<uint64_t> inflight_{0};
  Mutex mutex_;
  std::vector<Queue> queues_ SLIPWAY_GUARDED_BY(mutex_);
  size_t next_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // polled first
  // Groups over providers that have none: their pieces' tokens are kTokens | place << 32 | piece.
  struct Parts {
    slipway_completion whole{};
    uint32_t left = 0;  // pieces that have not completed; 0: free
  };
  std::vector<Parts> parts_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<slipway_copy> part_pieces_ SLIPWAY_GUARDED_BY(mutex_);  // scratch
};

// Thread-safe. Outlives its copiers, and is outlived by the providers.
class CopyService {
 public:
  CopyService(const Providers& providers, Counters& counters) : providers_(providers), counters_(counters) {}
  ~CopyService();

  // Before the first Open. The cache is told what copies use of the host's memory, so that it has it pinned by whose
  // devices use it again and again. By provider: its number with the cache; -1: it pins nothing.
  void PinWith(PinCache& cache, std::vector<int64_t> pinners) {
    cache_ = &cache;
    pinners_ = std::move(pinners);
  }
  // SLIPWAY_MEM_* bits that can be copied to and from host memory; without host memory itself.
  uint64_t kinds() const { return providers_.kinds(); }
  // `cookie` is what the providers wake with; each accepted piece adds one to `count`. The copier is the service's.
  Result<Copier*> Open(void* cookie, Counter count) SLIPWAY_EXCLUDES(mutex_);
  // False while pieces of it are not polled: it is kept then, for as long as the service lives.
  bool Close(Copier* copier) SLIPWAY_EXCLUDES(mutex_);
  // Pieces that providers have now, of all copiers.
  uint64_t inflight() const { return inflight_.load(std::memory_order_relaxed); }
  // On all copiers. E_INVALID: no provider of that kind, or no such stream. E_UNSUPPORTED: it has no streams.
  Status After(uint64_t kind, void* stream) SLIPWAY_EXCLUDES(mutex_);
  Counters& counters() { return counters_; }

 private:
  friend class Copier;

  const Providers& providers_;
  Counters& counters_;
  PinCache* cache_ = nullptr;     // null: nothing is pinned on demand
  std::vector<int64_t> pinners_;  // by provider
  std::atomic<uint64_t> inflight_{0};
  Mutex mutex_;
  std::vector<std::unique_ptr<Copier>> copiers_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_COPIER_H_
