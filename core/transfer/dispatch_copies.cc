// The dispatcher's part about copies between the user's memory and staging: the core copies host memory itself, memory
// providers copy the rest, as many pieces as there are in one submission.
#include <array>
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {
namespace {

constexpr uint32_t kPollMax = 64;
constexpr uint32_t kPollRounds = 64;  // then others have their turn

bool IsCopying(const Slice& slice) {
  return slice.state == Slice::State::kCopyingIn || slice.state == Slice::State::kCopyingOut;
}

}  // namespace

// Between the user's memory and the slice's staging piece. Small copies of host memory are made on the spot.
void Dispatcher::StartCopy(Slice* slice, bool in) {
  slice->state = in ? Slice::State::kCopyingIn : Slice::State::kCopyingOut;
  char* user = reinterpret_cast<char*>(slice->cursor.local_address);
  slice->dst = in ? slice->staging : user;
  slice->src = in ? user : slice->staging;
  slice->CopyJob::length = slice->length_bytes();
  const uint64_t kind = slice->request->local_kind;
  if (kind != SLIPWAY_MEM_HOST) {
    slipway_copy piece{slice->Token(), slice->dst, slice->src, slice->length_bytes(), kind, SLIPWAY_MEM_HOST};
    if (in) std::swap(piece.dst_kind, piece.src_kind);
    device_copies_.push_back(piece);
    return;
  }
  counters_.Add(Counter::kCopies);
  counters_.Add(Counter::kHostCopies);
  if (slice->length_bytes() <= kInlineCopyBytes) {
    sdk::CopyBytes(slice->dst, slice->src, slice->length_bytes());
    return OnCopied(slice);
  }
  ++copies_;
  copier_.Submit(slice);
}

bool Dispatcher::TakeCopies() {
  CopyJob* job = copier_.Drain();
  const bool any = job != nullptr;
  while (job != nullptr) {
    auto* slice = static_cast<Slice*>(std::exchange(job, job->next));
    --copies_;
    if (const CoverSource& source = lanes_[slice->link->number].source; source.cache != nullptr) {
      source.cache->copy_cost(source.who).Observe(slice->CopyJob::length, slice->took_ns);
    }
    OnCopied(slice);
  }
  return any;
}

void Dispatcher::OnCopied(Slice* slice) {
  if (slice->state == Slice::State::kCopyingOut) return FinishSlice(slice);
  slice->state = Slice::State::kReady;
  Link* link = slice->link;
  if (slice->request->failure != SLIPWAY_OK) return CloseSlice(slice, false);
  if (link->state == Link::State::kDraining) {
    return FailSlice(slice, link->failure, clock_.NowNs());
  }
  link->PushReady(slice);
  ListLink(link);
}

// ---- by memory providers ---------------------------------------------------------------------------------------

Slice* Dispatcher::FindCopying(uint64_t token) {
  const auto index = static_cast<uint32_t>(token);
  Slice* slice = index < slices_.size() ? &slices_[index] : nullptr;
  return slice != nullptr && slice->Token() == token && IsCopying(*slice) ? slice : nullptr;
}

// Another transport would fare no better: the memory itself could not be copied.
void Dispatcher::FailCopy(Slice* slice, const Status& why) {
  counters_.Add(Counter::kProviderCopiesFailed);
  FailRequest(slice->request, why);
  CloseSlice(slice, false);
}

// Copies that have not begun, of requests that have failed meanwhile.
void Dispatcher::DropDeadCopies() {
  // Closing a slice may complete its batch, but submits nothing: the list only shrinks here.
  std::vector<Slice*> dead;
  std::erase_if(device_copies_, [&](const slipway_copy& piece) SLIPWAY_NO_TSA {
    Slice* slice = FindCopying(piece.token);
    if (slice != nullptr && slice->request->failure == SLIPWAY_OK) return false;
    if (slice != nullptr) dead.push_back(slice);
    return true;
  });
  for (Slice* slice : dead) CloseSlice(slice, false);
}

// True when a provider took something, or refused it for good.
bool Dispatcher::SubmitDeviceCopies() {
  if (device_copies_.empty()) return false;
  DropDeadCopies();
  std::vector<slipway_copy> pieces = std::exchange(device_copies_, {});
  size_t done = 0;
  while (done < pieces.size()) {
    uint32_t accepted = 0;
    slipway_error error = EmptyError();
    const auto n = static_cast<uint32_t>(std::min<size_t>(pieces.size() - done, UINT32_MAX));
    const slipway_status status = device_copier_ == nullptr
                                      ? SLIPWAY_E_UNSUPPORTED
                                      : device_copier_->Submit(&pieces[done], sizeof pieces[0], n, &accepted, &error);
    done += accepted;
    if (status == SLIPWAY_E_AGAIN || (status == SLIPWAY_OK && accepted == 0)) break;  // its completions make room
    if (status == SLIPWAY_OK) continue;
    Slice* culprit = done < pieces.size() ? FindCopying(pieces[done++].token) : nullptr;
    if (culprit == nullptr) continue;  // the request failed through the piece before
    FailCopy(culprit, FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error,
                                 "copying between a device's memory and staging"));
  }
  // Keeps the room that the list has.
  pieces.erase(pieces.begin(), pieces.begin() + static_cast<ptrdiff_t>(done));
  device_copies_ = std::move(pieces);
  return done > 0;
}

bool Dispatcher::TakeDeviceCopies() {
  if (device_copier_ == nullptr) return false;
  bool any = false;
  for (uint32_t round = 0; round < kPollRounds && device_copier_->inflight() > 0; ++round) {
    std::array<slipway_completion, kPollMax> completions;
    uint32_t n = 0;
    if (device_copier_->Poll(completions.data(), sizeof completions[0], kPollMax, &n) != SLIPWAY_OK) break;
    for (uint32_t i = 0; i < n; ++i) {
      Slice* slice = FindCopying(completions[i].token);
      if (slice == nullptr) continue;  // abandoned
      if (completions[i].status == SLIPWAY_OK) {
        OnCopied(slice);
        continue;
      }
      const slipway_status status = completions[i].status < 0 ? completions[i].status : SLIPWAY_E_INTERNAL;
      FailCopy(slice, FromPlugin(status, EmptyError(),
                                 "the memory provider could not copy between a device's memory and staging"));
    }
    any |= n > 0;
    polled_ += n;
    if (n < kPollMax) break;
  }
  return any;
}

}  // namespace slipway
