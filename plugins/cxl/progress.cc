#include "plugins/cxl/progress.h"

#include <algorithm>

#include "plugins/cxl/device_copies.h"

namespace slipway::cxl {
namespace {

// One poll() ends soon after it has copied for so long, or so much.
constexpr uint64_t kPollNs = 200'000;
constexpr uint64_t kPollBytes = 4 << 20;

constexpr uint64_t kCpuKinds = SLIPWAY_MEM_HOST | SLIPWAY_MEM_CXL;

bool Near(uint64_t a, uint64_t b, uint64_t length) { return a < b ? b - a < length : a - b < length; }

}  // namespace

CxlChannel::CxlChannel(CxlInstance& owner, void* cookie, uint32_t number, std::unique_ptr<DeviceCopies> devices)
    : owner_(owner),
      cookie_(cookie),
      number_(number),
      devices_(std::move(devices)),
      ring_(owner.attrs().max_inflight_per_channel) {}

CxlChannel::~CxlChannel() { owner_.FreeChannel(number_); }

slipway_status CxlChannel::Prepare(Op& op, const slipway_slice& s, sdk::Error& err) const {
  CxlRemote& remote = *static_cast<CxlRemote*>(sdk::AsRemote(s.remote));
  op = Op{};
  op.token = s.token;
  op.length = s.length;
  op.remote = &remote;
  op.there = remote.At(s.remote_offset);
  op.here = static_cast<char*>(s.local_addr);
  op.read = s.op == SLIPWAY_OP_READ;
  op.kind = uint64_t{1} << (s.flags & SLIPWAY_SLICE_KIND_MASK);
  if ((op.kind & kCpuKinds) == 0) return SLIPWAY_OK;
  // Local memory may lie in the same window, under the same address or another.
  const uint64_t there = remote.offset + s.remote_offset;
  uint64_t here = 0;
  const uint64_t streaming_bytes = op.read ? owner_.policy.read_streaming_bytes : owner_.policy.write_streaming_bytes;
  if (s.length >= streaming_bytes) op.style = CopyStyle::kStreaming;
  if (remote.window.OffsetOf(op.here, &here)) {
    if (Near(here, there, s.length)) op.style = CopyStyle::kOverlapping;
  } else if (remote.peer.same_process() && Aliases::Get().Find(op.here, s.length, remote.window.identity(), &here) &&
             Near(here, there, s.length)) {
    if (here >= remote.window.bytes() || s.length > remote.window.bytes() - here) {
      return err.Fail(SLIPWAY_E_INVALID,
                      "submit: the slice reads and writes the same memory under two addresses: split it");
    }
    op.style = CopyStyle::kOverlapping;
    op.here = remote.window.base() + here;  // so that it can be seen which end must be copied first
  }
  return SLIPWAY_OK;
}

slipway_status CxlChannel::Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) {
  slipway_status status = SLIPWAY_OK;
  const size_t room = ring_.size() - count_ - (devices_ == nullptr ? 0 : devices_->size());
  for (accepted = 0; accepted < slices.size() && accepted < room; ++accepted) {
    Op& op = ring_[(first_ + count_) % ring_.size()];
    status = Prepare(op, slices[accepted], err);
    if (status != SLIPWAY_OK) break;
    op.remote->Use();
    if ((op.kind & kCpuKinds) == 0) {
      devices_->Take(op);
    } else {
      ++count_;
    }
  }
  owner_.counters.slices.fetch_add(accepted, std::memory_order_relaxed);
  if (accepted > 0) owner_.host().Wake(cookie_);  // nothing moves until poll() is called
  return status;
}

// A look costs a system call, so one does for a poll().
bool CxlChannel::PeerAlive(CxlPeer& peer) {
  if (looked_at_ == &peer) return true;
  if (!peer.Alive()) return false;
  looked_at_ = &peer;
  return true;
}

