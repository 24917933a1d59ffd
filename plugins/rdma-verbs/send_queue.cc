#include "plugins/rdma-verbs/send_queue.h"

#include <bit>
#include <cstring>

#include "plugins/rdma-verbs/peer.h"

namespace slipway::rdma {
namespace {

// So many bytes are worth a completion of their own: memory and places are given back sooner.
constexpr uint64_t kSignaledBytes = 256 << 10;
// How often a slice is sent again because of others' faults, before its own peer is the more likely culprit.
constexpr uint8_t kFlushesMax = 8;

}  // namespace

bool OpList::Remove(Op* op) {
  Op* before = nullptr;
  for (Op* o = first; o != nullptr; before = o, o = o->next) {
    if (o != op) continue;
    (before == nullptr ? first : before->next) = op->next;
    if (last == op) last = before;
    return true;
  }
  return false;
}

SendQueue::SendQueue(Lane* lane, OpSink* sink, const Config& config, uint32_t local_device, uint32_t remote_device)
    : lane_(lane),
      sink_(sink),
      local_device_(local_device),
      remote_device_(remote_device),
      signal_interval_(config.signal_interval) {}

void SendQueue::Open(ibv_qp* qp, uint32_t depth, uint32_t inline_bytes, uint16_t slot, uint16_t generation,
                     uint64_t now_ns) {
  qp_ = qp;
  depth_ = depth;
  inline_bytes_ = inline_bytes;
  slot_ = slot;
  generation_ = generation;
  ring_.assign(std::bit_ceil(depth), nullptr);
  mask_ = ring_.size() - 1;
  head_ = tail_ = 0;
  bytes_ = 0;
  unsignaled_ = chained_ = 0;
  unsignaled_bytes_ = 0;
  fault_ = Fault::kNone;
  progress_ns_ = now_ns;
  open_ = true;
}

void SendQueue::Add(Op* op, uint64_t now_ns) {
  if (head_ == tail_) progress_ns_ = now_ns;
  ibv_send_wr& wr = chain_[chained_];
  ibv_sge& piece = pieces_[chained_];
  std::memset(&wr, 0, sizeof(wr));
  wr.wr_id = uint64_t{slot_} << 48 | uint64_t{generation_} << 32 | static_cast<uint32_t>(tail_);
  wr.sg_list = &piece;
  wr.num_sge = 1;
  wr.opcode = op->write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ;
  wr.wr.rdma.remote_addr = op->remote->base + op->remote_offset;
  wr.wr.rdma.rkey = op->remote->rkey(remote_device_);
  piece.length = static_cast<uint32_t>(op->length);
  if (op->write && op->length <= inline_bytes_) {
    wr.send_flags = IBV_SEND_INLINE;
    piece.addr = reinterpret_cast<uintptr_t>(op->local);
    sink_->stats().Add(Counter::work_requests_inline);
  } else {
    piece.addr = op->mr->WireAddress(op->local);
    piece.lkey = op->mr->lkey(local_device_);
  }
  unsignaled_bytes_ += op->length;
  if (unsignaled_bytes_ >= kSignaledBytes || ++unsignaled_ >= signal_interval_) {
    wr.send_flags |= IBV_SEND_SIGNALED;
    unsignaled_ = 0;
    unsignaled_bytes_ = 0;
  }
  if (chained_ > 0) chain_[chained_ - 1].next = &wr;
  ++chained_;
  op->state = Op::State::kPosted;
  At(tail_++) = op;
  bytes_ += op->length;
  if (chained_ == kChainMax) Post();
}

bool SendQueue::Post() {
  if (chained_ == 0) return open_;
  const uint32_t n = std::exchange(chained_, 0);
  // The last one tells of all before it: work requests of a queue pair complete in order.
  chain_[n - 1].send_flags |= IBV_SEND_SIGNALED;
  unsignaled_ = 0;
  unsignaled_bytes_ = 0;
  uint32_t signaled = 0;
  for (uint32_t i = 0; i < n; ++i) signaled += (chain_[i].send_flags & IBV_SEND_SIGNALED) != 0;
  sink_->stats().Add(Counter::work_requests, n);
  sink_->stats().Add(Counter::work_requests_signaled, signaled);
  sink_->stats().Add(Counter::posts);
  if (!open_) return false;
  ibv_send_wr* bad = nullptr;
  const int error = ibv_post_send(qp_, chain_.data(), &bad);
  if (error == 0) return true;
  // What was taken before may end without a completion, so the queue pair cannot go on. The culprit is not tried again.
  const auto taken = bad == nullptr ? 0 : static_cast<uint64_t>(bad - chain_.data());
  Op* culprit = At(tail_ - n + taken);
  culprit->flushes = kFlushesMax;
  culprit->native = error;
  open_ = false;
  fault_ = Fault::kSlice;
  return false;
}

void SendQueue::Done(Op* op) {
  bytes_ -= op->length;
  sink_->stats().Add(op->write ? Counter::writes_completed : Counter::reads_completed);
  sink_->stats().Add(op->write ? Counter::bytes_written : Counter::bytes_read, op->length);
  op->bytes = op->length;
  sink_->Finish(op, SLIPWAY_OK, 0);
}

void SendQueue::Again(Op* op, slipway_status otherwise) {
  if (op->canceled) return sink_->Finish(op, SLIPWAY_E_CANCELED, 0);
  if (op->flushes >= kFlushesMax) return sink_->Finish(op, otherwise, op->native);
  ++op->flushes;
  sink_->stats().Add(Counter::slices_sent_again);
  sink_->SendAgain(op);
}

void SendQueue::Failed(Op* op, const ibv_wc& wc, slipway_status peer_status) {
  bytes_ -= op->length;
  if (wc.status == IBV_WC_WR_FLUSH_ERR) {
    if (peer_status < 0) return sink_->Finish(op, op->canceled ? SLIPWAY_E_CANCELED : peer_status, 0);
    return Again(op, SLIPWAY_E_PEER);
  }
  open_ = false;
  slipway_status status = SLIPWAY_E_PEER;
  switch (wc.status) {
    case IBV_WC_REM_ACCESS_ERR:
      // The slice lies within what was exported, so the registration is not there any more.
      fault_ = Fault::kSlice;
      status = SLIPWAY_E_STALE_REMOTE;
      op->remote->stale.store(true, std::memory_order_relaxed);
      sink_->stats().Add(Counter::slices_refused_by_target);
      break;
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_LOC_LEN_ERR:
    case IBV_WC_LOC_QP_OP_ERR:
    case IBV_WC_LOC_ACCESS_ERR:
      fault_ = Fault::kSlice;
      status = SLIPWAY_E_IO;
      break;
    case IBV_WC_FATAL_ERR:
      fault_ = Fault::kDevice;
      break;
    default:
      fault_ = Fault::kPeer;
      if (peer_status < 0) status = peer_status;
  }
  sink_->Finish(op, status, static_cast<int32_t>(wc.status));
}

SendQueue::Fault SendQueue::OnCompletion(const ibv_wc& wc, slipway_status peer_status, uint64_t now_ns) {
  const uint64_t index = head_ + static_cast<uint32_t>(static_cast<uint32_t>(wc.wr_id) - static_cast<uint32_t>(head_));
  if (index >= tail_) return Fault::kNone;  // told already by one that came after it
  const Fault before = fault_;
  progress_ns_ = now_ns;
  // Requests complete in order, and one that fails always says so: those before it were carried out.
  while (head_ < index) Done(At(head_++));
  Op* op = At(head_++);
  if (wc.status == IBV_WC_SUCCESS) {
    Done(op);
  } else {
    Failed(op, wc, peer_status);
  }
  return before == Fault::kNone ? fault_ : Fault::kNone;
}

void SendQueue::Abandon(slipway_status status) {
  open_ = false;
  chained_ = 0;
  while (head_ < tail_) {
    Op* op = At(head_++);
    bytes_ -= op->length;
    if (status < 0) {
      sink_->Finish(op, op->canceled ? SLIPWAY_E_CANCELED : status, 0);
    } else {
      Again(op, op->native != 0 ? SLIPWAY_E_IO : SLIPWAY_E_PEER);
    }
  }
  qp_ = nullptr;
}

}  // namespace slipway::rdma
