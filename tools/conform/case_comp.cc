// Submitting and completing: what is accepted completes, once, and says truly how.
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/session.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

unsigned long long U(uint64_t n) { return n; }

// No completion may come when nothing is in flight.
void ExpectSilence(Session& s) {
  const size_t before = s.done.size();
  for (int i = 0; i < 500; ++i) s.Poll();
  Require(s.done.size() == before, "%zu completions came when nothing was in flight", s.done.size() - before);
}

void ExactlyOnce(Context& c) {
  Session s(c);
  const std::vector<uint32_t> ops = s.Ops();
  Random random(c.seed);
  constexpr uint64_t kTokens = 2000, kPieces = 64, kPiece = 4096;
  std::map<uint64_t, int> seen;
  const auto account = [&] {
    for (const slipway_completion& d : s.done) {
      Require(d.token >= 1 && d.token <= kTokens, "a completion with token %llu, which was never accepted", U(d.token));
      Require(++seen[d.token] == 1, "token %llu completed twice", U(d.token));
    }
    s.done.clear();
  };
  std::vector<slipway_slice> batch;
  for (uint64_t token = 1; token <= kTokens;) {
    batch.clear();
    const uint64_t n = 1 + random.Below(std::min<uint64_t>(16, s.me.attrs().max_submit_batch));
    for (uint64_t i = 0; i < n && token + i <= kTokens; ++i) {
      const uint64_t at = (token + i) % kPieces * kPiece;
      batch.push_back(s.Slice(token + i, ops[0], at, at, kPiece));
    }
    // A suffix that is refused: it must not complete.
    const bool spoiled = random.OneIn(4);
    if (spoiled) batch.push_back(s.Slice(kTokens + 5, ops[0], 0, s.options.remote_bytes, kPiece));
    uint32_t accepted = 0;
    Report report;
    const slipway_status status = c.t->submit(s.channel, batch.data(), sizeof(batch[0]),
                                              static_cast<uint32_t>(batch.size()), &accepted, report.c());
    Require(accepted <= batch.size() - (spoiled ? 1 : 0), "a slice beyond the remote's end was accepted");
    Require(status == SLIPWAY_OK || status == SLIPWAY_E_AGAIN || spoiled, "submit: %s", report.Say(status).c_str());
    Require(status != SLIPWAY_OK || accepted > 0, "submit said OK and accepted nothing");
    token += accepted;
    s.Poll();
    account();
  }
  const Deadline deadline(c.limits().op_timeout_ms);
  while (seen.size() < kTokens && !deadline.over()) {
    if (s.Poll() == 0) Breathe();
    account();
  }
  Require(seen.size() == kTokens, "%zu of %llu accepted tokens completed", seen.size(), U(kTokens));
  ExpectSilence(s);
  s.Close();
}

void PrefixAccept(Context& c) {
  Session s(c);
  const uint32_t op = s.Ops()[0];
  const uint32_t n = std::min<uint32_t>({8, s.me.attrs().max_submit_batch, s.me.attrs().max_inflight_per_channel});
  for (uint32_t bad = 0; bad < n; ++bad) {
    std::vector<slipway_slice> batch;
    for (uint32_t i = 0; i < n; ++i) batch.push_back(s.Slice(100 + i, op, i * 4096, i * 4096, 4096));
    batch[bad].reserved = 1;
    uint32_t accepted = 0xFFFFFFFF;
    Report report;
    slipway_status status = c.t->submit(s.channel, batch.data(), sizeof(batch[0]), n, &accepted, report.c());
    uint32_t total = accepted;
    // A transport may be short of room before it comes to the bad one.
    while (status == SLIPWAY_OK && total < bad) {
      s.Poll();
      status = c.t->submit(s.channel, &batch[total], sizeof(batch[0]), n - total, &accepted, report.c());
      if (status == SLIPWAY_E_AGAIN) status = SLIPWAY_OK;
      total += accepted;
    }
    Require(total == bad, "slice %u of %u is invalid and %u were accepted before the error", bad, n, total);
    if (status == SLIPWAY_OK) {
      status = c.t->submit(s.channel, &batch[bad], sizeof(batch[0]), n - bad, &accepted, report.c());
      Require(accepted == 0, "an invalid slice was accepted");
    }
    Require(status == SLIPWAY_E_INVALID, "slice %u of %u is invalid: expected E_INVALID, got %s", bad, n,
            report.Say(status).c_str());
    Require(report.get().message[0] != '\0', "submit refused a slice without a message");
    s.WaitFor(bad);
    ExpectSilence(s);
    Require(s.done.size() == bad, "%u slices were accepted and %zu completed", bad, s.done.size());
    s.done.clear();
  }
}

