#include "core/memory/copier.h"

#include <algorithm>

#include "core/base/status_name.h"
#include "core/memory/host_use.h"
#include "slipway/sdk/error.hpp"

namespace slipway {
namespace {

const slipway_copy& PieceAt(const slipway_copy* pieces, uint32_t stride, uint32_t i) {
  return *reinterpret_cast<const slipway_copy*>(reinterpret_cast<const char*>(pieces) + size_t{stride} * i);
}

// The kind whose provider copies the piece; 0: there is none.
uint64_t CopyingKind(const slipway_copy& piece) {
  if (piece.dst_kind == SLIPWAY_MEM_HOST) return piece.src_kind == SLIPWAY_MEM_HOST ? 0 : piece.src_kind;
  return piece.src_kind == SLIPWAY_MEM_HOST || piece.src_kind == piece.dst_kind ? piece.dst_kind : 0;
}

}  // namespace

// ---- Copier ----------------------------------------------------------------------------------------------------

Copier::~Copier() {
  for (const Queue& q : queues_) (void)q.provider->table->queue_close(q.queue);
}

Status Copier::OpenQueues(const Providers& providers, void* cookie) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < providers.all().size(); ++i) {
    const MemoryProvider& p = providers.all()[i];
    slipway_error error = EmptyError();
    Queue q;
    q.provider = &p;
    if (i < service_.pinners_.size()) q.pinner = service_.pinners_[i];
    q.order = static_cast<const sdk::MemoryOrder*>(p.Extension(sdk::kMemoryOrderId));
    const slipway_status status = p.table->queue_open(p.instance, cookie, &q.queue, &error);
    if (status != SLIPWAY_OK) {
      return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, p.name() + " cannot open a copy queue");
    }
    queues_.push_back(q);
  }
  return {};
}

Copier::Queue* Copier::FindQueue(const slipway_copy& piece) {
  const uint64_t kind = CopyingKind(piece);
  for (Queue& q : queues_) {
    if (q.provider->kind() == kind) return &q;
  }
  return nullptr;
}

void Copier::Count(const slipway_copy* pieces, uint32_t stride, uint32_t n) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < n; ++i) bytes += PieceAt(pieces, stride, i).length;
  Counters& counters = service_.counters();
  counters.Add(Counter::kCopies, n);
  counters.Add(count_, n);
  counters.Add(Counter::kProviderCopiedBytes, bytes);
}

void Copier::TellCache(const Queue& queue, const slipway_copy* pieces, uint32_t stride, uint32_t n) {
  if (queue.pinner < 0) return;
  HostUse use(*service_.cache_, static_cast<uint32_t>(queue.pinner));
  for (uint32_t i = 0; i < n; ++i) {
    const slipway_copy& c = PieceAt(pieces, stride, i);
    const bool down = c.dst_kind == SLIPWAY_MEM_HOST;
    if (!down && c.src_kind != SLIPWAY_MEM_HOST) continue;
    use.Add(reinterpret_cast<uint64_t>(down ? c.dst : c.src), c.length);
  }
}

slipway_status Copier::Submit(const slipway_copy* pieces, uint32_t stride, uint32_t n, uint32_t* accepted,
                              slipway_error* error) {
  *accepted = 0;
  MutexLock lock(mutex_);
  while (*accepted < n) {
    // As many as go to one queue: mostly all.
    const slipway_copy* const first = &PieceAt(pieces, stride, *accepted);
    Queue* const queue = FindQueue(*first);
    if (queue == nullptr) {
      return sdk::Fail(error, SLIPWAY_E_UNSUPPORTED, "no memory provider copies between these two kinds of memory");
    }
    uint32_t run = 1;
    while (run < n - *accepted && CopyingKind(PieceAt(first, stride, run)) == queue->provider->kind()) ++run;
    uint32_t taken = 0;
    const slipway_status status = queue->provider->table->copy_submit(queue->queue, first, stride, run, &taken, error);
    taken = std::min(taken, run);
    Count(first, stride, taken);
    TellCache(*queue, first, stride, taken);
    queue->inflight += taken;
    inflight_.fetch_add(taken, std::memory_order_relaxed);
    service_.inflight_.fetch_add(taken, std::memory_order_relaxed);
    *accepted += taken;
    if (status == SLIPWAY_E_AGAIN && *accepted > 0) return SLIPWAY_OK;
    if (status != SLIPWAY_OK) return status;
    if (taken < run) return *accepted > 0 ? SLIPWAY_OK : SLIPWAY_E_AGAIN;
  }
  return SLIPWAY_OK;
}

slipway_status Copier::Poll(slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  *n = 0;
  if (inflight() == 0) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  slipway_status first = SLIPWAY_OK;
  for (size_t i = 0; i < queues_.size() && *n < max; ++i) {
    Queue& q = queues_[(next_ + i) % queues_.size()];
    if (q.inflight == 0) continue;
    auto* const at = reinterpret_cast<slipway_completion*>(reinterpret_cast<char*>(out) + size_t{stride} * *n);
    uint32_t got = 0;
    const slipway_status status = q.provider->table->copy_poll(q.queue, at, stride, max - *n, &got);
    got = std::min(got, max - *n);
    if (status != SLIPWAY_OK && first == SLIPWAY_OK) first = status;
    *n += got;
    const uint64_t ended = std::min<uint64_t>(q.inflight, got);  // a provider that completes more is not believed
    q.inflight -= ended;
    inflight_.fetch_sub(ended, std::memory_order_relaxed);
    service_.inflight_.fetch_sub(ended, std::memory_order_relaxed);
  }
  if (!queues_.empty()) next_ = (next_ + 1) % queues_.size();
  return *n > 0 ? SLIPWAY_OK : first;
}

Status Copier::After(uint64_t kind, void* stream) {
  MutexLock lock(mutex_);
  for (const Queue& q : queues_) {
    if (q.provider->kind() != kind) continue;
    if (q.order == nullptr) return Status(SLIPWAY_E_UNSUPPORTED, q.provider->name() + " has no streams to come after");
    slipway_error error = EmptyError();
    const slipway_status status = q.order->after(q.queue, stream, &error);
    return status == SLIPWAY_OK ? Status() : FromPlugin(status, error, q.provider->name());
  }
  return Status(SLIPWAY_E_INVALID, "a stream of a kind of memory that no configured provider knows");
}

// ---- CopyService -----------------------------------------------------------------------------------------------

CopyService::~CopyService() = default;

Result<Copier*> CopyService::Open(void* cookie, Counter count) {
  std::unique_ptr<Copier> made(new Copier(*this, count));
  SLIPWAY_RETURN_IF_ERROR(made->OpenQueues(providers_, cookie));
  MutexLock lock(mutex_);
  copiers_.push_back(std::move(made));
  return copiers_.back().get();
}

bool CopyService::Close(Copier* copier) {
  if (copier->inflight() > 0) return false;
  MutexLock lock(mutex_);
  std::erase_if(copiers_, [&](const auto& c) { return c.get() == copier; });
  return true;
}

Status CopyService::After(uint64_t kind, void* stream) {
  MutexLock lock(mutex_);
  for (const auto& copier : copiers_) SLIPWAY_RETURN_IF_ERROR(copier->After(kind, stream));
  return {};
}

}  // namespace slipway
