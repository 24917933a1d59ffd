// Failure: cancelling, peers that die or come back, hostile bytes, and a fork.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/session.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

unsigned long long U(uint64_t n) { return n; }

void CancelInflight(Context& c) {
  SessionOptions options;
  options.local_bytes = options.remote_bytes = 8 << 20;
  Session s(c, options);
  const uint32_t op = s.Ops().back();  // READ, where there is one: it writes local memory
  const uint64_t piece = std::min<uint64_t>(128 << 10, s.me.attrs().max_slice_bytes);
  const int pid = s.peer->pid();
  if (pid != 0) kill(pid, SIGSTOP);  // so that there is something left to cancel
  const uint32_t n = s.Flood(op, piece, 32);
  for (uint32_t token = 1; token <= n; token += 2) {
    const slipway_status status = c.t->cancel(s.channel, token);
    Require(status == SLIPWAY_OK, "cancel of a slice in flight: %s", StatusName(status).c_str());
  }
  if (pid != 0) kill(pid, SIGCONT);
  s.WaitFor(n);
  std::set<uint64_t> seen;
  std::vector<uint64_t> canceled;
  for (const slipway_completion& d : s.done) {
    Require(seen.insert(d.token).second, "token %llu completed twice", U(d.token));
    Require(d.status == SLIPWAY_OK || d.status == SLIPWAY_E_CANCELED, "a slice completed with %s after a cancel",
            StatusName(d.status).c_str());
    Require(d.status == SLIPWAY_OK || d.token % 2 == 1, "a slice that nobody canceled completed with E_CANCELED");
    if (d.status == SLIPWAY_E_CANCELED) canceled.push_back(d.token);
  }
  // From CANCELED on the local memory is the caller's.
  for (const uint64_t token : canceled) std::memset(s.local.data() + (token - 1) * piece, 0x6B, piece);
  const Deadline watch(c.limits().cancel_watch_ms);
  while (!watch.over()) {
    s.Poll();
    Breathe();
  }
  for (const uint64_t token : canceled) {
    const char* at = s.local.data() + (token - 1) * piece;
    for (uint64_t i = 0; i < piece; ++i) {
      Require(at[i] == 0x6B, "byte %llu of a canceled slice's local memory was written after its completion", U(i));
    }
  }
  Require(s.done.size() == n, "%u tokens were accepted and %zu completions came", n, s.done.size());
  s.done.clear();
  s.Transfer(op, 0, 0, 4096);
}

void CancelUnknown(Context& c) {
  if (c.t->cancel == nullptr) return;  // allowed without CAP_CANCEL
  Session s(c);
  const auto cancel = [&](uint64_t token, const char* what) {
    const slipway_status status = c.t->cancel(s.channel, token);
    Require(status == SLIPWAY_OK || (status == SLIPWAY_E_UNSUPPORTED && !s.me.Has(SLIPWAY_CAP_CANCEL)),
            "cancel of %s: expected OK, got %s", what, StatusName(status).c_str());
  };
  cancel(1, "a token that never was");
  cancel(UINT64_MAX, "a token that never was");
  s.Submit(s.Slice(5, s.Ops()[0], 0, 0, 4096));
  s.WaitFor(1);
  Require(s.done[0].token == 5 && s.done[0].status == SLIPWAY_OK, "a slice completed with %s",
          StatusName(s.done[0].status).c_str());
  cancel(5, "a token that completed");
  cancel(5, "a token that completed, again");
  s.done.clear();
  for (int i = 0; i < 200; ++i) s.Poll();
  Require(s.done.empty(), "cancelling a token that completed brought a completion");
  s.Transfer(s.Ops()[0], 0, 0, 4096);
}

