#include "plugins/local-memcpy/device_copies.h"

#include <array>

#include "plugins/local-memcpy/transport.h"

namespace slipway::local_memcpy {
namespace {

constexpr uint32_t kAtOnce = 256;  // the more small pieces are submitted together, the better

// A device that fails takes down no other slice of this transport.
slipway_status OwnStatus(slipway_status status) { return status <= SLIPWAY_E_PEER ? SLIPWAY_E_IO : status; }

}  // namespace

slipway_status DeviceCopies::Open(const sdk::Host& host, void* cookie, std::unique_ptr<DeviceCopies>& out,
                                  sdk::Error& err) {
  std::unique_ptr<sdk::HostCopier> copier;
  const slipway_status s = sdk::HostCopier::Open(host, cookie, copier, err);
  if (s == SLIPWAY_OK) out = std::make_unique<DeviceCopies>(std::move(copier));
  return s;
}

void DeviceCopies::End(Op& op, slipway_status status, OpList& done) {
  op.status = status;
  if (status == SLIPWAY_OK) op.copied = op.length;
  done.PushBack(op);
}

// The grants are held from here until the copies are done.
void DeviceCopies::SubmitWaiting(OpList& done) {
  while (!waiting_.empty()) {
    std::array<slipway_copy, kAtOnce> pieces;
    std::array<Op*, kAtOnce> ops;
    uint32_t n = 0;
    while (n < kAtOnce && !waiting_.empty()) {
      Op& op = *waiting_.PopFront();
      if (op.remote->gone() || !op.remote->grant().Enter()) {
        End(op, op.remote->WhyGone(), done);
        continue;
      }
      ops[n] = &op;
      pieces[n++] = {reinterpret_cast<uintptr_t>(&op), op.to, op.from, op.length, op.to_kind, op.from_kind};
    }
    uint32_t accepted = 0;
    const slipway_status s = n == 0 ? SLIPWAY_OK : copier_->Submit(pieces.data(), n, accepted, nullptr);
    for (uint32_t i = 0; i < accepted; ++i) flying_.PushBack(*ops[i]);
    const bool refused = s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN && accepted < n;
    OpList again;
    for (uint32_t i = accepted; i < n; ++i) {
      ops[i]->remote->grant().Leave();
      if (refused && i == accepted) {
        End(*ops[i], OwnStatus(s), done);
      } else {
        again.PushBack(*ops[i]);
      }
    }
    const bool full = !refused && !again.empty();
    again.Append(waiting_);
    waiting_.Append(again);
    if (full) return;  // a completion makes room
  }
}

void DeviceCopies::Submit(OpList& ops, OpList& done) {
  MutexLock lock(mutex_);
  while (Op* const op = ops.PopFront()) {
    if (op->overlaps) {
      End(*op, SLIPWAY_E_INVALID, done);
    } else {
      waiting_.PushBack(*op);
    }
  }
  SubmitWaiting(done);
}

void DeviceCopies::Poll(OpList& done) {
  MutexLock lock(mutex_);
  if (flying_.empty() && waiting_.empty()) return;
  std::array<slipway_completion, kAtOnce> completions;
  for (uint32_t n = kAtOnce; n == kAtOnce;) {
    n = copier_->Poll(completions.data(), kAtOnce);
    for (uint32_t i = 0; i < n; ++i) {
      Op& op = *reinterpret_cast<Op*>(static_cast<uintptr_t>(completions[i].token));
      flying_.Remove(op);
      op.remote->grant().Leave();
      End(op, OwnStatus(completions[i].status), done);
    }
  }
  SubmitWaiting(done);
}

void DeviceCopies::Cancel(const uint64_t* token, OpList& done) {
  MutexLock lock(mutex_);
  OpList kept;
  while (Op* const op = waiting_.PopFront()) {
    if (token == nullptr || op->token == *token) {
      End(*op, SLIPWAY_E_CANCELED, done);
    } else {
      kept.PushBack(*op);
    }
  }
  waiting_.Append(kept);
}

bool DeviceCopies::idle() {
  MutexLock lock(mutex_);
  return waiting_.empty() && flying_.empty();
}

void DeviceCopies::Abandon() {
  MutexLock lock(mutex_);
  while (Op* const op = flying_.PopFront()) op->remote->grant().Leave();
}

}  // namespace slipway::local_memcpy
