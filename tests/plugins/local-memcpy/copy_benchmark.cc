// local-memcpy against memcpy, in one run: a slice through submit and poll, and the same bytes by memcpy. Bytes are
// checked after every case. The first argument is the size in bytes, the second the number of copying threads.
// "streaming" is the copying loop alone, on the calling thread.
#include <benchmark/benchmark.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "plugins/local-memcpy/copy.h"
#include "tests/support/plugin_driver.h"

namespace slipway::test {
namespace {

struct Buffers {
  explicit Buffers(size_t size) : from(size), to(size) {
    for (size_t i = 0; i < size; ++i) from[i] = static_cast<char>(i * 31 + i / 4096);
  }
  std::vector<char> from, to;
};

void Finish(benchmark::State& state, const Buffers& b) {
  if (b.from != b.to) state.SkipWithError("the bytes differ");
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(b.from.size()));
}

void Memcpy(benchmark::State& state) {
  Buffers b(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    std::memcpy(b.to.data(), b.from.data(), b.from.size());
    benchmark::ClobberMemory();
  }
  Finish(state, b);
}

void StreamingLoop(benchmark::State& state) {
  Buffers b(static_cast<size_t>(state.range(0)));
  const local_memcpy::Streaming how = local_memcpy::BestStreaming();
  for (auto _ : state) {
    local_memcpy::CopyStreaming(b.to.data(), b.from.data(), b.from.size(), how);
    benchmark::ClobberMemory();
  }
  state.SetLabel(local_memcpy::StreamingName(how));
  Finish(state, b);
}

void Slipway(benchmark::State& state) {
  Buffers b(static_cast<size_t>(state.range(0)));
  const slipway_transport& t = LoadTransport(PluginPath("local-memcpy"), "local-memcpy");
  TestHost host;
  std::atomic<uint32_t> wakes{0};
  host.on_wake = [&] {
    ++wakes;
    wakes.notify_one();
  };
  const std::string json = "{\"threads\": " + std::to_string(state.range(1)) + "}";
  const auto target = Node::Make(t, host, json), node = Node::Make(t, host, json);
  slipway_peer* const peer = node->Connect(target->Address());
  slipway_remote* const remote = node->Import(peer, target->Export(target->Register(b.to.data(), b.to.size())));
  const slipway_slice slice = node->Slice(SLIPWAY_OP_WRITE, b.from.data(), b.from.size(), remote, 0);
  for (auto _ : state) {
    uint32_t accepted = 0, n = 0;
    slipway_completion done{};
    const uint32_t before = wakes.load();
    t.submit(node->channel(), &slice, sizeof(slice), 1, &accepted, nullptr);
    t.poll(node->channel(), &done, sizeof(done), 1, &n);
    while (n == 0) {  // sleeps as the core does, so that the copying threads have the CPUs to themselves
      wakes.wait(before);
      t.poll(node->channel(), &done, sizeof(done), 1, &n);
    }
  }
  Finish(state, b);
}

constexpr int64_t kSizes[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20, 256 << 20};

const bool kRegistered = [] {
  for (const int64_t size : kSizes) {
    benchmark::RegisterBenchmark("memcpy", Memcpy)->Arg(size)->UseRealTime();
    if (size > 1 << 20) benchmark::RegisterBenchmark("streaming", StreamingLoop)->Arg(size)->UseRealTime();
    for (const int64_t threads : {1, 2}) {
      benchmark::RegisterBenchmark("local-memcpy", Slipway)->Args({size, threads})->UseRealTime();
    }
  }
  return true;
}();

}  // namespace
}  // namespace slipway::test

BENCHMARK_MAIN();