void PeerSigkill(Context& c) {
  Session s(c);
  const std::unique_ptr<PeerSide> second = SpawnPeer(c);
  const Segment its = second->Register(65536, SLIPWAY_ACCESS_ALL, 8);
  slipway_peer* its_link = s.Connect(second->Address());
  slipway_remote* its_remote = s.Import(its_link, its.blob);
  const uint32_t op = s.Ops()[0];
  s.Transfer(op, 0, 0, 4096);

  kill(s.peer->pid(), SIGSTOP);
  const uint32_t n = s.Flood(op, 65536, std::min<uint32_t>(16, s.me.attrs().max_inflight_per_channel));
  s.peer->Kill();
  const uint64_t start = MonotonicNs(), bound_ms = s.me.attrs().peer_timeout_ms + 1000;
  const Deadline deadline(bound_ms);
  while (s.done.size() < n && !deadline.over()) {
    if (s.Poll() == 0) Breathe();
  }
  Require(s.done.size() == n,
          "%u slices were in flight to a peer that was killed, and %zu completed within %llu ms "
          "(attrs.peer_timeout_ms is %u)",
          n, s.done.size(), U((MonotonicNs() - start) / 1000000), s.me.attrs().peer_timeout_ms);
  for (const slipway_completion& d : s.done) {
    Require(d.status == SLIPWAY_OK || d.status == SLIPWAY_E_PEER,
            "a slice to a peer that was killed completed with %s, "
            "expected E_PEER",
            StatusName(d.status).c_str());
  }
  s.done.clear();
  // One after its death, too; and the peer says why. A peer on another host ends a little after it was killed.
  slipway_status status = SLIPWAY_OK;
  do {
    status = s.TrySubmit(s.Slice(77, op, 0, 0, 4096));
    if (status == SLIPWAY_OK) {
      s.WaitFor(1);
      status = s.done[0].status;
      s.done.clear();
    }
  } while (status == SLIPWAY_OK && !deadline.over());
  Require(status == SLIPWAY_E_PEER, "a slice to a peer that is dead: expected E_PEER, got %s",
          StatusName(status).c_str());
  Report report;
  status = c.t->peer_ready(s.link, report.c());
  Require(status < 0 && report.get().message[0] != '\0', "peer_ready of a dead peer: %s", report.Say(status).c_str());
  // The other peer never noticed.
  slipway_slice slice = s.Slice(3, op, 0, 0, 4096);
  slice.remote = its_remote;
  s.Submit(slice);
  s.WaitFor(1);
  Require(s.done[0].status == SLIPWAY_OK, "after one peer was killed, a slice to another completed with %s",
          StatusName(s.done[0].status).c_str());
}

void PeerRestart(Context& c) {
  Session s(c);
  const uint32_t op = s.Ops()[0];
  s.Transfer(op, 0, 0, 4096);
  const std::string old_blob = s.segment.blob;
  s.peer->Kill();
  const std::unique_ptr<PeerSide> again = MakePeer(c);
  const Segment fresh = again->Register(s.segment.bytes, SLIPWAY_ACCESS_ALL, 9);
  slipway_peer* link = s.Connect(again->Address());
  slipway_remote* stale = nullptr;
  Report report;
  slipway_status status = c.t->import_mr(link, old_blob.data(), old_blob.size(), &stale, report.c());
  Require(status == SLIPWAY_E_STALE_REMOTE,
          "importing a segment of the peer's earlier life through its new one: expected E_STALE_REMOTE, got %s",
          report.Say(status).c_str());
  // The old handle, too, must lead nowhere.
  status = s.TrySubmit(s.Slice(4, op, 0, 0, 4096));
  if (status == SLIPWAY_OK) {
    s.WaitFor(1);
    status = s.done[0].status;
    s.done.clear();
  }
  Require(status <= -100, "a slice to the peer's earlier life: expected E_STALE_REMOTE or E_PEER, got %s",
          StatusName(status).c_str());
  s.remote = s.Import(link, fresh.blob);
  s.link = link;
  s.Transfer(op, 0, 0, 4096);
  Require(
      again->Hash(fresh.id, 4096, fresh.bytes - 4096) ==
          [&] {
            std::string rest(fresh.bytes - 4096, '\0');
            FillPattern(rest.data(), rest.size(), 9, 4096);
            return Sha256Hex(rest.data(), rest.size());
          }(),
      "memory of the new peer was written that no slice named");
}

