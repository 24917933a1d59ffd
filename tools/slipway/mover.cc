#include "tools/slipway/mover.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>

#include "tools/slipway/progress.h"

namespace slipway::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kPieceBytes = uint64_t{64} << 20;
constexpr size_t kPiecesInFlight = 2;
constexpr uint64_t kLookEveryMs = 200;

class Mover {
 public:
  Mover(const Engine& engine, const Segment& segment, const Movement& movement, const Output& output,
        MoveReport* report)
      : engine_(engine), segment_(segment), movement_(movement), progress_(output, movement.length), report_(*report) {
    if (movement.timeout_seconds > 0)
      deadline_ = Clock::now() +
                  std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(movement.timeout_seconds));
  }

  Status Run() {
    while (submitted_ < movement_.length || !pieces_.empty()) {
      while (submitted_ < movement_.length && pieces_.size() < kPiecesInFlight) {
        const Status status = SubmitPiece();
        if (status.code() == SLIPWAY_E_AGAIN && !pieces_.empty()) break;
        SLIPWAY_RETURN_IF_ERROR(status);
      }
      SLIPWAY_RETURN_IF_ERROR(FinishOldest());
    }
    return {};
  }

 private:
  Status SubmitPiece() {
    SubmitOptions options;
    if (deadline_) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
      if (left <= 0) return {SLIPWAY_E_DEADLINE, "not done within the time that --timeout allows"};
      options.timeout_ms = static_cast<uint64_t>(left);
    }
    const uint64_t length = std::min(kPieceBytes, movement_.length - submitted_);
    std::byte* local = movement_.local + submitted_;
    const uint64_t offset = movement_.offset + submitted_;
    const Request request = movement_.direction == Direction::kToSegment ? WriteRequest(segment_, offset, local, length)
                                                                         : ReadRequest(segment_, offset, local, length);
    auto batch = engine_.Submit({&request, 1}, options);
    if (!batch.ok()) return batch.status();
    pieces_.push_back(std::move(*batch));
    submitted_ += length;
    return {};
  }

  Status FinishOldest() {
    Status status;
    do {
      status = pieces_.front().Wait(kLookEveryMs);
      uint64_t moving = 0;
      for (const Batch& piece : pieces_)
        if (auto result = piece.result(0); result.ok()) moving += result->bytes;
      progress_.Update(report_.bytes + moving);
    } while (status.code() == SLIPWAY_IN_PROGRESS);
    if (auto result = pieces_.front().result(0); result.ok()) Count(*result);
    if (status.ok()) pieces_.pop_front();
    return status;
  }

  void Count(const RequestResult& result) {
    report_.bytes += result.bytes;
    report_.slices += result.slices;
    report_.staged_slices += result.staged_slices;
    report_.retries += result.retries;
    if (report_.transport.empty())
      report_.transport = result.transport;
    else if (!result.transport.empty() && report_.transport != result.transport)
      report_.transport = "mixed";
  }

  const Engine& engine_;
  const Segment& segment_;
  const Movement& movement_;
  ProgressLine progress_;
  MoveReport& report_;
  std::optional<Clock::time_point> deadline_;
  uint64_t submitted_ = 0;
  std::deque<Batch> pieces_;  // in order; destroyed, they are cancelled and waited for
};

Status CheckRange(const Segment& segment, const Movement& movement) {
  const uint64_t room = segment.length();
  if (movement.offset <= room && movement.length <= room - movement.offset) return {};
  return {SLIPWAY_E_SEGMENT_RANGE, std::to_string(movement.length) + " bytes at offset " +
                                       std::to_string(movement.offset) + " do not fit: the segment has " +
                                       std::to_string(room) + " bytes; nothing was moved"};
}

}  // namespace

JsonObject& MoveReport::AddTo(JsonObject& reply) const {
  return reply.Add("bytes", bytes)
      .Add("seconds", seconds)
      .Add("bytes_per_second", seconds > 0 ? static_cast<double>(bytes) / seconds : 0.0)
      .Add("transport", transport)
      .Add("slices", slices)
      .Add("staged_slices", staged_slices)
      .Add("retries", retries);
}

std::string MoveReport::Text() const {
  std::string text = FormatBytes(bytes) + " in " + std::to_string(seconds) + " s (" +
                     FormatRate(static_cast<double>(bytes), seconds) + ")";
  if (!transport.empty()) text += " over " + Printable(transport);
  text += ", " + std::to_string(slices) + " slices, " + std::to_string(staged_slices) + " staged";
  if (retries > 0) text += ", " + std::to_string(retries) + " retries";
  return text;
}

Status Move(const Engine& engine, const Segment& segment, const Movement& movement, const Output& output,
            MoveReport* report) {
  SLIPWAY_RETURN_IF_ERROR(CheckRange(segment, movement));
  const Clock::time_point start = Clock::now();
  Status status = Mover(engine, segment, movement, output, report).Run();
  report->seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return status;
}

}  // namespace slipway::cli
