#include "plugins/cxl/transport.h"

#include <algorithm>

namespace slipway::cxl {

// ---- registration ----------------------------------------------------------------------------------------------

CxlRegistration::CxlRegistration(CxlInstance& owner, const Place& place, const slipway_range& range, uint32_t slot,
                                 uint64_t key)
    : shared_(Shared{owner, place, range.addr, range.length, range.access & kRemoteAccess, slot, key}) {
  Aliases::Get().Add(range.addr, range.length, place.window->identity(), place.offset);
}

CxlRegistration::~CxlRegistration() {
  if (!shared_) return;
  Aliases::Get().Remove(shared_->address, shared_->length);
  shared_->owner.FreeSlot(shared_->slot);
}

// ---- peer ------------------------------------------------------------------------------------------------------

CxlPeer::CxlPeer(CxlInstance& owner, const AddressBlob& address)
    : owner_(owner),
      board_(address.board),
      nonce_(address.nonce),
      same_process_(address.process == Aliases::Get().process()) {}

bool CxlPeer::Alive() {
  if (gone_.load(std::memory_order_acquire)) return false;
  if (!owner_.boards->OwnerDied(board_, owner_.host())) return true;
  GiveUp();
  return false;
}

slipway_status CxlPeer::StatusOf(Boards::Entry entry) {
  switch (entry) {
    case Boards::Entry::kOk:
      return SLIPWAY_OK;
    case Boards::Entry::kRevoked:
      return SLIPWAY_E_STALE_REMOTE;
    case Boards::Entry::kOwnerGone:
      break;
  }
  GiveUp();
  return SLIPWAY_E_PEER;
}

slipway_status CxlPeer::Ready(sdk::Error& err) {
  Boards::Seen seen;
  if (owner_.boards->Look(board_, seen) != SLIPWAY_OK) {
    return err.Fail(SLIPWAY_E_DEVICE, "the window that peers are met in is gone", owner_.windows[0]->device().path);
  }
  if (seen.nonce != nonce_) GiveUp();
  return Alive() ? SLIPWAY_OK
                 : err.Fail(SLIPWAY_E_PEER, "the peer is gone or was shut down: connect to its new address");
}

slipway_status CxlPeer::ImportMr(std::string_view bytes, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) {
  MrBlob blob;
  if (!Decode(bytes, blob) || blob.slot >= kSlots || blob.key == 0 || (blob.access & ~kRemoteAccess) != 0) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "not a registration of cxl, or damaged");
  }
  if (blob.nonce != nonce_) return err.Fail(SLIPWAY_E_STALE_REMOTE, "of another instance than this peer");
  Boards::Registration now;
  if (owner_.boards->LookAt(board_, blob.slot, now) != SLIPWAY_OK) {
    return err.Fail(SLIPWAY_E_DEVICE, "the window that peers are met in is gone", owner_.windows[0]->device().path);
  }
  if (now.key != blob.key) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE, "the registration was revoked: ask the peer for its present one");
  }
  if (now.offset != blob.offset || now.length != blob.length || now.window != blob.window ||
      now.access != blob.access) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the registration is not what the peer registered");
  }
  const auto window = std::find_if(owner_.windows.begin(), owner_.windows.end(),
                                   [&](const auto& w) { return w->identity() == blob.window; });
  if (window == owner_.windows.end()) {
    return err.Fail(SLIPWAY_E_STALE_REMOTE,
                    "the memory is on a device that is none of this instance's windows: add it");
  }
  if (blob.offset > (*window)->bytes() || blob.length > (*window)->bytes() - blob.offset) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the registration reaches beyond the end of the device as it is seen here",
                    (*window)->device().path);
  }
  if (*window == owner_.windows[0] && blob.offset < kBoardAreaBytes) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "the registration names memory that no peer may give away");
  }
  out = std::make_unique<CxlRemote>(*this, **window, blob);
  return SLIPWAY_OK;
}

}  // namespace slipway::cxl
