// Concurrency: what the thread tags of the contract allow at the same time.
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

unsigned long long U(uint64_t n) { return n; }

// Traffic of one thread on a channel of its own, in a stripe of its own of both sides.
void Traffic(Session& s, slipway_channel* channel, uint64_t stripe_start, uint64_t stripe, uint64_t rounds,
             uint64_t seed, const std::atomic<bool>* stop = nullptr) {
  Random random(seed);
  const std::vector<uint32_t> ops = s.Ops();
  std::vector<slipway_completion> done;
  constexpr uint64_t kDepth = 4;
  const uint64_t piece = stripe / kDepth;
  for (uint64_t round = 0; round < rounds && (stop == nullptr || !stop->load()); ++round) {
    uint64_t length[kDepth];
    for (uint64_t i = 0; i < kDepth; ++i) {
      length[i] = 1 + random.Below(piece);
      length[i] += (s.me.attrs().length_align - length[i] % s.me.attrs().length_align) % s.me.attrs().length_align;
      if (length[i] > piece || length[i] > s.me.attrs().max_slice_bytes) length[i] = s.me.attrs().length_align;
      const uint64_t at = stripe_start + i * piece;
      s.SubmitOn(channel, s.Slice(stripe_start + i, ops[(round + i) % ops.size()], at, at, length[i]), done);
    }
    s.WaitOn(channel, kDepth, done);
    for (const slipway_completion& d : done) {
      Require(d.token >= stripe_start && d.token < stripe_start + kDepth,
              "a channel got the completion of token %llu, which was submitted on another", U(d.token));
      Require(d.status == SLIPWAY_OK && d.bytes == length[d.token - stripe_start],
              "while other threads work, a slice completed with %s and %llu bytes", StatusName(d.status).c_str(),
              U(d.bytes));
    }
    done.clear();
  }
}

// Both sides of the session hold the same bytes, so transfers in place must not change anything.
void MakeEqual(Session& s) {
  FillPattern(s.local.data(), s.options.local_bytes, 99);
  s.peer->Fill(s.segment.id, 0, s.options.remote_bytes, 99);
}
void ExpectEqual(Session& s) {
  const size_t wrong = FirstDifference(s.local.data(), s.options.local_bytes, 99);
  Require(wrong == s.options.local_bytes, "byte %zu of the local memory was changed by another thread's transfer",
          wrong);
  Require(s.peer->Hash(s.segment.id, 0, s.options.remote_bytes) == Sha256Hex(s.local.data(), s.options.local_bytes),
          "the remote memory was changed by another thread's transfer");
}

void Channels(Context& c) {
  Session s(c);
  MakeEqual(s);
  const uint32_t n = std::min<uint32_t>(4, s.me.attrs().max_channels);
  std::vector<slipway_channel*> channels = {s.channel};
  while (channels.size() < n) channels.push_back(s.me.OpenChannel(nullptr));
  const uint64_t stripe = s.options.local_bytes / 4;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < n; ++i) {
    threads.emplace_back([&, i] { Traffic(s, channels[i], i * stripe, stripe, 150, c.seed + i); });
  }
  for (std::thread& t : threads) t.join();
  ExpectEqual(s);
  for (uint32_t i = 1; i < n; ++i) {
    const slipway_status status = c.t->channel_close(channels[i]);
    Require(status == SLIPWAY_OK, "channel_close: %s", StatusName(status).c_str());
  }
}

void RegVsSubmit(Context& c) {
  Session s(c);
  MakeEqual(s);
  const Buffer other(1 << 20, c.exposed());
  std::atomic<bool> stop{false};
  const auto storm = [&](uint64_t seed, uint64_t from, uint64_t bytes) {
    Random random(seed);
    while (!stop) {
      const uint64_t offset = from + random.Below(bytes / 2), length = 1 + random.Below(bytes / 2);
      slipway_mr* mr = s.me.Register(other.data() + offset, length);
      if (const uint32_t access = s.me.NeedyAccess(); access != 0) {
        const Answer a = s.me.Query(other.data() + offset, length, access);
        Require(a.state == SLIPWAY_REG_FULL, "a range just registered is %s while other threads work",
                StateName(a.state));
      }
      s.me.Deregister(mr);
    }
  };
  // Without REG_THREADSAFE these are control calls: one thread makes them all.
  const unsigned n = s.me.Has(SLIPWAY_CAP_REG_THREADSAFE) ? 2 : 1;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < n; ++i) threads.emplace_back(storm, c.seed + i, i * (512 << 10), 512 << 10);
  threads.emplace_back([&] {
    while (!stop) s.me.Query(s.local.data(), 65536, SLIPWAY_ACCESS_ALL);
  });
  Traffic(s, s.channel, 0, s.options.local_bytes, 300, c.seed);
  stop = true;
  for (std::thread& t : threads) t.join();
  ExpectEqual(s);
}

void Segments(Context& c) {
  Session s(c);
  MakeEqual(s);
  const Segment extra = s.peer->Register(65536, SLIPWAY_ACCESS_ALL, 5);
  slipway_channel* second = s.me.OpenChannel(nullptr);
  std::atomic<bool> stop{false};
  std::thread traffic([&] { Traffic(s, second, 0, s.options.local_bytes / 2, UINT64_MAX, c.seed, &stop); });
  // This thread is the control thread.
  for (int i = 0; i < 200; ++i) {
    slipway_remote* one = s.Import(s.link, extra.blob);
    slipway_remote* two = s.Import(s.link, s.segment.blob);
    Require(one != two && two != s.remote, "two imports have the same handle");
    for (slipway_remote* r : {one, two}) {
      const slipway_status status = c.t->release_remote(r);
      Require(status == SLIPWAY_OK, "release_remote of an idle import: %s", StatusName(status).c_str());
    }
  }
  stop = true;
  traffic.join();
  ExpectEqual(s);
}

void HostCallbacks(Context& c) {
  SessionOptions options;
  options.in_process = true;
  Session s(c, options);
  const Buffer memory(65536, c.exposed());
  for (int i = 0; i < 100; ++i) {
    slipway_mr* mr = s.me.Register(memory.data(), memory.size());
    s.me.Query(memory.data(), memory.size(), SLIPWAY_ACCESS_ALL);
    s.me.Query(memory.data() - 1, 10, SLIPWAY_ACCESS_ALL);
    s.me.Query(nullptr, 0, 0);
    s.Transfer(s.Ops()[0], 0, 0, 4096);
    s.me.Deregister(mr);
  }
  s.Flood(s.Ops()[0], 16384, 32);
  s.me.Destroy();
  const uint64_t calls = s.me.host().calls();
  const Deadline watch(100);
  while (!watch.over()) Breathe();
  const std::vector<std::string> wrong = s.me.host().Violations();
  Require(wrong.empty(), "the host was called when it must not be: %s", Join(wrong).c_str());
  Require(s.me.host().calls() == calls, "the host was called after destroy returned");
}

constexpr Case kCases[] = {
    {"conc.channels", Level::kMust, Kind::kTransport, 0, true, false, "channels work in parallel, each for itself",
     Channels},
    {"conc.reg-vs-submit", Level::kCapability, Kind::kTransport, 0, true, false,
     "registering and asking go on under traffic", RegVsSubmit},
    {"conc.segments", Level::kMust, Kind::kTransport, 0, true, false, "imports come and go under traffic", Segments},
    {"conc.host-callbacks", Level::kMust, Kind::kTransport, 0, false, false,
     "the host is not called from queries, nor after destroy", HostCallbacks},
};

}  // namespace

std::span<const Case> ConcurrencyCases() { return kCases; }

}  // namespace slipway::conform