void Backpressure(Context& c) {
  Session s(c);
  const uint32_t op = s.Ops()[0];
  const uint64_t max = s.me.attrs().max_inflight_per_channel;
  for (int round = 0; round < 3; ++round) {
    uint64_t in_flight = 0;
    for (;;) {
      uint32_t accepted = 0;
      Report report;
      const slipway_status status = s.TrySubmit(s.Slice(in_flight, op, 0, 0, 64), &accepted, &report);
      if (status == SLIPWAY_E_AGAIN) {
        Require(accepted == 0, "E_AGAIN with %u accepted", accepted);
        break;
      }
      Require(status == SLIPWAY_OK && accepted == 1, "submit: %s", report.Say(status).c_str());
      ++in_flight;
      Require(in_flight <= max, "%llu slices were accepted and none polled: attrs.max_inflight_per_channel is %llu",
              U(in_flight), U(max));
    }
    Require(in_flight > 0, "an idle channel says E_AGAIN");
    s.WaitFor(in_flight);
    Require(s.done.size() == in_flight, "%llu were accepted and %zu completed", U(in_flight), s.done.size());
    s.done.clear();
  }
  s.Transfer(op, 0, 0, 4096);
}

void PollMax(Context& c) {
  Session s(c);
  const uint32_t n = s.Flood(s.Ops()[0], 4096, std::min<uint32_t>(32, s.me.attrs().max_inflight_per_channel));
  constexpr uint32_t kStride = sizeof(slipway_completion) + 32;
  constexpr unsigned char kCanary = 0x3C;
  std::map<uint64_t, int> seen;
  const Deadline deadline(c.limits().op_timeout_ms);
  for (uint32_t round = 0; seen.size() < n; ++round) {
    Require(!deadline.over(), "%zu of %u completions came when they were polled a few at a time", seen.size(), n);
    const uint32_t max = round % 2 == 0 ? 1 : 3;
    const GuardedBytes room(kStride * max);
    std::memset(room.data(), kCanary, room.size());
    uint32_t got = 0;
    const slipway_status status =
        c.t->poll(s.channel, reinterpret_cast<slipway_completion*>(room.data()), kStride, max, &got);
    Require(status == SLIPWAY_OK && got <= max, "poll(max=%u): %s, n = %u", max, StatusName(status).c_str(), got);
    for (uint32_t i = 0; i < max; ++i) {
      const char* at = room.data() + kStride * i;
      for (uint32_t k = i < got ? sizeof(slipway_completion) : 0; k < kStride; ++k) {
        Require(static_cast<unsigned char>(at[k]) == kCanary, "poll with a stride of %u wrote %s", kStride,
                i < got ? "between two completions" : "where it reported no completion");
      }
      if (i >= got) continue;
      slipway_completion d;
      std::memcpy(&d, at, sizeof(d));
      Require(d.token >= 1 && d.token <= n && ++seen[d.token] == 1, "token %llu is wrong or came twice", U(d.token));
    }
    if (got == 0) s.peer->Progress();
  }
}

void BytesAndStatus(Context& c) {
  Session s(c);
  for (const uint32_t op : s.Ops()) {
    for (const uint64_t wanted : {1, 100, 4096, 65536}) {
      const uint64_t align = s.me.attrs().length_align, length = (wanted + align - 1) / align * align;
      s.Transfer(op, 0, 0, length);  // requires bytes == length
    }
  }
  // Slices that fail later than submit: the target is gone. A message or a status of the slice's own is fine.
  const slipway_status gone = s.peer->Deregister(s.segment.id);
  Require(gone == SLIPWAY_OK, "the peer cannot deregister an idle segment: %s", StatusName(gone).c_str());
  const uint32_t op = s.Ops()[0];
  uint32_t accepted = 0;
  Report report;
  const slipway_status status = s.TrySubmit(s.Slice(7, op, 0, 0, 4096), &accepted, &report);
  if (status != SLIPWAY_OK) {
    Require(status < 0 && accepted == 0, "a slice to a deregistered segment: %s", StatusName(status).c_str());
    return;
  }
  s.WaitFor(1);
  Require(s.done[0].token == 7 && s.done[0].status < 0, "a slice to a deregistered segment completed with %s",
          StatusName(s.done[0].status).c_str());
  Require(s.done[0].bytes <= 4096, "a slice of 4096 bytes completed with %s and %llu bytes",
          StatusName(s.done[0].status).c_str(), U(s.done[0].bytes));
}

