#include "tools/conform/session.h"

#include <algorithm>

#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

std::unique_ptr<PeerSide> PeerFor(const Context& c, const SessionOptions& o) {
  return o.in_process || !c.cross_process() ? MakeLocalPeer(c, o.shape) : SpawnPeer(c);
}
unsigned long long U(uint64_t n) { return n; }

}  // namespace

const char* OpName(uint32_t op) { return op == SLIPWAY_OP_READ ? "READ" : "WRITE"; }

Session::Session(const Context& context, const SessionOptions& o) : Session(context, o, PeerFor(context, o)) {}

Session::Session(const Context& context, const SessionOptions& o, std::unique_ptr<PeerSide> other)
    : c(context), options(o), me(context, context.profile().config, o.shape), peer(std::move(other)) {
  local = NewLocal(o.local_bytes);
  segment = peer->Register(o.remote_bytes, SLIPWAY_ACCESS_ALL, kRemoteSeed);
  channel = me.OpenChannel(this);
  link = Connect(peer->Address());
  remote = Import(link, segment.blob);
}

LocalMemory Session::NewLocal(uint64_t bytes) {
  LocalMemory m;
  m.buffer = std::make_unique<Buffer>(bytes);
  FillPattern(m.data(), bytes, kLocalSeed);
  if (me.Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) {
    m.mr = me.Register(m.data(), bytes, SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE);
  }
  return m;
}

slipway_peer* Session::Connect(const std::string& address) {
  Report report;
  slipway_peer* made = nullptr;
  const GuardedBytes bytes(address);
  slipway_status s = t().connect(me.get(), bytes.data(), bytes.size(), &made, report.c());
  Require(s == SLIPWAY_OK && made != nullptr, "connect: %s", report.Say(s).c_str());
  const Deadline deadline(c.limits().op_timeout_ms);
  while ((s = t().peer_ready(made, report.c())) == SLIPWAY_IN_PROGRESS) {
    Require(!deadline.over(), "peer_ready still says IN_PROGRESS after %llu ms", U(c.limits().op_timeout_ms));
    Poll();
    Breathe();
  }
  Require(s == SLIPWAY_OK, "peer_ready: %s", report.Say(s).c_str());
  return made;
}

slipway_remote* Session::Import(slipway_peer* from, const std::string& blob) {
  Report report;
  slipway_remote* made = nullptr;
  const GuardedBytes bytes(blob);
  const slipway_status s = t().import_mr(from, bytes.data(), bytes.size(), &made, report.c());
  Require(s == SLIPWAY_OK && made != nullptr, "import_mr: %s", report.Say(s).c_str());
  return made;
}

std::vector<uint32_t> Session::Ops() const {
  std::vector<uint32_t> ops;
  if (me.Has(SLIPWAY_CAP_WRITE)) ops.push_back(SLIPWAY_OP_WRITE);
  if (me.Has(SLIPWAY_CAP_READ)) ops.push_back(SLIPWAY_OP_READ);
  return ops;
}

slipway_slice Session::Slice(uint64_t token, uint32_t op, uint64_t local_offset, uint64_t remote_offset,
                             uint64_t length) const {
  slipway_slice s{};
  s.token = token;
  s.op = op;
  s.local_addr = local.data() + local_offset;
  s.length = length;
  s.local_mr = local.mr;
  s.remote = remote;
  s.remote_offset = remote_offset;
  return s;
}

slipway_status Session::TrySubmit(const slipway_slice& slice, uint32_t* accepted, Report* report) {
  // With the stride of the shape, so that slices of a longer revision are understood.
  const size_t stride = sizeof(slice) + (options.shape == Shape::kNewer ? kNewerBytes : 0);
  const GuardedBytes room(stride);
  std::memset(room.data(), kNewerFill, stride);
  std::memcpy(room.data(), &slice, sizeof(slice));
  uint32_t taken = 0xFFFFFFFF;
  Report own;
  const slipway_status s = t().submit(channel, reinterpret_cast<const slipway_slice*>(room.data()),
                                      static_cast<uint32_t>(stride), 1, &taken, (report ? report : &own)->c());
  Require(taken <= 1, "submit of one slice set *accepted to %u", taken);
  if (accepted != nullptr) *accepted = taken;
  return s;
}

