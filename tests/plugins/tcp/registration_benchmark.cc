// What a plugin's query_registered costs with many registrations, and to deregister and register one of them, through
// the table that the core calls. The index is the SDK's, the same for every plugin; the rest of the second is this
// plugin's own. Run it by hand on a quiet machine: tcp_registration_benchmark --benchmark_repetitions=5.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "tests/plugins/tcp/harness.h"

namespace slipway::tcp {
namespace {

constexpr uint64_t kBytes = 4096, kStride = 2 * kBytes;
constexpr uintptr_t kFirst = uintptr_t{1} << 40;  // nothing is there, and nothing looks

// A node with `count` registrations, no two of which touch.
struct Filled {
  explicit Filled(int64_t count) : count(count) {
    for (int64_t i = 0; i < count; ++i) all.push_back(node.Register(At(i), kBytes));
  }
  static void* At(int64_t i) { return reinterpret_cast<void*>(kFirst + static_cast<uintptr_t>(i) * kStride); }
  // Any of them, each as likely as the others: no cache and no prefetcher knows which is next.
  int64_t Next() { return static_cast<int64_t>(random() % static_cast<uint64_t>(count)); }

  Node node;
  const int64_t count;
  std::minstd_rand random;  // cheap: it is measured too
  std::vector<slipway_mr*> all;
};

void Query(benchmark::State& state) {
  Filled filled(state.range(0));
  slipway_range range{sizeof(range), SLIPWAY_ACCESS_REMOTE_READ, nullptr, kBytes, SLIPWAY_MEM_HOST, -1, -1, 0};
  for (auto _ : state) {
    range.addr = Filled::At(filled.Next());
    slipway_reg_info info{sizeof(info)};
    Table().query_registered(filled.node.instance, &range, &info);
    if (info.state != SLIPWAY_REG_FULL) state.SkipWithError("not found");
  }
}
BENCHMARK(Query)->Arg(1)->Arg(1'000)->Arg(50'000)->Arg(1'000'000);

void QueryWhatIsNotRegistered(benchmark::State& state) {
  Filled filled(state.range(0));
  slipway_range range{sizeof(range), SLIPWAY_ACCESS_REMOTE_READ, nullptr, kBytes, SLIPWAY_MEM_HOST, -1, -1, 0};
  for (auto _ : state) {
    range.addr = static_cast<char*>(Filled::At(filled.Next())) + kBytes;
    slipway_reg_info info{sizeof(info)};
    Table().query_registered(filled.node.instance, &range, &info);
    if (info.state != SLIPWAY_REG_NONE) state.SkipWithError("found");
  }
}
BENCHMARK(QueryWhatIsNotRegistered)->Arg(1)->Arg(1'000)->Arg(50'000)->Arg(1'000'000);

void DeregisterAndRegisterOne(benchmark::State& state) {
  Filled filled(state.range(0));
  for (auto _ : state) {
    const int64_t i = filled.Next();
    slipway_mr*& mr = filled.all[static_cast<size_t>(i)];
    if (Table().deregister_memory(filled.node.instance, mr) != SLIPWAY_OK) state.SkipWithError("not deregistered");
    mr = filled.node.Register(Filled::At(i), kBytes);
  }
}
BENCHMARK(DeregisterAndRegisterOne)->Arg(1)->Arg(1'000)->Arg(50'000)->Arg(1'000'000);

}  // namespace
}  // namespace slipway::tcp

BENCHMARK_MAIN();
