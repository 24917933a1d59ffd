// The dispatcher's part about what needs no slice, where the transport lets this process touch the peer's memory
// (slipway/abi/direct.h): short pieces of host memory are copied while they are submitted, and devices' pieces go to
// their memory provider as they are (dispatch_device.cc). Whatever does not fit goes as slices, which also find out
// what is wrong with it.
#include <cstring>
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

constexpr uint64_t kBriefCopies = 16;  // of the longest brief length: what one submission copies by itself

}  // namespace

// ---- which requests ----------------------------------------------------------------------------------------------

// Copies the request, or gives it to its memory provider. False: it goes as slices.
bool Dispatcher::GoDirect(DirectPass* pass, RequestState* request, uint64_t now_ns) {
  const RequestState& r = *request;
  if (r.segment != pass->segment || r.op != pass->op || r.local_kind != pass->local_kind || r.length != pass->length ||
      r.offset - pass->begin >= pass->bytes || r.length > pass->bytes - (r.offset - pass->begin)) {
    CountDone(pass, r.batch);
    Aim(pass, r, now_ns);
  }
  if (pass->remote == nullptr || r.length == 0 || r.batch->cut_short != SLIPWAY_OK) return false;
  char* const there = pass->base + (r.offset - pass->begin);
  char* const here = reinterpret_cast<char*>(r.local_address);
  if (pass->hold) return AddDirectCopy(pass, request, there);
  // One that comes alone may be as long as many short ones together.
  const bool alone = r.batch->remaining == 1 && pass->done_in_all == 0;
  if (r.length > pass->brief_bytes && !alone) return false;
  if (pass->copied_bytes + r.length > kBriefCopies * pass->brief_bytes) return false;
  pass->copied_bytes += r.length;
  if (r.op == SLIPWAY_OP_READ) {
    std::memmove(here, there, r.length);
    pass->use.bytes_read += r.length;
  } else {
    std::memmove(there, here, r.length);
    pass->use.bytes_written += r.length;
  }
  ++pass->use.copies;
  ++pass->done;
  ++pass->done_in_all;
  request->status = SLIPWAY_OK;
  request->bytes_done = r.length;
  request->slices = 1;
  request->transport = pass->number;
  return true;
}

// Finds out whether requests like this one go direct.
void Dispatcher::Aim(DirectPass* pass, const RequestState& request, uint64_t now_ns) {
  pass->segment = request.segment;
  pass->op = request.op;
  pass->local_kind = request.local_kind;
  pass->length = request.length;
  slipway_remote* remote = nullptr;
  const RemotePiece* piece = nullptr;
  uint8_t number = 0;
  const RoutePlan& plan = Plan(request, request.length, now_ns);
  if (plan.count > 0 && lanes_[plan.order[0]].direct != nullptr) {
    number = plan.order[0];
    const SegmentRoute& route = request.segment->routes[number];
    const size_t index = FindPiece(route.pieces, request.offset, 0);
    if (route.link->state == Link::State::kReady && index < route.pieces.size()) {
      piece = &route.pieces[index];
      remote = route.remotes[index];
    }
  }
  const bool fits = remote != nullptr && request.length <= piece->length - (request.offset - piece->offset) &&
                    request.length <= lanes_[number].transport->attrs().preferred_slice_bytes;
  const bool hold = request.local_kind != SLIPWAY_MEM_HOST;
  const bool entered =
      remote == pass->remote && hold == pass->hold && (pass->run == nullptr || pass->run->op == request.op);
  if (!fits || !entered) {
    LeaveDirect(pass);
    if (!fits || !EnterDirect(pass, number, remote, hold)) return;
    pass->begin = piece->offset;
    pass->bytes = std::min(pass->bytes, piece->length);
  }
  const uint32_t access = request.op == SLIPWAY_OP_READ ? SLIPWAY_ACCESS_REMOTE_READ : SLIPWAY_ACCESS_REMOTE_WRITE;
  if ((pass->access & access) == 0 || request.length > pass->bytes ||
      request.offset - pass->begin > pass->bytes - request.length) {
    LeaveDirect(pass);
  }
}

bool Dispatcher::EnterDirect(DirectPass* pass, uint8_t number, slipway_remote* remote, bool hold) {
  const Lane& lane = lanes_[number];
  if (hold && direct_copier_ == nullptr) return false;
  slipway_direct_view view{};
  view.struct_size = sizeof view;
  const uint32_t flags = hold ? SLIPWAY_DIRECT_HOLD : 0;
  if (lane.direct->enter(lane.channel, remote, flags, &view) != SLIPWAY_OK) return false;
  pass->number = number;
  pass->remote = remote;
  pass->hold = hold;
  pass->base = static_cast<char*>(view.base);
  pass->bytes = view.length;
  pass->access = view.access;
  pass->kind_there = view.mem_kind;
  pass->brief_bytes = view.brief_bytes;
  pass->use = {};
  pass->use.struct_size = sizeof pass->use;
  if (hold || view.mem_kind == SLIPWAY_MEM_HOST) return true;
  LeaveDirect(pass);  // it is a device's there
  return EnterDirect(pass, number, remote, true);
}

void Dispatcher::LeaveDirect(DirectPass* pass) {
  if (pass->remote == nullptr) return;
  const Lane& lane = lanes_[pass->number];
  CloseGroup(pass);
  if (DirectRun* const run = std::exchange(pass->run, nullptr)) {
    run->filling = false;
    EndDirect(run, 0, 0);
  } else {
    lane.direct->leave(lane.channel, pass->remote, pass->hold ? SLIPWAY_DIRECT_HOLD : 0, &pass->use);
  }
  pass->remote = nullptr;
  pass->bytes = 0;
}

// Accounts for what was copied on this thread. What the batch's completion lets go of is not entered any more.
void Dispatcher::CountDone(DirectPass* pass, BatchState* batch) {
  const uint64_t n = std::exchange(pass->done, 0);
  if (n == 0) return;
  held_.AddHeld(pass->op == SLIPWAY_OP_READ ? Counter::kBytesRead : Counter::kBytesWritten, n * pass->length);
  held_.AddHeld(Counter::kSlices, n);
  held_.AddHeld(Counter::kSlicesDirect, n);
  held_.ObserveHeld(Histogram::kRequestBytes, pass->length, n);
  batch->remaining -= n;
  if (batch->remaining == 0) CompleteBatch(batch);
}

}  // namespace slipway
