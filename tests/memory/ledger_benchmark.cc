// What finding and removing a registration costs with many of them, without any plugin's own cost. Run it by hand on a
// quiet machine: ledger_benchmark --benchmark_repetitions=5.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <vector>

#include "core/memory/ledger.h"

namespace slipway {
namespace {

class NoCostRegistrar final : public Registrar {
 public:
  Result<slipway_mr*> RegisterMemory(const slipway_range&) override {
    return reinterpret_cast<slipway_mr*>(&only_);  // a handle is never looked into
  }
  Status DeregisterMemory(slipway_mr*) override { return {}; }

 private:
  char only_ = 0;
};

constexpr uint64_t kBytes = 4096, kStride = 2 * kBytes;
constexpr uintptr_t kFirst = uintptr_t{1} << 40;  // nothing is there, and nothing looks

// A ledger with `count` registrations, no two of which touch.
struct Filled {
  explicit Filled(int64_t count) : budget(0, counters), ledger(registrar, {}, budget, counters) {
    for (int64_t i = 0; i < count; ++i)
      all.push_back(
          *ledger.Register(reinterpret_cast<void*>(At(i)), kBytes, SLIPWAY_ACCESS_LOCAL_READ, SLIPWAY_MEM_HOST));
  }
  ~Filled() { ledger.Abandon(); }
  static uintptr_t At(int64_t i) { return kFirst + static_cast<uintptr_t>(i) * kStride; }
  // Any of them, each as likely as the others: no cache and no prefetcher knows which is next.
  int64_t Next() { return static_cast<int64_t>(random() % all.size()); }

  NoCostRegistrar registrar;
  Counters counters;
  PinBudget budget;
  Ledger ledger;
  std::minstd_rand random;  // cheap: it is measured too
  std::vector<std::vector<Registration*>> all;
};

void Find(benchmark::State& state) {
  Filled filled(state.range(0));
  for (auto _ : state) {
    const int64_t at = filled.Next();
    benchmark::DoNotOptimize(filled.ledger.CoverAt(Filled::At(at), kBytes, SLIPWAY_ACCESS_LOCAL_READ));
  }
}
BENCHMARK(Find)->Arg(1)->Arg(1'000)->Arg(50'000)->Arg(1'000'000);

void FindWithLease(benchmark::State& state) {
  Filled filled(state.range(0));
  for (auto _ : state) {
    const int64_t at = filled.Next();
    LocalCover cover = filled.ledger.CoverWithLease(Filled::At(at), kBytes, SLIPWAY_ACCESS_LOCAL_READ);
    filled.ledger.ReturnLease(static_cast<Registration*>(cover.registration));
  }
}
BENCHMARK(FindWithLease)->Arg(1)->Arg(1'000)->Arg(50'000)->Arg(1'000'000);

void RemoveAndAddOne(benchmark::State& state) {
  Filled filled(state.range(0));
  for (auto _ : state) {
    const int64_t at = filled.Next();
    std::vector<Registration*>& one = filled.all[static_cast<size_t>(at)];
    if (!filled.ledger.Deregister(one, 0).ok()) state.SkipWithError("not deregistered");
    auto again = filled.ledger.Register(reinterpret_cast<void*>(Filled::At(at)), kBytes, SLIPWAY_ACCESS_LOCAL_READ,
                                        SLIPWAY_MEM_HOST);
    one = std::move(*again);
  }
}
BENCHMARK(RemoveAndAddOne)->Arg(1)->Arg(1'000)->Arg(50'000)->Arg(1'000'000);

}  // namespace
}  // namespace slipway

BENCHMARK_MAIN();
