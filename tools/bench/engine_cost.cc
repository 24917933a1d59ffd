// slipway-engine-cost: what the engine itself costs, by fixed workloads that move almost nothing.
//
// Local writes, or reads, between two buffers of one process, through local-memcpy: what takes time is the path from
// submission to completion. The workload is fixed, so that instructions can be counted (valgrind --tool=callgrind) as
// well as time.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "slipway/engine.hpp"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kPageBytes = 4096;

struct Settings {
  uint64_t bytes = 64;    // of a request
  uint64_t batch = 1024;  // requests in a batch
  uint64_t batches = 1000;
  uint64_t shift = 0;  // bytes into a page, at which the local side begins
  int rounds = 5;
  int threads = 1;
  bool read = false;
};

struct Cost {
  double slice_ns = 0;  // the median of the rounds
  double low_ns = 0, high_ns = 0;
};

Result<Cost> Measure(const Settings& settings) {
  auto engine = Engine::FromJson(R"({"transports": [{"name": "local-memcpy"}]})");
  if (!engine.ok()) return engine.status();
  const auto threads = static_cast<uint64_t>(settings.threads);
  const uint64_t part = settings.bytes * settings.batch, bytes = part * threads;
  // Both begin at a page where nothing else is said: how two buffers lie to each other is felt by memcpy.
  const auto memory = [](uint64_t length) {
    const uint64_t whole = (length + kPageBytes - 1) / kPageBytes * kPageBytes;
    return std::unique_ptr<std::byte, decltype(&std::free)>(
        static_cast<std::byte*>(std::aligned_alloc(kPageBytes, whole)), &std::free);
  };
  const auto here_memory = memory(bytes + settings.shift), there_memory = memory(bytes);
  if (here_memory == nullptr || there_memory == nullptr) return Status(SLIPWAY_E_NOMEM, "no memory for the buffers");
  const std::span<std::byte> here(here_memory.get() + settings.shift, bytes), there(there_memory.get(), bytes);
  const std::span<std::byte>&from = settings.read ? there : here, &to = settings.read ? here : there;
  std::memset(to.data(), 0, bytes);
  for (uint64_t i = 0; i < bytes; ++i) from[i] = static_cast<std::byte>(i * 2654435761u >> 13);
  const std::array spans = {slipway_span{there.data(), there.size()}};
  SLIPWAY_RETURN_IF_ERROR(engine->Publish("there", spans));
  const auto segment = engine->Open("/there");
  if (!segment.ok()) return segment.status();
  std::vector<std::vector<Request>> requests(threads);
  for (uint64_t i = 0; i < settings.batch * threads; ++i) {
    const uint64_t at = i * settings.bytes;
    requests[i / settings.batch].push_back(settings.read
                                               ? ReadRequest(*segment, at, here.data() + at, settings.bytes)
                                               : WriteRequest(*segment, at, here.data() + at, settings.bytes));
  }
  const auto times = [&](uint64_t thread, uint64_t n) -> Status {
    for (uint64_t i = 0; i < n; ++i) {
      auto batch = engine->Submit(requests[thread]);
      if (!batch.ok()) return batch.status();
      SLIPWAY_RETURN_IF_ERROR(batch->Wait());
    }
    return {};
  };
  // All threads, the calling one the first, begin together; how long it takes until all have done `n` batches.
  const auto measure = [&](uint64_t n) -> Result<double> {
    std::vector<Status> ended(threads);
    std::vector<Clock::time_point> begun(threads), done(threads);
    std::barrier together(settings.threads);
    const auto run = [&](uint64_t thread) {
      ended[thread] = times(thread, 3);  // connects
      together.arrive_and_wait();
      begun[thread] = Clock::now();
      if (ended[thread].ok()) ended[thread] = times(thread, n);
      done[thread] = Clock::now();
    };
    std::vector<std::thread> others;
    for (uint64_t t = 1; t < threads; ++t) others.emplace_back(run, t);
    run(0);
    for (std::thread& t : others) t.join();
    for (const Status& status : ended) SLIPWAY_RETURN_IF_ERROR(status);
    const auto spent = *std::max_element(done.begin(), done.end()) - *std::min_element(begun.begin(), begun.end());
    return std::chrono::duration<double, std::nano>(spent).count();
  };
  const auto first = measure(1);
  if (!first.ok()) return first.status();
  if (std::memcmp(from.data(), to.data(), bytes) != 0) return Status(SLIPWAY_E_INTERNAL, "the bytes differ");
  std::vector<double> rounds;
  for (int round = 0; round < settings.rounds; ++round) {
    const auto spent = measure(settings.batches);
    if (!spent.ok()) return spent.status();
    rounds.push_back(*spent / static_cast<double>(settings.batches * settings.batch * threads));
  }
  std::sort(rounds.begin(), rounds.end());
  return Cost{rounds[rounds.size() / 2], rounds.front(), rounds.back()};
}

int Main(int argc, char** argv) {
  CLI::App app("Measures what the engine costs a slice, by local writes or reads.", "slipway-engine-cost");
  Settings settings;
  app.add_option("--bytes", settings.bytes, "Of one request")->check(CLI::Range(1.0, 1e9));
  app.add_option("--batch", settings.batch, "Requests in a batch")->check(CLI::Range(1, 65536));
  app.add_option("--batches", settings.batches, "In a round")->check(CLI::Range(1, 100000000));
  app.add_option("--shift", settings.shift, "Bytes into a page, at which the local memory begins")
      ->check(CLI::Range(0, 4095));
  app.add_flag("--read", settings.read, "Reads");
  app.add_option("--rounds", settings.rounds, "Of which the median is shown")->check(CLI::Range(1, 99));
  app.add_option("--threads", settings.threads, "That submit at once, each its own batches")->check(CLI::Range(1, 256));
  CLI11_PARSE(app, argc, argv);
  const auto cost = Measure(settings);
  if (!cost.ok()) {
    std::fprintf(stderr, "slipway-engine-cost: %s: %s\n", slipway_status_name(cost.status().code()),
                 cost.status().message().c_str());
    return 1;
  }
  std::printf("{\"bytes\": %llu, \"batch\": %llu, \"slice_ns\": %.1f, \"low_ns\": %.1f, \"high_ns\": %.1f}\n",
              static_cast<unsigned long long>(settings.bytes), static_cast<unsigned long long>(settings.batch),
              cost->slice_ns, cost->low_ns, cost->high_ns);
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) { return slipway::Main(argc, argv); }