// Waits for the sign that poll has work; false when it does not come.
class Waiter {
 public:
  Waiter(Context& c, Session& s) : c_(c), s_(s) {
    if (!s.me.Has(SLIPWAY_CAP_EVENT_FD)) return;
    fd_ = c.t->event_fd(s.channel);
    Require(fd_ >= 0, "caps has EVENT_FD and event_fd() gives %d", fd_);
  }
  void Arm() { seen_ = s_.me.host().Wakes(&s_); }
  bool Wait() const {
    const int timeout_ms = static_cast<int>(std::min<uint64_t>(c_.limits().op_timeout_ms, 3000));
    if (fd_ < 0) return s_.me.host().WaitForWake(&s_, seen_, static_cast<uint64_t>(timeout_ms));
    pollfd ready{fd_, POLLIN, 0};
    return poll(&ready, 1, timeout_ms) == 1;
  }
  const char* what() const { return fd_ >= 0 ? "event_fd() became readable" : "host->wake was called"; }

 private:
  Context& c_;
  Session& s_;
  int fd_ = -1;
  uint64_t seen_ = 0;
};

void WakeOrFd(Context& c) {
  Session s(c);
  Waiter waiter(c, s);
  const uint32_t op = s.Ops()[0];
  const uint64_t rounds = c.limits().wake_races;
  const uint64_t longest = std::min<uint64_t>(256 << 10, s.me.attrs().max_slice_bytes);
  const Deadline enough(c.limits().case_timeout_ms / 2);
  for (uint64_t i = 1; i <= rounds && !enough.over(); ++i) {
    // Everything is polled; from here on nobody looks until there is a sign.
    waiter.Arm();
    const uint64_t burst = 1 + i % 3, length = i % 16 == 0 ? longest : 64;  // short and long may go different ways
    for (uint64_t k = 0; k < burst; ++k) s.Submit(s.Slice(i, op, 0, 0, length));
    const Deadline deadline(c.limits().op_timeout_ms);
    while (s.done.size() < burst) {
      Require(waiter.Wait(), "round %llu: %llu slices are in flight, %zu completed, and not once %s: a wakeup was lost",
              U(i), U(burst), s.done.size(), waiter.what());
      Require(!deadline.over(), "round %llu: %s, and poll never has all completions", U(i), waiter.what());
      waiter.Arm();
      while (s.Poll() > 0) {
      }
    }
    s.done.clear();
  }
}

uint64_t Percentile99(std::vector<uint64_t>& ns) {
  if (ns.empty()) return 0;
  const auto at = ns.begin() + static_cast<ptrdiff_t>(ns.size() * 99 / 100);
  std::nth_element(ns.begin(), at, ns.end());
  return *at;
}

