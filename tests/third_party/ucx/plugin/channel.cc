// Slices: from submit to UCX, and from UCX to poll.
#include <sys/random.h>
#include <unistd.h>

#include "transport.h"

namespace ucx {
namespace {

void OnPart(void* request, ucs_status_t status, void* user_data) {
  Op* const op = static_cast<Op*>(user_data);
  op->remote->peer.end.owner.PartDone(op, status);
  ucp_request_free(request);
}

}  // namespace

uint64_t Random() {
  uint64_t value = 0;
  while (value == 0 && getrandom(&value, sizeof(value), 0) != sizeof(value)) {
  }
  return value | 1;
}

uint64_t ProcessId() {
  static const uint64_t random = Random();
  return random ^ static_cast<uint64_t>(getpid());  // a forked child is another process
}

slipway_status StatusOf(ucs_status_t status) {
  switch (status) {
    case UCS_OK:
      return SLIPWAY_OK;
    case UCS_ERR_NO_MEMORY:
    case UCS_ERR_NO_RESOURCE:
      return SLIPWAY_E_NOMEM;
    case UCS_ERR_UNREACHABLE:
    case UCS_ERR_CONNECTION_RESET:
    case UCS_ERR_ENDPOINT_TIMEOUT:
    case UCS_ERR_NOT_CONNECTED:
    case UCS_ERR_REJECTED:
    case UCS_ERR_IO_ERROR:
      return SLIPWAY_E_PEER;
    case UCS_ERR_CANCELED:
      return SLIPWAY_E_CANCELED;
    default:
      return SLIPWAY_E_IO;
  }
}

void UcxInstance::Start(Op* op) {
  UcxPeer& peer = op->remote->peer;
  Claim& claim = peer.claims.find(op->remote->key.key)->second;
  op->status = peer.status;
  if (op->status == SLIPWAY_OK && claim.state == Claim::kGone) op->status = SLIPWAY_E_STALE_REMOTE;
  if (op->status != SLIPWAY_OK || peer.end.ep == nullptr) {
    if (op->status == SLIPWAY_OK) op->status = SLIPWAY_E_PEER;
    Finish(op);
  } else if (claim.state == Claim::kAsking) {
    claim.waiting.Push(op);
  } else {
    Issue(op, claim);
  }
}

// A put is complete when UCX no longer needs the source; only the flush behind it says that the target has the bytes.
void UcxInstance::Issue(Op* op, Claim& claim) {
  UcxPeer& peer = op->remote->peer;
  const slipway_slice& s = op->slice;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.send = OnPart;
  param.user_data = op;
  ++claim.inflight;
  ++peer.inflight;
  const uint64_t remote_addr = op->remote->key.addr + s.remote_offset;
  const bool read = s.op == SLIPWAY_OP_READ;
  op->parts = read ? 1 : 2;
  const ucs_status_ptr_t moved =
      read ? ucp_get_nbx(peer.end.ep, s.local_addr, s.length, remote_addr, op->remote->rkey, &param)
           : ucp_put_nbx(peer.end.ep, s.local_addr, s.length, remote_addr, op->remote->rkey, &param);
  if (!UCS_PTR_IS_PTR(moved)) PartDone(op, UCS_PTR_STATUS(moved));
  if (read) return;
  const ucs_status_ptr_t flushed = ucp_ep_flush_nbx(peer.end.ep, &param);
  if (!UCS_PTR_IS_PTR(flushed)) PartDone(op, UCS_PTR_STATUS(flushed));
}

void UcxInstance::PartDone(Op* op, ucs_status_t status) {
  UcxPeer& peer = op->remote->peer;
  if (status != UCS_OK && op->status == SLIPWAY_OK) {
    op->native = status;
    op->status = StatusOf(status);
    if (op->status == SLIPWAY_E_CANCELED && (peer.status != SLIPWAY_OK || peer.end.failed)) op->status = SLIPWAY_E_PEER;
  }
  if (--op->parts > 0) return;
  const uint64_t key = op->remote->key.key;
  Claim& claim = peer.claims.find(key)->second;
  --claim.inflight;
  --peer.inflight;
  Finish(op);
  LetGo(peer, key, claim);
}

void UcxInstance::LetGo(UcxPeer& peer, uint64_t key, Claim& claim) {
  if (claim.release_due && claim.inflight == 0) {
    claim.release_due = false;
    Send(peer.end, kReleased, peer.link, key);
  }
  if (peer.bye_due && peer.inflight == 0) {
    peer.bye_due = false;
    Send(peer.end, kByeReleased, peer.link, 0);
  }
}

void UcxInstance::Finish(Op* op) {
  --inflight;
  op->remote->Unuse();
  op->channel->Done(op);
}

bool UcxRemote::Overlaps(const slipway_slice& s) const {
  const uint64_t local = reinterpret_cast<uintptr_t>(s.local_addr), there = key.addr + s.remote_offset;
  return peer.address.process == ProcessId() && local < there + s.length && there < local + s.length;
}

// ---- a channel -------------------------------------------------------------------------------------------------

UcxChannel::UcxChannel(UcxInstance& owner, void* cookie, uint32_t room) : owner_(owner), cookie_(cookie), ops_(room) {
  for (Op& op : ops_) {
    op.channel = this;
    free_.Push(&op);
  }
}

slipway_status UcxChannel::Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) {
  slipway::MutexLock lock(owner_.mutex);
  for (accepted = 0; accepted < slices.size() && !free_.empty(); ++accepted) {
    const slipway_slice& s = slices[accepted];
    UcxRemote& remote = *static_cast<UcxRemote*>(sdk::AsRemote(s.remote));
    if (remote.Overlaps(s)) return err.Fail(SLIPWAY_E_INVALID, "source and target overlap");
    Op* const op = free_.Pop();
    op->remote = &remote;
    op->slice = s;
    op->status = SLIPWAY_OK;
    op->native = 0;
    remote.Use();
    ++owner_.inflight;
    owner_.Start(op);
  }
  if (accepted > 0) ucp_worker_signal(owner_.worker);
  return SLIPWAY_OK;
}

void UcxChannel::Done(Op* op) {
  const bool idle = done_.empty();
  done_.Push(op);
  if (idle) owner_.host().Wake(cookie_);
}

slipway_status UcxChannel::Poll(sdk::Completions& out) {
  slipway::MutexLock lock(owner_.mutex);
  if (done_.empty() && owner_.inflight > 0) owner_.Progress();
  while (!out.full()) {
    Op* const op = done_.Pop();
    if (op == nullptr) break;
    out.Put(op->slice.token, op->status, op->status == SLIPWAY_OK ? op->slice.length : 0, op->native);
    free_.Push(op);
  }
  if (!done_.empty()) owner_.host().Wake(cookie_);
  return SLIPWAY_OK;
}

slipway_status UcxInstance::OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error&) {
  out = std::make_unique<UcxChannel>(*this, cookie, attrs().max_inflight_per_channel);
  return SLIPWAY_OK;
}

}  // namespace ucx
