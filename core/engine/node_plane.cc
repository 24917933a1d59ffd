#include "core/engine/node_plane.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "slipway/abi/memory.h"
#include "slipway/abi/transport.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr size_t kMostMoves = 4096;  // in one batch of the engine's
constexpr uint64_t kLongestWaitNs = 1'000'000'000;

class OpenedByNode final : public OpenSegment {
 public:
  OpenedByNode(std::shared_ptr<Node> node, std::unique_ptr<SharedSegment> segment)
      : node_(std::move(node)), segment_(std::move(segment)) {}
  ~OpenedByNode() override { node_->dispatchers().Close(std::move(segment_)); }
  SharedSegment& segment() const { return *segment_; }

 private:
  const std::shared_ptr<Node> node_;
  std::unique_ptr<SharedSegment> segment_;
};

}  // namespace

// An engine that was shut down has let go of everything by itself.
Status NodePlane::Undeclare(void* address, uint64_t length, uint64_t timeout_ns) {
  Status status = node_->Undeclare(address, length, timeout_ns);
  return status.code() == SLIPWAY_E_CLOSED ? Status() : status;
}

Status NodePlane::Withdraw(const std::string& name) {
  Status status = node_->Withdraw(name);
  return status.code() == SLIPWAY_E_CLOSED ? Status() : status;
}

Status NodePlane::Publish(const std::string& name, void* address, uint64_t length) {
  const Span span{address, length};
  return node_->Publish(name, {&span, 1}, SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE);
}

Result<std::unique_ptr<OpenSegment>> NodePlane::Open(const std::string& url, uint64_t timeout_ns) {
  Result<std::unique_ptr<SharedSegment>> opened = node_->Open(url, std::max<uint64_t>(timeout_ns / kNsPerMs, 1));
  if (!opened.ok()) return opened.status();
  return std::unique_ptr<OpenSegment>(std::make_unique<OpenedByNode>(node_, std::move(*opened)));
}

std::vector<Status> NodePlane::Transfer(std::span<const Move> moves, uint64_t timeout_ns, const StreamOrder& order) {
  std::vector<Status> out(moves.size());
  const uint64_t until_ns = DeadlineAfter(SystemClock().NowNs(), timeout_ns);
  for (size_t at = 0; at < moves.size(); at += kMostMoves) {
    const size_t count = std::min(kMostMoves, moves.size() - at);
    TransferSome(moves.subspan(at, count), until_ns, order, std::span(out).subspan(at, count));
  }
  return out;
}

void NodePlane::TransferSome(std::span<const Move> moves, uint64_t until_ns, const StreamOrder& order,
                             std::span<Status> out) {
  Dispatchers& dispatchers = node_->dispatchers();
  const size_t mine = dispatchers.Mine();
  Dispatcher& dispatcher = dispatchers[mine];
  std::vector<RequestSpec> specs;
  specs.reserve(moves.size());
  for (const Move& move : moves) {
    if (move.segment == nullptr) {
      std::fill(out.begin(), out.end(),
                Status(SLIPWAY_E_NO_ROUTE,
                       "no transport is configured that could move this memory: add one to "
                       "transports"));
      return;
    }
    Result<RemoteSegment*> segment = dispatchers.In(static_cast<OpenedByNode*>(move.segment)->segment(), mine);
    if (!segment.ok()) {
      std::fill(out.begin(), out.end(), segment.status());
      return;
    }
    specs.push_back({static_cast<uint32_t>(move.write ? SLIPWAY_OP_WRITE : SLIPWAY_OP_READ), move.local, move.length,
                     *segment, move.offset, move.local_kind});
  }
  for (;;) {
    const uint64_t now_ns = SystemClock().NowNs();
    BatchSpec spec;
    spec.owner = node_;
    spec.stream_kind = order.kind;
    spec.stream = order.stream;
    spec.timeout_ns = now_ns < until_ns ? until_ns - now_ns : 1;
    Result<BatchState*> submitted = dispatcher.Submit(specs, spec);
    if (submitted.ok()) {
      BatchState* const batch = *submitted;
      // Past its deadline a batch is cut short, and ends within the engine's own bounds.
      while (dispatcher.Wait(batch, kLongestWaitNs) == SLIPWAY_IN_PROGRESS) {
      }
      for (size_t i = 0; i < moves.size(); ++i) {
        const RequestState& request = batch->requests[i];
        if (request.status == SLIPWAY_OK) continue;
        out[i] = Status(request.status, request.message != nullptr ? *request.message : "the transfer failed");
      }
      (void)dispatcher.Release(batch);
      return;
    }
    if (submitted.status().code() != SLIPWAY_E_AGAIN || now_ns >= until_ns) {
      std::fill(out.begin(), out.end(), submitted.status());
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // others' requests fill the engine
  }
}

}  // namespace slipway
