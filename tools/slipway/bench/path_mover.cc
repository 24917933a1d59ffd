#include "tools/slipway/bench/path_mover.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "tools/slipway/bench/interrupt.h"

namespace slipway::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t kRequestMs = 60'000;
constexpr size_t kTimesMax = size_t{1} << 18;  // of single waits that are kept for the percentiles

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double Percentile(std::vector<float>& sorted, double part) {
  return static_cast<double>(sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))]);
}

Sample Summarize(double seconds, uint64_t requests, std::vector<float>& times) {
  Sample sample{.seconds = seconds / static_cast<double>(requests)};
  if (times.empty()) return sample;
  std::sort(times.begin(), times.end());
  sample.p50 = Percentile(times, 0.5);
  sample.p99 = Percentile(times, 0.99);
  return sample;
}

}  // namespace

Layout LayoutOf(const Row& row) {
  return Layout{
      .bytes = row.bytes, .slots = row.shape == kSingle ? 1 : row.count, .scattered = row.shape == kScattered};
}

PathMover::PathMover(const Mapping& local)
    : local_(local), seed_(uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {}

Result<std::unique_ptr<PathMover>> PathMover::Open(const PathPlan& plan, const Mapping& local, const Mapping& other) {
  std::unique_ptr<PathMover> mover(new PathMover(local));
  auto engine = Engine::FromJson(plan.initiator_config);
  if (!engine.ok()) return engine.status();
  mover->engine_ = std::move(*engine);
  auto target = plan.two_processes ? MakeChildTarget(plan, local.size()) : MakeOwnTarget(mover->engine_, other);
  if (!target.ok()) return target.status();
  mover->target_ = std::move(*target);
  SLIPWAY_RETURN_IF_ERROR(mover->engine_.Declare(local.data(), local.size()));
  auto segment = mover->engine_.Open(mover->target_->url(), 10'000);
  if (!segment.ok()) return segment.status();
  mover->segment_ = std::move(*segment);
  // Before anything is timed: that this transport does reach the target, or why not.
  const Request request = WriteRequest(mover->segment_, 0, local.data(), 1);
  const auto batch = mover->engine_.Submit({&request, 1}, {.timeout_ms = 10'000});
  if (!batch.ok()) return batch.status();
  SLIPWAY_RETURN_IF_ERROR(batch->Wait());
  return mover;
}

PathMover::~PathMover() {
  segment_ = Segment();
  if (engine_) (void)engine_.Undeclare(local_.data(), local_.size(), 1'000);
  target_.reset();
}

std::vector<Request> PathMover::RequestsOf(const Row& row, const Layout& layout) const {
  std::vector<Request> requests;
  for (uint32_t slot = 0; slot < layout.slots; ++slot) {
    std::byte* const local = local_.data() + layout.LocalAt(slot);
    const uint64_t remote = layout.RemoteAt(slot);
    requests.push_back(row.operation == "read" ? ReadRequest(segment_, remote, local, row.bytes)
                                               : WriteRequest(segment_, remote, local, row.bytes));
  }
  return requests;
}

Result<Sample> PathMover::RunTogether(const std::vector<Request>& requests, double seconds) {
  std::vector<float> times;
  times.reserve(seconds > 0 ? std::min(kTimesMax, static_cast<size_t>(seconds * 1e7) + 16) : 16);
  uint64_t turns = 0;
  const Clock::time_point start = Clock::now();
  Clock::time_point before = start;
  double passed = 0;
  do {
    auto batch = engine_.Submit(requests, {.timeout_ms = kRequestMs});
    if (!batch.ok()) return batch.status();
    SLIPWAY_RETURN_IF_ERROR(batch->Wait());
    *batch = Batch();  // releasing it is part of the price
    const Clock::time_point now = Clock::now();
    if (times.size() < times.capacity()) times.push_back(std::chrono::duration<float>(now - before).count());
    before = now;
    passed = std::chrono::duration<double>(now - start).count();
    ++turns;
    if (Interrupted()) return Status(SLIPWAY_E_CANCELED, "interrupted");
  } while (passed < seconds || (seconds > 0 && turns < 2));
  return Summarize(passed, turns * requests.size(), times);
}

Result<Sample> PathMover::RunInFlight(const std::vector<Request>& requests, double seconds) {
  std::vector<Batch> slots(requests.size());
  uint64_t turn = 0;
  const Clock::time_point start = Clock::now();
  while (turn < 2 * requests.size() || Since(start) < seconds) {
    Batch& slot = slots[turn % slots.size()];
    if (slot) SLIPWAY_RETURN_IF_ERROR(slot.Wait());
    slot = Batch();
    auto batch = engine_.Submit({&requests[turn % slots.size()], 1}, {.timeout_ms = kRequestMs});
    if (!batch.ok()) return batch.status();
    slot = std::move(*batch);
    ++turn;
    if (Interrupted()) return Status(SLIPWAY_E_CANCELED, "interrupted");
  }
  for (const Batch& slot : slots) SLIPWAY_RETURN_IF_ERROR(slot.Wait());
  return Sample{.seconds = Since(start) / static_cast<double>(turn)};
}

Result<Sample> PathMover::Run(const Row& row, const std::vector<Request>& requests, double seconds) {
  return row.shape == kStream ? RunInFlight(requests, seconds) : RunTogether(requests, seconds);
}

Status PathMover::FillSource(const Row& row) {
  ++seed_;  // the destination holds none of this yet
  const uint64_t room = LayoutOf(row).Room();
  if (row.operation == "read") return target_->Fill(room, seed_);
  FillPattern(local_.data(), room, seed_);
  return {};
}

Status PathMover::CheckDestination(const Row& row) {
  if (row.operation != "read") return target_->Check(LayoutOf(row), seed_);
  const auto at = FindDifference(local_.data(), LayoutOf(row), Side::kLocal, seed_);
  return at ? WrongData(*at) : Status();
}

Result<Sample> PathMover::Measure(const Row& row, double seconds, bool strictly) {
  const std::vector<Request> requests = RequestsOf(row, LayoutOf(row));
  if (strictly) SLIPWAY_RETURN_IF_ERROR(FillSource(row));
  const auto warm = RunTogether(requests, 0);
  if (!warm.ok()) return warm.status();
  if (strictly) SLIPWAY_RETURN_IF_ERROR(CheckDestination(row));
  SLIPWAY_RETURN_IF_ERROR(FillSource(row));
  auto sample = Run(row, requests, seconds);
  if (!sample.ok()) return sample;
  SLIPWAY_RETURN_IF_ERROR(CheckDestination(row));
  return sample;
}

}  // namespace slipway::cli::bench
