// The peer in a process of its own: the same calls, as JSON (CBOR) over a socket pair, each answered before the next.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/conform/child.h"
#include "tools/conform/environment.h"
#include "tools/conform/failure.h"
#include "tools/conform/peer.h"
#include "tools/conform/plugin_file.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

bool WriteAll(int fd, const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}
bool ReadAll(int fd, void* data, size_t bytes) {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t n = recv(fd, at, bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}
bool SendJson(int fd, const Json& j) {
  const std::vector<uint8_t> body = Json::to_cbor(j);
  const uint32_t length = static_cast<uint32_t>(body.size());
  return WriteAll(fd, &length, sizeof(length)) && WriteAll(fd, body.data(), body.size());
}
bool ReceiveJson(int fd, Json& out) {
  uint32_t length = 0;
  if (!ReadAll(fd, &length, sizeof(length)) || length > (64u << 20)) return false;
  std::vector<uint8_t> body(length);
  if (!ReadAll(fd, body.data(), length)) return false;
  out = Json::from_cbor(body, true, false);
  return !out.is_discarded();
}
Json ToBytes(const std::string& text) { return Json::binary(std::vector<uint8_t>(text.begin(), text.end())); }
std::string FromBytes(const Json& j) {
  const auto& bytes = j.get_binary();
  return std::string(bytes.begin(), bytes.end());
}
Json ToJson(const Segment& s) { return {{"id", s.id}, {"bytes", s.bytes}, {"blob", ToBytes(s.blob)}}; }
Segment SegmentFrom(const Json& j) { return {j["id"], j["bytes"], FromBytes(j["blob"]), nullptr}; }

// ---- this side -------------------------------------------------------------------------------------------------

class ProcessPeer : public PeerSide {
 public:
  ProcessPeer(int socket, pid_t pid) : socket_(socket), pid_(pid) {}
  ~ProcessPeer() override {
    close(socket_);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  std::string Address() override { return FromBytes(Call({{"do", "address"}})["address"]); }
  Segment Register(uint64_t bytes, uint32_t access, uint64_t seed) override {
    return SegmentFrom(Call({{"do", "register"}, {"bytes", bytes}, {"access", access}, {"seed", seed}}));
  }
  slipway_status Deregister(uint32_t id) override { return Call({{"do", "deregister"}, {"id", id}})["status"]; }
  Segment RemapAndRegister(uint32_t id, uint32_t access, uint64_t seed) override {
    return SegmentFrom(Call({{"do", "remap"}, {"id", id}, {"access", access}, {"seed", seed}}));
  }
  void Fill(uint32_t id, uint64_t offset, uint64_t bytes, uint64_t seed) override {
    Call({{"do", "fill"}, {"id", id}, {"offset", offset}, {"bytes", bytes}, {"seed", seed}});
  }
  std::string Hash(uint32_t id, uint64_t offset, uint64_t bytes) override {
    return Call({{"do", "hash"}, {"id", id}, {"offset", offset}, {"bytes", bytes}})["text"];
  }
  std::string Overrun(uint32_t id) override { return Call({{"do", "overrun"}, {"id", id}})["text"]; }
  void StartWatch(const Watch& w) override {
    Call({{"do", "watch"},
          {"id", w.id},
          {"flag_offset", w.flag_offset},
          {"flag", w.flag},
          {"offset", w.offset},
          {"bytes", w.bytes},
          {"seed", w.seed}});
  }
  std::string FinishWatch() override { return Call({{"do", "watched"}})["text"]; }
  int pid() const override { return pid_; }
  void Kill() override {
    kill(pid_, SIGKILL);
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

  Json Call(const Json& request) {
    Json reply;
    if (!SendJson(socket_, request) || !ReceiveJson(socket_, reply)) {
      int status = 0;
      const pid_t got = waitpid(pid_, &status, 0);
      if (got == pid_ && WIFSIGNALED(status)) {
        Fail("the peer process crashed in \"%s\": %s", request["do"].get<std::string>().c_str(),
             strsignal(WTERMSIG(status)));
      }
      Fail("the peer process ended in \"%s\"", request["do"].get<std::string>().c_str());
    }
    if (reply.contains("ended")) {
      const std::string reason = reply["reason"];
      if (reply["ended"] == "skip") Skip("in the peer process: %s", reason.c_str());
      Fail("in the peer process: %s", reason.c_str());
    }
    return reply;
  }

 private:
  const int socket_;
  const pid_t pid_;
};

// ---- the other -------------------------------------------------------------------------------------------------

int g_socket = -1;  // of the sink, which is a plain function

void EndToSocket(const char* status, const std::string& reason) {
  SendJson(g_socket, {{"ended", status}, {"reason", reason}});
  _exit(0);
}

Json Serve(PeerSide& peer, const Json& r) {
  const std::string what = r["do"];
  if (what == "address") return {{"address", ToBytes(peer.Address())}};
  if (what == "register") return ToJson(peer.Register(r["bytes"], r["access"], r["seed"]));
  if (what == "deregister") return {{"status", peer.Deregister(r["id"])}};
  if (what == "remap") return ToJson(peer.RemapAndRegister(r["id"], r["access"], r["seed"]));
  if (what == "hash") return {{"text", peer.Hash(r["id"], r["offset"], r["bytes"])}};
  if (what == "overrun") return {{"text", peer.Overrun(r["id"])}};
  if (what == "watched") return {{"text", peer.FinishWatch()}};
  if (what == "fill") {
    peer.Fill(r["id"], r["offset"], r["bytes"], r["seed"]);
  } else if (what == "watch") {
    Watch w;
    w.id = r["id"];
    w.flag_offset = r["flag_offset"];
    w.flag = r["flag"];
    w.offset = r["offset"];
    w.bytes = r["bytes"];
    w.seed = r["seed"];
    peer.StartWatch(w);
  }
  return Json::object();
}

}  // namespace

std::unique_ptr<PeerSide> SpawnPeer(const Context& c) {
  int pair[2];
  Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "the runner cannot make a socket pair");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pair[1], kChildFd);
  const Environment environment;
  std::vector<std::string> words = c.profile().peer_command;
  const bool elsewhere = !words.empty();
  if (!elsewhere) words = {"slipway-conform", "__peer"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int failed = elsewhere
                         ? posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environment.data())
                         : posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(pair[1]);
  Require(failed == 0, "the runner cannot start a peer process, %s: %s", argv[0], std::strerror(failed));
  auto peer = std::make_unique<ProcessPeer>(pair[0], pid);
  // A peer of another host ends when its connection does.
  peer->Call({{"do", "start"}, {"spec", ToText(c.spec)}, {"parent", elsewhere ? 0 : getpid()}});
  return peer;
}

void ServePeer(int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  g_socket = socket;
  fcntl(socket, F_SETFD, FD_CLOEXEC);
  SetSink({EndToSocket, [](const std::string&) {}});
  PrepareChild();
  Json request;
  if (!ReceiveJson(socket, request)) _exit(0);
  if (const int parent = request["parent"]; parent != 0 && getppid() != parent) _exit(0);
  const Spec spec = SpecFromText(request["spec"]);
  PluginFile file;
  const std::string why = OpenPlugin(spec.plugin, file);
  Require(why.empty(), "%s", why.c_str());
  Context c{spec};
  c.seed = spec.seed;
  c.t = FindTransport(*file.plugin, spec.profile.transport);
  Require(c.t != nullptr, "the plugin has no transport");
  const std::unique_ptr<PeerSide> peer = MakeLocalPeer(c);
  SendJson(socket, Json::object());
  for (;;) {
    pollfd ready{socket, POLLIN, 0};
    const int n = poll(&ready, 1, 1);
    peer->Progress();
    if (n <= 0) continue;
    if (!ReceiveJson(socket, request)) _exit(0);
    if (!SendJson(socket, Serve(*peer, request))) _exit(0);
  }
}

}  // namespace slipway::conform
