#include "plugins/cxl/device_copies.h"

#include <array>

namespace slipway::cxl {
namespace {

constexpr uint32_t kAtOnce = 256;  // the more small pieces are submitted together, the better

// A device that fails takes down no other slice of this transport.
slipway_status OwnStatus(slipway_status status) { return status <= SLIPWAY_E_PEER ? SLIPWAY_E_IO : status; }

}  // namespace

slipway_status DeviceCopies::Open(CxlInstance& owner, void* cookie, uint32_t number, std::unique_ptr<DeviceCopies>& out,
                                  sdk::Error& err) {
  std::unique_ptr<sdk::HostCopier> copier;
  const slipway_status s = sdk::HostCopier::Open(owner.host(), cookie, copier, err);
  if (s == SLIPWAY_OK) out = std::make_unique<DeviceCopies>(owner, number, std::move(copier));
  return s;
}

DeviceCopies::DeviceCopies(CxlInstance& owner, uint32_t number, std::unique_ptr<sdk::HostCopier> copier)
    : owner_(owner), number_(number), copier_(std::move(copier)) {
  MutexLock lock(mutex_);
  for (uint32_t i = 0; i < owner.attrs().max_inflight_per_channel; ++i) {
    free_.emplace_back();
    free_.back().self = std::prev(free_.end());
  }
  owner_.Add(*this);
}

DeviceCopies::~DeviceCopies() {
  owner_.Remove(*this);
  owner_.FreeChannel(number_);
}

void DeviceCopies::Take(const Op& op) {
  MutexLock lock(mutex_);
  free_.front().op = op;
  waiting_.splice(waiting_.end(), free_, free_.begin());
}

bool DeviceCopies::TakeDone(Op& out) {
  MutexLock lock(mutex_);
  if (done_.empty()) return false;
  out = done_.front().op;
  free_.splice(free_.end(), done_, done_.begin());
  return true;
}

void DeviceCopies::End(Piece& piece, Pieces& from, slipway_status status) {
  piece.op.done = true;
  piece.op.status = status;
  piece.op.moved = status == SLIPWAY_OK ? piece.op.length : 0;
  done_.splice(done_.end(), from, piece.self);
}

// Goes in as a visitor of the registration.
slipway_status DeviceCopies::Enter(CxlRemote& remote) {
  if (remote.window.failed() || owner_.windows[0]->failed()) return SLIPWAY_E_DEVICE;
  if (!remote.peer.Alive()) return SLIPWAY_E_PEER;
  Boards::Entry entry = Boards::Entry::kOk;
  uint32_t phase = 0;
  Fault fault;
  const bool whole = Guarded(fault, [&] {
    entry = owner_.boards->Enter(remote.peer.board(), remote.peer.nonce(), remote.slot, remote.key, number_, phase);
  });
  if (!whole) return owner_.Explain(fault);
  phase_ = phase;
  return remote.peer.StatusOf(entry);
}

void DeviceCopies::Leave() {
  const uint32_t board = inside_->peer.board(), phase = phase_;
  Fault fault;
  if (!Guarded(fault, [&] { owner_.boards->Leave(board, number_, phase); })) (void)owner_.Explain(fault);
  inside_ = nullptr;
}

// What a device reads must not come from this host's caches where others wrote it.
slipway_status DeviceCopies::Prepare(const Op& op) const {
  if (!op.read || !owner_.policy.invalidate) return SLIPWAY_OK;
  Fault fault;
  if (!Guarded(fault, [&] { Invalidate(op.there, op.length); })) return owner_.Explain(fault);
  owner_.counters.invalidated_lines.fetch_add(LinesOf(op.there, op.length), std::memory_order_relaxed);
  return SLIPWAY_OK;
}

// What a device wrote may be in this host's caches.
slipway_status DeviceCopies::Finish(const Op& op) const {
  if (op.read || !owner_.policy.write_back) return SLIPWAY_OK;
  Fault fault;
  if (!Guarded(fault, [&] { WriteBack(op.there, op.length); })) return owner_.Explain(fault);
  owner_.counters.written_back_lines.fetch_add(LinesOf(op.there, op.length), std::memory_order_relaxed);
  return SLIPWAY_OK;
}

// Submits what waits for the registration that this round is in.
void DeviceCopies::Fly() {
  std::array<slipway_copy, kAtOnce> pieces;
  std::array<Piece*, kAtOnce> ours;
  uint32_t n = 0;
  for (auto next = waiting_.begin(); next != waiting_.end() && n < kAtOnce;) {
    Piece& piece = *next++;
    Op& op = piece.op;
    if (op.remote != inside_) continue;
    if (const slipway_status s = Prepare(op); s != SLIPWAY_OK) {
      End(piece, waiting_, s);
      continue;
    }
    ours[n] = &piece;
    const uint64_t token = reinterpret_cast<uintptr_t>(&piece);
    pieces[n++] = op.read ? slipway_copy{token, op.here, op.there, op.length, op.kind, SLIPWAY_MEM_HOST}
                          : slipway_copy{token, op.there, op.here, op.length, SLIPWAY_MEM_HOST, op.kind};
  }
  uint32_t accepted = 0;
  const slipway_status s = n == 0 ? SLIPWAY_OK : copier_->Submit(pieces.data(), n, accepted, nullptr);
  for (uint32_t i = 0; i < accepted; ++i) flying_.splice(flying_.end(), waiting_, ours[i]->self);
  if (s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN && accepted < n) End(*ours[accepted], waiting_, OwnStatus(s));
}

// False: nothing more can be begun now.
bool DeviceCopies::BeginRound() {
  if (waiting_.empty()) return false;
  Piece& first = waiting_.front();
  const slipway_status s = Enter(*first.op.remote);
  if (s != SLIPWAY_OK) {
    End(first, waiting_, s);
    return true;
  }
  inside_ = first.op.remote;
  const size_t before = waiting_.size();
  Fly();
  if (!flying_.empty()) return false;
  Leave();
  return waiting_.size() < before;
}

void DeviceCopies::Poll() {
  MutexLock lock(mutex_);
  std::array<slipway_completion, kAtOnce> completions;
  for (uint32_t n = flying_.empty() ? 0 : kAtOnce; n == kAtOnce;) {
    n = copier_->Poll(completions.data(), kAtOnce);
    for (uint32_t i = 0; i < n; ++i) {
      Piece& piece = *reinterpret_cast<Piece*>(static_cast<uintptr_t>(completions[i].token));
      const slipway_status s = completions[i].status;
      End(piece, flying_, s == SLIPWAY_OK ? Finish(piece.op) : OwnStatus(s));
    }
  }
  if (!flying_.empty()) return;
  if (inside_ != nullptr) Leave();
  while (BeginRound()) {
  }
}

bool DeviceCopies::Cancel(const uint64_t* token) {
  MutexLock lock(mutex_);
  bool any = false;
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    Piece& piece = *next++;
    if (token != nullptr && piece.op.token != *token) continue;
    End(piece, waiting_, SLIPWAY_E_CANCELED);
    any = true;
  }
  return any;
}

bool DeviceCopies::idle() const {
  MutexLock lock(mutex_);
  return waiting_.empty() && flying_.empty();
}

size_t DeviceCopies::size() const {
  MutexLock lock(mutex_);
  return waiting_.size() + flying_.size() + done_.size();
}

bool DeviceCopies::stalled() const {
  MutexLock lock(mutex_);
  return !done_.empty() || (flying_.empty() && !waiting_.empty());
}

}  // namespace slipway::cxl