void Session::SubmitOn(slipway_channel* ch, const slipway_slice& slice, std::vector<slipway_completion>& polled) {
  const Deadline deadline(c.limits().op_timeout_ms);
  for (;;) {
    Report report;
    uint32_t accepted = 0;
    const slipway_status s = options.shape == Shape::kPlain
                                 ? t().submit(ch, &slice, sizeof(slice), 1, &accepted, report.c())
                                 : TrySubmit(slice, &accepted, &report);
    if (s == SLIPWAY_OK && accepted == 1) return;
    Require(s == SLIPWAY_E_AGAIN, "submit of a valid slice (%s of %llu bytes): %s, accepted %u", OpName(slice.op),
            U(slice.length), report.Say(s).c_str(), accepted);
    Require(accepted == 0, "submit said E_AGAIN and accepted %u", accepted);
    Require(!deadline.over(), "submit says E_AGAIN for %llu ms although completions are polled",
            U(c.limits().op_timeout_ms));
    if (PollOn(ch, polled) == 0) Breathe();
  }
}

uint32_t Session::PollOn(slipway_channel* ch, std::vector<slipway_completion>& polled) {
  constexpr uint32_t kMax = 64;
  const uint32_t stride = sizeof(slipway_completion) + (options.shape == Shape::kNewer ? kNewerBytes : 0);
  char room[kMax * (sizeof(slipway_completion) + kNewerBytes)];
  uint32_t n = 0xFFFFFFFF;
  if (ch == nullptr) return 0;
  const slipway_status s = t().poll(ch, reinterpret_cast<slipway_completion*>(room), stride, kMax, &n);
  Require(s == SLIPWAY_OK, "poll: %s", StatusName(s).c_str());
  Require(n <= kMax, "poll was given room for %u completions and set *n to %u", kMax, n);
  for (uint32_t i = 0; i < n; ++i) {
    slipway_completion one;
    std::memcpy(&one, room + size_t{stride} * i, sizeof(one));
    polled.push_back(one);
  }
  if (n == 0 && peer != nullptr && peer->pid() == 0) peer->Progress();
  return n;
}

void Session::WaitOn(slipway_channel* ch, size_t n, std::vector<slipway_completion>& polled) {
  const Deadline deadline(c.limits().op_timeout_ms);
  uint32_t empty = 0;
  while (polled.size() < n) {
    if (PollOn(ch, polled) > 0) {
      empty = 0;
      continue;
    }
    Require(!deadline.over(), "%zu of %zu completions came within %llu ms", polled.size(), n,
            U(c.limits().op_timeout_ms));
    if (++empty > 200) Breathe();
  }
}

void Session::Transfer(uint32_t op, uint64_t local_offset, uint64_t remote_offset, uint64_t length) {
  const uint64_t token = c.seed ^ (local_offset << 32) ^ length;
  Submit(Slice(token, op, local_offset, remote_offset, length));
  WaitFor(1);
  Require(done.size() == 1, "one slice was submitted and %zu completions came", done.size());
  const slipway_completion r = done[0];
  done.clear();
  Require(r.token == token, "the completion's token is not the slice's");
  if (r.status != SLIPWAY_OK) {
    Report report;
    t().peer_ready(link, report.c());
    Fail("%s of %llu bytes completed with %s, native %d; the peer says: %s", OpName(op), U(length),
         StatusName(r.status).c_str(), r.native, report.Say(r.status).c_str());
  }
  Require(r.bytes == length, "%s of %llu bytes completed with OK and bytes = %llu", OpName(op), U(length), U(r.bytes));
}

uint32_t Session::Flood(uint32_t op, uint64_t length, uint32_t at_most, uint64_t first_token) {
  const uint64_t room = std::min(options.local_bytes, options.remote_bytes) / length;
  uint32_t n = 0;
  for (; n < at_most && n < room; ++n) {
    uint32_t accepted = 0;
    Report report;
    const slipway_status s = TrySubmit(Slice(first_token + n, op, n * length, n * length, length), &accepted, &report);
    if (s == SLIPWAY_E_AGAIN) break;
    Require(s == SLIPWAY_OK && accepted == 1, "submit of a valid slice: %s", report.Say(s).c_str());
  }
  return n;
}

void Session::Close() {
  slipway_status s = t().channel_close(channel);
  Require(s == SLIPWAY_OK, "channel_close with nothing in flight: %s", StatusName(s).c_str());
  channel = nullptr;
  s = t().release_remote(remote);
  Require(s == SLIPWAY_OK, "release_remote with nothing in flight: %s", StatusName(s).c_str());
  s = t().disconnect(link);
  Require(s == SLIPWAY_OK, "disconnect of an idle peer: %s", StatusName(s).c_str());
  if (local.mr != nullptr) me.Deregister(local.mr);
  local.mr = nullptr;
  me.Destroy();
}

}  // namespace slipway::conform
