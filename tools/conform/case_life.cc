// Lifecycle: what making, quiescing and destroying leaves behind.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/plugin_file.h"
#include "tools/conform/session.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

Growth Allowed(const Context& c) {
  Growth g;
  g.rss_bytes = c.limits().rss_growth_bytes;
  return g;
}

void CreateDestroy(Context& c) {
  for (int i = 0; i < 5; ++i) Instance warm(c);
  const Usage before = Usage::Now();
  uint64_t leaked = 0;
  for (uint64_t i = 0; i < c.limits().cycles; ++i) {
    Instance instance(c);
    instance.Destroy();
    leaked += instance.host().live_allocations();
  }
  const std::string grown = Grown(before, Usage::Settled(before), Allowed(c));
  Require(grown.empty(), "after %llu times create and destroy %s", static_cast<unsigned long long>(c.limits().cycles),
          grown.c_str());
  Require(leaked == 0, "%llu allocations of the host's alloc were not returned before destroy returned",
          static_cast<unsigned long long>(leaked));
}

void TwoInstances(Context& c) {
  SessionOptions options;
  options.in_process = true;
  auto other =
      std::make_unique<Instance>(c, c.profile().second_config.empty() ? c.profile().config : c.profile().second_config);
  Session s(c, options);
  Require(other->get() != s.me.get(), "two instances have the same handle");
  const Buffer mine(8192, c.exposed());
  slipway_mr* mr = s.me.Register(mine.data(), mine.size());
  if (const uint32_t access = other->NeedyAccess(); access != 0) {
    const Answer a = other->Query(mine.data(), mine.size(), access);
    Require(a.state == SLIPWAY_REG_NONE, "memory that one instance registered is %s in another", StateName(a.state));
  }
  slipway_mr* its = other->Register(mine.data(), mine.size());
  other->Deregister(its);
  other.reset();
  if (const uint32_t access = s.me.NeedyAccess(); access != 0) {
    const Answer a = s.me.Query(mine.data(), mine.size(), access);
    Require(a.state == SLIPWAY_REG_FULL && a.mr == mr,
            "after another instance deregistered its own and was destroyed, the registration is %s",
            StateName(a.state));
  }
  for (const uint32_t op : s.Ops()) s.Transfer(op, 0, 0, 4096);
  s.me.Deregister(mr);
  s.Close();
}

void FailedCreate(Context& c) {
  const FakeHost host;
  const char bad[] = "{\"there-is-no-such-key\": [1, 2, 3]}";
  auto* const sentinel = reinterpret_cast<slipway_instance*>(uintptr_t{0x5A5A5A5A});
  Usage before;
  for (int i = 0; i < 60; ++i) {
    if (i == 10) before = Usage::Now();
    slipway_instance* out = sentinel;
    Report report;
    const slipway_status s = TryCreate(c, host, bad, sizeof(bad) - 1, &out, report);
    Require(s < 0, "create with an unknown key: %s", StatusName(s).c_str());
    Require(out == sentinel, "create failed and wrote to *out");
    slipway_attrs attrs;
    TryProbe(c, host, bad, sizeof(bad) - 1, attrs, report);
  }
  const std::string grown = Grown(before, Usage::Settled(before), Allowed(c));
  Require(grown.empty(), "after 50 failed creates %s", grown.c_str());
  Require(host.live_allocations() == 0, "a failed create keeps memory of the host's alloc");
  c.t->destroy(nullptr);
}

void QuiesceIdle(Context& c) {
  Instance instance(c);
  Report report;
  const uint64_t start = MonotonicNs();
  const slipway_status s = c.t->quiesce(instance.get(), c.limits().quiesce_timeout_ms * 1000000, report.c());
  Require(s == SLIPWAY_OK, "quiesce of an idle instance: %s", report.Say(s).c_str());
  Require(MonotonicNs() - start < (c.limits().quiesce_timeout_ms + 1000) * 1000000,
          "quiesce took longer than its timeout");
}

void QuiesceInflight(Context& c) {
  Session s(c);
  const uint32_t op = s.Ops()[0];
  const uint32_t n = s.Flood(op, 16384, std::min<uint32_t>(32, s.me.attrs().max_inflight_per_channel));
  Require(n > 0, "no slice was accepted by an idle channel");
  std::atomic<bool> started{false}, ended{false};
  slipway_status status = SLIPWAY_OK;
  Report report;
  std::thread control([&] {
    started = true;
    status = c.t->quiesce(s.me.get(), c.limits().quiesce_timeout_ms * 1000000, report.c());
    ended = true;
  });
  // Where slices only move inside poll, they are in flight until then: quiesce has the first word.
  while (!started) Breathe();
  const Deadline first(20);
  while (!ended && !first.over()) Breathe();
  while (!ended) s.Poll();
  control.join();
  Require(status == SLIPWAY_OK, "quiesce with %u in flight: %s", n, report.Say(status).c_str());
  const Deadline deadline(1000);
  while (s.done.size() < n && !deadline.over()) s.Poll();
  for (int i = 0; i < 100; ++i) s.Poll();
  Require(s.done.size() == n, "%u slices were in flight at quiesce, which said OK, and %zu completions came", n,
          s.done.size());
  for (const slipway_completion& d : s.done) {
    Require(d.status == SLIPWAY_OK || d.status == SLIPWAY_E_CANCELED, "a slice that was quiesced completed with %s",
            StatusName(d.status).c_str());
  }
  uint32_t accepted = 0;
  const slipway_status later = s.TrySubmit(s.Slice(999, op, 0, 0, 4096), &accepted);
  Require(later == SLIPWAY_E_CANCELED && accepted == 0, "submit after quiesce: expected E_CANCELED, got %s",
          StatusName(later).c_str());
}