slipway_status CxlChannel::TryPiece(const Op& op, uint64_t length, CopyCounts& counts) const {
  const Boards& boards = *owner_.boards;
  const CxlRemote& remote = *op.remote;
  char* const there = op.there + op.moved;
  char* const here = op.here + op.moved;
  volatile bool inside = false;
  uint32_t phase = 0;
  Boards::Entry entry = Boards::Entry::kOk;
  Fault fault;
  const bool whole = Guarded(fault, [&] {
    entry = boards.Enter(remote.peer.board(), remote.peer.nonce(), remote.slot, remote.key, number_, phase);
    if (entry != Boards::Entry::kOk) return;
    inside = true;
    if (op.read) {
      CopyOut(here, there, length, op.style, owner_.policy, counts);
    } else {
      CopyIn(there, here, length, op.style, owner_.policy, counts);
    }
    inside = false;
    boards.Leave(remote.peer.board(), number_, phase);
  });
  if (!whole) {
    const slipway_status status = owner_.Explain(fault);
    Fault again;
    if (inside && !Guarded(again, [&] { boards.Leave(remote.peer.board(), number_, phase); }))
      (void)owner_.Explain(again);
    return status;
  }
  return remote.peer.StatusOf(entry);
}

void CxlChannel::CopyPiece(Op& op) {
  const uint64_t length =
      op.style == CopyStyle::kOverlapping ? op.length : std::min(op.length - op.moved, owner_.config.piece_bytes);
  if (op.remote->window.failed() || owner_.windows[0]->failed()) {
    op.status = SLIPWAY_E_DEVICE;
  } else if (!PeerAlive(op.remote->peer)) {
    op.status = SLIPWAY_E_PEER;
  } else {
    CopyCounts counts;
    op.status = TryPiece(op, length, counts);
    owner_.counters.pieces.fetch_add(1, std::memory_order_relaxed);
    owner_.counters.Add(counts);
  }
  if (op.status == SLIPWAY_OK) op.moved += length;
  op.done = op.status != SLIPWAY_OK || op.moved == op.length;
}

void CxlChannel::Complete(const Op& op, sdk::Completions& out) {
  Counters& counters = owner_.counters;
  if (op.status == SLIPWAY_OK) {
    (op.read ? counters.bytes_read : counters.bytes_written).fetch_add(op.length, std::memory_order_relaxed);
  } else {
    (op.status == SLIPWAY_E_CANCELED ? counters.canceled : counters.failed).fetch_add(1, std::memory_order_relaxed);
  }
  op.remote->Unuse();  // before the core can see the completion and let go of the remote
  out.Put(op.token, op.status, op.moved);
}

void CxlChannel::PollDevices(bool may_move, sdk::Completions& out) {
  if (!may_move) (void)devices_->Cancel(nullptr);
  devices_->Poll();
  for (Op op; !out.full() && devices_->TakeDone(op);) Complete(op, out);
}

slipway_status CxlChannel::Poll(sdk::Completions& out) {
  const bool devices = devices_ != nullptr && devices_->size() > 0;
  if (count_ == 0 && !devices) return SLIPWAY_OK;
  const bool may_move = owner_.EnterPoll();
  if (devices) PollDevices(may_move, out);
  const uint64_t begin_ns = owner_.host().NowNs();
  looked_at_ = nullptr;
  uint64_t bytes = 0;
  while (count_ > 0 && !out.full()) {
    Op op = ring_[first_];
    first_ = (first_ + 1) % ring_.size();
    --count_;
    if (!op.done && !may_move) op.status = SLIPWAY_E_CANCELED;
    const uint64_t before = op.moved;
    if (!op.done && may_move) CopyPiece(op);
    bytes += op.moved - before;
    if (op.done || !may_move) {
      Complete(op, out);
    } else {
      ring_[(first_ + count_++) % ring_.size()] = op;  // to the end
    }
    if (bytes >= kPollBytes || owner_.host().NowNs() - begin_ns >= kPollNs) break;
  }
  owner_.LeavePoll();
  if (count_ > 0 || (devices && devices_->stalled())) owner_.host().Wake(cookie_);
  return SLIPWAY_OK;
}

slipway_status CxlChannel::Cancel(uint64_t token) {
  for (size_t i = 0; i < count_; ++i) {
    Op& op = ring_[(first_ + i) % ring_.size()];
    if (op.token != token || op.done) continue;
    op.done = true;
    op.status = SLIPWAY_E_CANCELED;
    owner_.host().Wake(cookie_);
    break;
  }
  if (devices_ != nullptr && devices_->Cancel(&token)) owner_.host().Wake(cookie_);
  return SLIPWAY_OK;
}

}  // namespace slipway::cxl