// What a stranger's bytes may be answered with.
bool Refusal(slipway_status s) {
  return s == SLIPWAY_E_PROTOCOL || s == SLIPWAY_E_STALE_REMOTE || s == SLIPWAY_E_PEER || s == SLIPWAY_E_ACCESS;
}

std::string Damage(const std::string& blob, Random& random) {
  std::string out = blob;
  switch (random.Below(6)) {
    case 0:
      out.resize(random.Below(blob.size()));
      break;
    case 1:
      out += std::string(1 + random.Below(64), static_cast<char>(random.Next()));
      break;
    case 2:
      for (char& b : out) b = static_cast<char>(random.Next());
      break;
    case 3:
      for (uint64_t i = 0; i < 8 && i < out.size(); ++i) out[random.Below(out.size())] = '\xFF';
      break;
    default:
      out[random.Below(out.size())] ^= static_cast<char>(1 << random.Below(8));
  }
  return out;
}

void BlobFuzz(Context& c) {
  SessionOptions options;
  options.in_process = true;
  Session s(c, options);
  Random random(c.seed);
  const std::string address = s.peer->Address(), blob = s.segment.blob, own = s.me.Address();
  const auto import = [&](const std::string& bytes, const char* what) {
    const GuardedBytes text(bytes);
    slipway_remote* out = nullptr;
    Report report;
    const char* at = bytes.empty() ? "" : text.data();
    const slipway_status status = c.t->import_mr(s.link, at, bytes.size(), &out, report.c());
    Require(Refusal(status) && out == nullptr, "import_mr of %s: expected E_PROTOCOL, got %s", what,
            report.Say(status).c_str());
  };
  const auto connect = [&](const std::string& bytes, const char* what) {
    const GuardedBytes text(bytes);
    slipway_peer* out = nullptr;
    Report report;
    const char* at = bytes.empty() ? "" : text.data();
    const slipway_status status = c.t->connect(s.me.get(), at, bytes.size(), &out, report.c());
    Require(Refusal(status) && out == nullptr, "connect to %s: expected E_PROTOCOL, got %s", what,
            report.Say(status).c_str());
  };
  import(address, "an address");
  connect(blob, "a registration");
  import("", "nothing");
  connect("", "nothing");
  import(std::string(65536, 'A'), "64 KiB of A");
  connect(std::string(65536, 'A'), "64 KiB of A");
  // A registration of another instance than the peer's.
  {
    Instance stranger(c);
    const Buffer memory(4096, c.exposed());
    slipway_mr* mr = stranger.Register(memory.data(), memory.size());
    import(stranger.Blob(mr), "a registration of another instance");
  }
  for (uint64_t i = 0; i < c.limits().fuzz_mutations; ++i) {
    Note("seed %llu, mutation %llu", U(c.seed), U(i));
    const std::string bad_blob = Damage(blob, random), bad_address = Damage(address, random);
    if (bad_blob != blob) import(bad_blob, "a damaged registration");
    if (bad_address != address) connect(bad_address, "a damaged address");
  }
  s.Transfer(s.Ops()[0], 0, 0, 4096);
}

