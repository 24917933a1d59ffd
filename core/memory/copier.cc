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
    q.group = static_cast<const slipway_memory_group*>(p.Extension(SLIPWAY_MEMORY_GROUP_ID));
    q.ahead = static_cast<const sdk::MemoryAhead*>(p.Extension(sdk::kMemoryAheadId));
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

void Copier::Account(Queue* queue, const slipway_copy* pieces, uint32_t stride, uint32_t n, uint64_t completions) {
  if (n == 0) return;
  uint64_t bytes = 0;
  if (queue->pinner < 0) {
    for (uint32_t i = 0; i < n; ++i) bytes += PieceAt(pieces, stride, i).length;
  } else {
    HostUse use(*service_.cache_, static_cast<uint32_t>(queue->pinner));
    for (uint32_t i = 0; i < n; ++i) {
      const slipway_copy& c = PieceAt(pieces, stride, i);
      bytes += c.length;
      const bool down = c.dst_kind == SLIPWAY_MEM_HOST;
      if (!down && c.src_kind != SLIPWAY_MEM_HOST) continue;
      use.Add(reinterpret_cast<uint64_t>(down ? c.dst : c.src), c.length);
    }
  }
  Counters& counters = service_.counters();
  counters.Add(Counter::kCopies, n);
  counters.Add(count_, n);
  counters.Add(Counter::kProviderCopiedBytes, bytes);
  queue->inflight += completions;
  inflight_.fetch_add(completions, std::memory_order_relaxed);
  service_.inflight_.fetch_add(completions, std::memory_order_relaxed);
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
    Account(queue, first, stride, taken, taken);
    *accepted += taken;
    if (status == SLIPWAY_E_AGAIN && *accepted > 0) return SLIPWAY_OK;
    if (status != SLIPWAY_OK) return status;
    if (taken < run) return *accepted > 0 ? SLIPWAY_OK : SLIPWAY_E_AGAIN;
  }
  return SLIPWAY_OK;
}

slipway_status Copier::SubmitGroup(uint64_t token, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                                   uint32_t* accepted, slipway_error* error) {
  *accepted = 0;
  if (n == 0) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  Queue* const queue = FindQueue(*pieces);
  if (queue == nullptr) {
    return sdk::Fail(error, SLIPWAY_E_UNSUPPORTED, "no memory provider copies between these two kinds of memory");
  }
  if (queue->group == nullptr) return SubmitParts(queue, token, pieces, stride, n, accepted, error);
  uint32_t taken = 0;
  const slipway_status status = queue->group->submit(queue->queue, token, pieces, stride, n, &taken, error);
  *accepted = std::min(taken, n);
  Account(queue, pieces, stride, *accepted, *accepted > 0 ? 1 : 0);
  return status;
}

slipway_status Copier::SubmitParts(Queue* queue, uint64_t token, const slipway_copy* pieces, uint32_t stride,
                                   uint32_t n, uint32_t* accepted, slipway_error* error) {
  auto place = std::find_if(parts_.begin(), parts_.end(), [](const Parts& p) { return p.left == 0; });
  if (place == parts_.end()) place = parts_.emplace(place);
  const uint64_t first = kTokens | static_cast<uint64_t>(place - parts_.begin()) << 32;
  part_pieces_.clear();
  for (uint32_t i = 0; i < n; ++i) {
    part_pieces_.push_back(PieceAt(pieces, stride, i));
    part_pieces_.back().token = first | i;
  }
  uint32_t taken = 0;
  const slipway_status status =
      queue->provider->table->copy_submit(queue->queue, part_pieces_.data(), sizeof part_pieces_[0], n, &taken, error);
  *accepted = place->left = std::min(taken, n);
  place->whole = {};
  place->whole.token = token;
  Account(queue, pieces, stride, *accepted, *accepted);
  return status;
}

// Replaces completions of groups' pieces by those of the groups that are complete with them. Returns how many there are
// then.
uint32_t Copier::Gather(slipway_completion* at, uint32_t stride, uint32_t n) {
  const auto completion = [&](uint32_t i) -> slipway_completion& {
    return *reinterpret_cast<slipway_completion*>(reinterpret_cast<char*>(at) + size_t{stride} * i);
  };
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; ++i) {
    slipway_completion c = completion(i);
    if ((c.token & kTokens) != 0) {
      const uint64_t place = (c.token & ~kTokens) >> 32;
      if (place >= parts_.size() || parts_[place].left == 0) continue;  // a provider that completes more, again
      Parts& parts = parts_[place];
      slipway_completion& whole = parts.whole;
      if (c.status != SLIPWAY_OK && whole.status == SLIPWAY_OK) {
        whole.status = c.status;
        whole.native = c.native;
      }
      whole.bytes += c.bytes;
      if (--parts.left > 0) continue;
      if (whole.status != SLIPWAY_OK) whole.bytes = 0;
      c = whole;
    }
    completion(kept++) = c;
  }
  return kept;
}

slipway_status Copier::Poll(slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  *n = 0;
  if (inflight() == 0) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  slipway_status first = SLIPWAY_OK;
  for (size_t i = 0; i < queues_.size(); ++i) {
    Queue& q = queues_[(next_ + i) % queues_.size()];
    // Again where completions of pieces made room by becoming one of their group.
    for (bool more = true; more && q.inflight > 0 && *n < max;) {
      auto* const at = reinterpret_cast<slipway_completion*>(reinterpret_cast<char*>(out) + size_t{stride} * *n);
      uint32_t got = 0;
      const uint32_t room = max - *n;
      const slipway_status status = q.provider->table->copy_poll(q.queue, at, stride, room, &got);
      got = std::min(got, room);
      more = got == room && status == SLIPWAY_OK;
      if (status != SLIPWAY_OK && first == SLIPWAY_OK) first = status;
      *n += parts_.empty() ? got : Gather(at, stride, got);
      const uint64_t ended = std::min<uint64_t>(q.inflight, got);  // a provider that completes more is not believed
      q.inflight -= ended;
      inflight_.fetch_sub(ended, std::memory_order_relaxed);
      service_.inflight_.fetch_sub(ended, std::memory_order_relaxed);
    }
  }
  if (!queues_.empty()) next_ = (next_ + 1) % queues_.size();
  return *n > 0 ? SLIPWAY_OK : first;
}

uint32_t Copier::ReadAhead(const slipway_copy* pieces, uint32_t stride, uint32_t n) {
  if (n == 0) return 0;
  MutexLock lock(mutex_);
  const Queue* const queue = FindQueue(*pieces);
  if (queue == nullptr || queue->ahead == nullptr) return 0;
  return std::min(queue->ahead->read(queue->queue, pieces, stride, n), n);
}

bool Copier::DropAhead() {
  MutexLock lock(mutex_);
  bool reads = false;
  for (const Queue& q : queues_) reads |= q.ahead != nullptr && q.ahead->drop(q.queue) != 0;
  return reads;
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