void Nonblocking(Context& c) {
  Session s(c);
  const uint32_t op = s.Ops()[0];
  const int pid = s.peer->pid();
  if (pid != 0) kill(pid, SIGSTOP);
  std::vector<uint64_t> submits, polls, queries;
  const auto time = [](std::vector<uint64_t>& ns, auto&& call) {
    const uint64_t start = MonotonicNs();
    call();
    ns.push_back(MonotonicNs() - start);
  };
  const uint64_t length = std::min<uint64_t>(65536, s.me.attrs().max_slice_bytes);
  size_t sent = 0;
  // Long enough for buffers on the way to fill up, short of the peer being given up.
  const Deadline end(400);
  while (!end.over()) {
    uint32_t accepted = 0;
    time(submits, [&] { s.TrySubmit(s.Slice(1, op, 0, 0, length), &accepted); });
    sent += accepted;
    time(polls, [&] { s.Poll(); });
    time(queries, [&] { s.me.Query(s.local.data(), 4096, SLIPWAY_ACCESS_ALL); });
    Breathe();
  }
  if (pid != 0) kill(pid, SIGCONT);
  s.WaitFor(sent);  // the memory goes with the session, so nothing may be left to use it
  const uint64_t limit = c.limits().call_p99_us * 1000;
  const uint64_t submit = Percentile99(submits), poll_ns = Percentile99(polls), query = Percentile99(queries);
  Require(submit <= limit && poll_ns <= limit && query <= limit,
          "with %s, 99 of 100 calls take up to: submit %llu us, poll %llu us, query %llu us; the limit is %llu us",
          pid != 0 ? "the peer stopped" : "a busy channel", U(submit / 1000), U(poll_ns / 1000), U(query / 1000),
          U(limit / 1000));
}

void UnknownFlag(Context& c) {
  Session s(c);
  const uint32_t op = s.Ops()[0];
  const auto refused = [&](const slipway_slice& slice, const std::string& what) {
    uint32_t accepted = 0xFFFFFFFF;
    Report report;
    const slipway_status status = s.TrySubmit(slice, &accepted, &report);
    Require(status == SLIPWAY_E_INVALID && accepted == 0, "a slice with %s: expected E_INVALID, got %s, accepted %u",
            what.c_str(), report.Say(status).c_str(), accepted);
  };
  for (uint32_t bit = 0; bit < 32; ++bit) {
    slipway_slice slice = s.Slice(1, op, 0, 0, 4096);
    slice.flags = 1u << bit;
    // Where slices say what their memory is, these may be kinds that the instance knows.
    if (s.me.Has(SLIPWAY_CAP_SLICE_KIND) && slice.flags <= SLIPWAY_SLICE_KIND_MASK) continue;
    refused(slice, Format("flags 0x%x", slice.flags));
  }
  for (const uint64_t reserved : {uint64_t{1}, uint64_t{1} << 63}) {
    slipway_slice slice = s.Slice(1, op, 0, 0, 4096);
    slice.reserved = reserved;
    refused(slice, "reserved not 0");
  }
  for (const uint32_t unknown : {0u, 3u, 0x80000000u})
    refused(s.Slice(1, unknown, 0, 0, 4096), Format("op %u", unknown));
  refused(s.Slice(1, op, 0, 0, 0), "length 0");
  slipway_slice slice = s.Slice(1, op, 0, 0, 4096);
  slice.local_addr = nullptr;
  refused(slice, "a NULL local_addr");
  slice = s.Slice(1, op, 0, 0, 4096);
  slice.remote = nullptr;
  refused(slice, "a NULL remote");
  ExpectSilence(s);
}

constexpr Case kCases[] = {
    {"comp.exactly-once", Level::kMust, Kind::kTransport, 0, true, false,
     "each accepted token completes once, a refused one never", ExactlyOnce},
    {"comp.prefix-accept", Level::kMust, Kind::kTransport, 0, true, false,
     "what comes before an invalid slice is accepted", PrefixAccept},
    {"comp.backpressure", Level::kMust, Kind::kTransport, 0, true, false,
     "a full channel says E_AGAIN, and goes on when it is polled", Backpressure},
    {"comp.poll-max", Level::kMust, Kind::kTransport, 0, true, false, "poll keeps to max and stride, and loses nothing",
     PollMax},
    {"comp.bytes-and-status", Level::kMust, Kind::kTransport, 0, true, false, "bytes is the length when OK, never more",
     BytesAndStatus},
    {"comp.wake-or-fd", Level::kCapability, Kind::kTransport, 0, true, false, "an idle poller is woken, every time",
     WakeOrFd},
    {"comp.nonblocking", Level::kMust, Kind::kTransport, 0, true, false,
     "submit, poll and query return at once, also with the peer stopped", Nonblocking},
    {"comp.unknown-flag", Level::kMust, Kind::kTransport, 0, true, false,
     "unknown flags, operations and reserved bits are refused", UnknownFlag},
};

}  // namespace

std::span<const Case> CompletionCases() { return kCases; }

}  // namespace slipway::conform