// In the forked child: "" or what is wrong. No handle may be used as if it were the child's own.
std::string UseInChild(Session& s, slipway_mr* mr) {
  const slipway_transport& t = s.t();
  const bool safe = s.me.Has(SLIPWAY_CAP_FORK_SAFE);
  const auto wrong = [&](const char* what, slipway_status status) -> std::string {
    if (status == SLIPWAY_E_FORKED || (safe && status >= 0)) return {};
    return Format("%s in a forked child: %s, expected E_FORKED%s", what, StatusName(status).c_str(),
                  safe ? " or OK" : "");
  };
  const Answer a = s.me.Query(s.local.data(), 4096, SLIPWAY_ACCESS_ALL);
  if (const std::string w = wrong("query_registered", a.status); !w.empty()) return w;
  uint32_t accepted = 0, n = 0;
  slipway_completion none[4];
  if (const std::string w = wrong("submit", s.TrySubmit(s.Slice(1, s.Ops()[0], 0, 0, 4096), &accepted)); !w.empty())
    return w;
  if (const std::string w = wrong("poll", t.poll(s.channel, none, sizeof(none[0]), 4, &n)); !w.empty()) return w;
  slipway_mr* other = nullptr;
  if (const std::string w =
          wrong("register_memory", s.me.TryRegister(s.local.data(), 4096, SLIPWAY_ACCESS_ALL, &other));
      !w.empty()) {
    return w;
  }
  if (const std::string w = wrong("deregister_memory", t.deregister_memory(s.me.get(), mr)); !w.empty()) return w;
  if (const std::string w = wrong("peer_ready", t.peer_ready(s.link, nullptr)); !w.empty()) return w;
  std::memset(s.local.data(), 0xEE, s.options.local_bytes);  // the child's own copy
  t.destroy(s.me.get());
  return {};
}

void ForkChild(Context& c) {
  Session s(c);
  const Buffer memory(65536, c.exposed());
  slipway_mr* mr = s.me.Register(memory.data(), memory.size());
  const uint32_t op = s.Ops()[0];
  s.Transfer(op, 0, 0, 65536);
  for (int round = 0; round < 3; ++round) {
    int pipe_fds[2];
    Require(pipe(pipe_fds) == 0, "the runner has no pipe");
    const pid_t pid = fork();
    Require(pid >= 0, "the runner cannot fork");
    if (pid == 0) {
      alarm(5);
      const std::string wrong = UseInChild(s, mr);
      if (write(pipe_fds[1], wrong.data(), wrong.size()) < 0) _exit(1);
      _exit(0);
    }
    close(pipe_fds[1]);
    // Traffic goes on meanwhile.
    s.Transfer(op, 0, 0, 65536);
    char text[1024] = {};
    const ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);
    close(pipe_fds[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    Require(n <= 0, "%s", text);
    Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child that used the instance ended with signal %d",
            WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    // The parent's registrations, traffic and data are as they were.
    for (const uint32_t each : s.Ops()) s.Transfer(each, 0, 0, 65536);
    const uint64_t seed = op == SLIPWAY_OP_WRITE ? Session::kLocalSeed : Session::kRemoteSeed;
    Require(FirstDifference(s.local.data(), 65536, seed) == 65536,
            "after a child came and went, the parent's data is wrong");
    Require(s.peer->Hash(s.segment.id, 0, 65536) == Sha256Hex(s.local.data(), 65536),
            "after a child came and went, the peer's data is wrong");
  }
  s.me.Deregister(mr);
}

constexpr Case kCases[] = {
    {"fail.cancel-inflight", Level::kCapability, Kind::kTransport, SLIPWAY_CAP_CANCEL, true, false,
     "canceled slices complete once, and then move no byte", CancelInflight},
    {"fail.cancel-unknown", Level::kMust, Kind::kTransport, 0, true, false,
     "cancelling what is unknown or finished is harmless", CancelUnknown},
    {"fail.peer-sigkill", Level::kCapability, Kind::kTransport, SLIPWAY_CAP_PEER_FAILURE | SLIPWAY_CAP_CROSS_PROCESS,
     true, false, "slices to a dead peer complete E_PEER in time, others go on", PeerSigkill},
    {"fail.peer-restart", Level::kCapability, Kind::kTransport, 0, true, false,
     "a segment of a peer's earlier life is stale, a fresh one works", PeerRestart},
    {"fail.blob-fuzz", Level::kMust, Kind::kTransport, 0, false, false,
     "damaged addresses and registrations are refused", BlobFuzz},
    {"fail.fork-child", Level::kMust, Kind::kTransport, 0, true, false,
     "a forked child is told so, and harms nothing of the parent's", ForkChild},
};

}  // namespace

std::span<const Case> FailureCases() { return kCases; }

}  // namespace slipway::conform