void DestroyWithLiveObjects(Context& c) {
  for (int i = 0; i < 3; ++i) {
    Note("round %d", i);
    SessionOptions options;
    options.in_process = true;
    Session s(c, options);
    const Buffer more(1 << 16, c.exposed());
    s.me.Register(more.data(), more.size());
    s.me.OpenChannel(nullptr);
    s.Flood(s.Ops()[0], 4096, 16);
    s.me.Destroy();  // with everything alive and slices not polled
    // Nothing may touch the memory any more; it is given back and the canaries are looked at.
    Require(s.local.buffer->Overrun().empty(), "destroy wrote outside the local buffer");
    const std::vector<std::string> late = s.me.host().Violations();
    Require(late.empty(), "%s", Join(late).c_str());
  }
}

void ProbePure(Context& c) {
  const FakeHost host;
  Report report;
  slipway_attrs first;
  const std::string& json = c.profile().config;
  slipway_status s = TryProbe(c, host, json.data(), json.size(), first, report);
  Require(s == SLIPWAY_OK, "probe: %s", report.Say(s).c_str());
  const auto probes = [&](int n) {
    for (int i = 0; i < n; ++i) {
      slipway_attrs again;
      Report own;
      const slipway_status status = TryProbe(c, host, json.data(), json.size(), again, own);
      Require(status == SLIPWAY_OK, "a probe at the same time as others: %s", own.Say(status).c_str());
      Require(again.caps == first.caps && again.mem_kinds == first.mem_kinds &&
                  again.max_slice_bytes == first.max_slice_bytes && again.max_mrs == first.max_mrs &&
                  again.max_channels == first.max_channels &&
                  again.max_inflight_per_channel == first.max_inflight_per_channel,
              "two probes of the same configuration answer differently");
    }
  };
  const auto at_once = [&] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 5; ++i) threads.emplace_back(probes, 10);
    for (std::thread& t : threads) t.join();
  };
  at_once();
  const Usage before = Usage::Now();
  at_once();
  Growth allowed = Allowed(c);
  allowed.vmas = 32;  // the allocator's arenas of the threads
  const std::string grown = Grown(before, Usage::Settled(before), allowed);
  Require(grown.empty(), "after 50 probes at the same time %s", grown.c_str());
  Instance instance(c);
  Require(instance.attrs().caps == first.caps && instance.attrs().max_slice_bytes == first.max_slice_bytes,
          "probe promised other attributes than the instance has");
}

// A thread that used the plugin ends after the plugin was unloaded: its thread-local destructors must not be gone.
struct Unload {
  Context* c;
  pthread_barrier_t barrier;
};
void* UseThenEnd(void* arg) {
  auto* u = static_cast<Unload*>(arg);
  { Instance instance(*u->c); }
  pthread_barrier_wait(&u->barrier);  // used
  pthread_barrier_wait(&u->barrier);  // unloaded
  return nullptr;
}

void UnloadClean(Context& c) {
  Unload u{&c, {}};
  pthread_barrier_init(&u.barrier, nullptr, 2);
  pthread_t thread;
  Require(pthread_create(&thread, nullptr, UseThenEnd, &u) == 0, "the runner cannot start a thread");
  pthread_barrier_wait(&u.barrier);
  // The runner opened the file once; the second handle gives a second close.
  void* handle = dlopen(c.spec.plugin.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  Require(handle != nullptr, "the plugin is not loaded");
  Require(dlclose(handle) == 0 && dlclose(handle) == 0, "dlclose fails");
  pthread_barrier_wait(&u.barrier);
  pthread_join(thread, nullptr);
}

constexpr Case kCases[] = {
    {"life.create-destroy-x100", Level::kMust, Kind::kTransport, 0, false, false,
     "instances come and go without leaving anything", CreateDestroy},
    {"life.two-instances", Level::kMust, Kind::kTransport, 0, false, false, "two instances share nothing",
     TwoInstances},
    {"life.destroy-after-failed-create", Level::kMust, Kind::kTransport, 0, false, false,
     "a failed create leaves *out alone and nothing allocated", FailedCreate},
    {"life.quiesce-idle", Level::kMust, Kind::kTransport, 0, false, false,
     "quiesce of an idle instance returns OK in time", QuiesceIdle},
    {"life.quiesce-inflight", Level::kMust, Kind::kTransport, 0, true, false,
     "quiesce completes what is in flight, each once, and refuses the rest", QuiesceInflight},
    {"life.destroy-with-live-objects", Level::kMust, Kind::kTransport, 0, false, false,
     "destroy survives objects and slices that are left", DestroyWithLiveObjects},
    {"life.probe-pure", Level::kMust, Kind::kTransport, 0, false, false,
     "probe leaves nothing behind and always says the same", ProbePure},
    {"life.unload-clean", Level::kWarning, Kind::kTransport, 0, false, false,
     "threads that used the plugin end after it was unloaded", UnloadClean},
};

}  // namespace

std::span<const Case> LifeCases() { return kCases; }

}  // namespace slipway::conform
