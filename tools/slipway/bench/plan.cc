#include "tools/slipway/bench/plan.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "tools/slipway/bench/copies.h"
#include "tools/slipway/bench/interrupt.h"
#include "tools/slipway/bench/machine.h"
#include "tools/slipway/bench/peers.h"

namespace slipway::cli::bench {
namespace {

constexpr uint64_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr uint32_t kScatteredRequests = 1000;

struct Together {
  Shape shape;
  uint32_t count;
};

// What keeps a path busy with requests of this size; count 0: one alone does.
Together BusyWith(uint64_t bytes) {
  if (bytes < kKiB) return {kBatch, 1024};
  if (bytes < 64 * kKiB) return {kBatch, 128};
  if (bytes < kMiB) return {kStream, 32};
  if (bytes < 16 * kMiB) return {kStream, 8};
  if (bytes <= 64 * kMiB) return {kStream, 4};
  return {kSingle, 0};
}

Row OwnRow(const PathPlan& path, const std::string& operation, uint64_t bytes, Shape shape, uint32_t count) {
  return Row{.who = "slipway",
             .path = path.label,
             .medium = path.medium,
             .operation = operation,
             .bytes = bytes,
             .shape = shape,
             .count = count,
             .streams = path.streams};
}

std::vector<Row> RowsOf(const PathPlan& path, const BenchArguments& arguments) {
  std::vector<Row> rows;
  for (const std::string& operation : arguments.operations) {
    for (const uint64_t bytes : arguments.sizes) {
      const Together busy = BusyWith(bytes);
      // Several streams show nothing where a request does not fill one.
      if (path.streams > 1 && busy.shape != kStream) continue;
      if (path.streams == 1) rows.push_back(OwnRow(path, operation, bytes, kSingle, 1));
      if (busy.count > 0) rows.push_back(OwnRow(path, operation, bytes, busy.shape, busy.count));
      if (bytes == 4 * kKiB && path.streams == 1) {
        rows.push_back(OwnRow(path, operation, bytes, kBatch, kScatteredRequests));
        rows.push_back(OwnRow(path, operation, bytes, kScattered, kScatteredRequests));
      }
    }
  }
  return rows;
}

// Takes the largest sizes away until everything fits into a good half of the memory that is free.
uint64_t FitIntoMemory(const Paths& paths, BenchArguments& arguments, std::vector<Skipped>* skipped) {
  const uint64_t available = AvailableMemory();
  const auto two = std::count_if(paths.plans.begin(), paths.plans.end(), [](const auto& p) { return p.two_processes; });
  while (true) {
    uint64_t room = 4096;
    for (const PathPlan& path : paths.plans)
      for (const Row& row : RowsOf(path, arguments)) room = std::max(room, LayoutOf(row).Room());
    if (available == 0 || room * (2 + static_cast<uint64_t>(two)) <= available / 10 * 6 || arguments.sizes.size() <= 1)
      return room;
    const auto largest = std::max_element(arguments.sizes.begin(), arguments.sizes.end());
    skipped->push_back({FormatBytes(*largest), "more memory than this machine has free"});
    arguments.sizes.erase(largest);
  }
}

// ---- what it is compared with
// -----------------------------------------------------------------------------------------

void AddCopies(const std::vector<Row>& rows, Plan& plan) {
  std::set<uint64_t> sizes;
  for (const Row& row : rows)
    if (row.medium == "memory" || row.medium == "shared memory") sizes.insert(row.bytes);
  for (const uint64_t bytes : sizes) {
    for (const uint32_t threads : {1u, CopyThreadsMax()}) {
      if (threads > 1 && bytes < 256 * kKiB) continue;  // sharing out costs more than it brings
      Item item;
      item.row = Row{.who = threads == 1 ? "memcpy, 1 thread" : "memcpy, " + std::to_string(threads) + " threads",
                     .path = "memcpy, one process",
                     .medium = "memory",
                     .operation = "any",
                     .bytes = bytes,
                     .streams = threads,
                     .compares_with = kSingle | kBatch | kStream};
      item.measure = [&plan, bytes, threads](double seconds) {
        return MeasureMemcpy(plan.local, plan.other, bytes, threads, seconds);
      };
      plan.items.push_back(std::move(item));
      if (CopyThreadsMax() == 1) break;
    }
  }
}

Status AddRawSockets(const std::vector<Row>& rows, Plan& plan) {
  std::set<uint32_t> streams;
  for (const Row& row : rows) {
    if (row.medium != "tcp") continue;
    if (!plan.raw_sockets) {
      auto sockets = RawSockets::Open();
      if (!sockets.ok()) return sockets.status();
      plan.raw_sockets = std::move(*sockets);
    }
    RawSockets* const raw = plan.raw_sockets.get();
    Item item;
    if (row.shape == kSingle && row.bytes <= 64 * kKiB) {
      const bool read = row.operation == "read";
      item.row = Row{.who = "raw ping-pong",
                     .path = "raw sockets, two processes",
                     .medium = "tcp",
                     .operation = row.operation,
                     .bytes = row.bytes,
                     .compares_with = kSingle};
      item.measure = [raw, read, bytes = row.bytes](double seconds) {
        return raw->PingPong(read ? 64 : bytes, read ? bytes : 64, seconds);
      };
    } else if (row.shape == kStream && streams.insert(row.streams).second) {
      item.row = Row{.who = "raw stream",
                     .path = "raw sockets, two processes",
                     .medium = "tcp",
                     .operation = "any",
                     .bytes = kMiB,
                     .shape = kStream,
                     .streams = row.streams,
                     .compares_with = kStream | kSingle,
                     .from_bytes = 64 * kKiB};
      item.measure = [raw, count = row.streams](double seconds) { return raw->Stream(kMiB, count, seconds); };
    } else {
      continue;
    }
    plan.items.push_back(std::move(item));
  }
  return {};
}

// What is compared stands together in every round, so that the machine is in one state for both.
void SortByCase(std::vector<Item>& items) {
  const auto key = [](const Item& item) {
    const Row& row = item.row;
    const std::string family = row.medium == "shared memory" ? "memory" : row.medium;
    return std::tuple(family, row.bytes, row.streams, row.operation == "any" ? "" : row.operation, row.shape);
  };
  std::stable_sort(items.begin(), items.end(), [&](const Item& a, const Item& b) { return key(a) < key(b); });
}

}  // namespace

Result<std::unique_ptr<Plan>> MakePlan(const BenchArguments& given) {
  BenchArguments arguments = given;
  auto paths = PlanPaths(arguments);
  if (!paths.ok()) return paths.status();
  auto plan = std::make_unique<Plan>();
  plan->skipped = std::move(paths->skipped);
  const uint64_t room = FitIntoMemory(*paths, arguments, &plan->skipped);
  for (Mapping* memory : {&plan->local, &plan->other}) {
    auto mapping = Mapping::OfMemory(room);
    if (!mapping.ok()) return mapping.status();
    *memory = std::move(*mapping);
    FillPattern(memory->data(), room, 0);  // so that no page is made while the clock runs
  }
  std::vector<Row> rows;
  const bool asked_for = !arguments.engine.config_file.empty() || !arguments.transports.empty();
  for (const PathPlan& path : paths->plans) {
    if (Interrupted()) return Status(SLIPWAY_E_CANCELED, "interrupted");
    auto mover = PathMover::Open(path, plan->local, plan->other);
    if (!mover.ok() && asked_for) return Status(mover.status().code(), path.label + ": " + mover.status().message());
    if (!mover.ok()) {
      plan->skipped.push_back({path.label, mover.status().message()});
      continue;
    }
    for (Row& row : RowsOf(path, arguments)) {
      const auto measure = [mover = mover->get(), row, first = true](double seconds) mutable {
        return mover->Measure(row, seconds, std::exchange(first, false));
      };
      Item item{row, measure};
      plan->items.push_back(std::move(item));
      rows.push_back(std::move(row));
    }
    plan->movers.push_back(std::move(*mover));
  }
  if (rows.empty())
    return Status(SLIPWAY_E_NO_ROUTE, "nothing to measure: " + (plan->skipped.empty() ? "no transport is configured"
                                                                                      : plan->skipped[0].what + ": " +
                                                                                            plan->skipped[0].why));
  AddCopies(rows, *plan);
  SLIPWAY_RETURN_IF_ERROR(AddRawSockets(rows, *plan));
  if (arguments.peers)
    for (Item& item : PeerItems(rows, &plan->skipped)) plan->items.push_back(std::move(item));
  SortByCase(plan->items);
  return plan;
}

}  // namespace slipway::cli::bench
