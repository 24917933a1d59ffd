#include "tools/conform/child.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/instance.h"
#include "tools/conform/plugin_file.h"
#include "tools/conform/provider.h"

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

void SendLine(const Json& j) {
  const std::string line = j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t done = 0; done < line.size();) {
    const ssize_t n = write(kChildFd, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

pid_t g_child = 0;  // of the process that was started to run the case

void EndChild(const char* status, const std::string& reason) {
  // A fork of the child has nothing to say to the parent: its own parent is told by its exit code.
  if (getpid() != g_child) _exit(std::strcmp(status, "pass") == 0 ? 0 : 1);
  SendLine({{"status", status}, {"reason", reason}});
  _exit(0);
}
void NoteToParent(const std::string& text) {
  if (getpid() == g_child) SendLine({{"note", text}});
}

void Say(const char* text) {
  if (write(kStackFd, text, std::strlen(text)) < 0) return;
}
// Async-signal-safe, as far as backtrace() is once it has been called.
void DumpStack(int signal) {
  void* frames[48];
  const int n = backtrace(frames, 48);
  char head[64];
  std::snprintf(head, sizeof(head), "thread %d, %s:\n", gettid(), signal == SIGUSR2 ? "still running" : "crashed");
  Say(head);
  backtrace_symbols_fd(frames + (n > 2 ? 2 : 0), n > 2 ? n - 2 : n, kStackFd);
}
void OnCrash(int signal) {
  DumpStack(signal);
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  raise(signal);
}
void OnQuestion(int signal) {
  const int saved = errno;
  DumpStack(signal);
  errno = saved;
}

void SetLimit(decltype(RLIMIT_CORE) what, rlim_t value) {
  rlimit limit{};
  getrlimit(what, &limit);
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? value : std::min<rlim_t>(value, limit.rlim_max);
  setrlimit(what, &limit);
}

std::string ReadSpecText() {
  std::string text;
  char block[4096];
  ssize_t n;
  while ((n = read(kSpecFd, block, sizeof(block))) > 0) text.append(block, static_cast<size_t>(n));
  close(kSpecFd);
  return text;
}

const char* OrEmpty(const char* text) { return text == nullptr ? "" : text; }

Json Describe(const slipway_plugin& p) {
  Json transports = Json::array(), providers = Json::array();
  for (auto* t = p.transports; t != nullptr && *t != nullptr; ++t) {
    transports.push_back({{"name", OrEmpty((*t)->name)},
                          {"version", OrEmpty((*t)->version)},
                          {"protocol", OrEmpty((*t)->protocol)},
                          {"description", OrEmpty((*t)->description)},
                          {"caps", (*t)->caps},
                          {"mem_kinds", (*t)->mem_kinds}});
  }
  for (auto* m = p.memory_providers; m != nullptr && *m != nullptr; ++m) {
    providers.push_back(
        {{"name", OrEmpty((*m)->name)}, {"version", OrEmpty((*m)->version)}, {"mem_kind", (*m)->mem_kind}});
  }
  return {{"name", OrEmpty(p.plugin_name)},
          {"version", OrEmpty(p.plugin_version)},
          {"build_info", OrEmpty(p.build_info)},
          {"abi", std::to_string(p.abi_major) + "." + std::to_string(p.abi_minor)},
          {"transports", transports},
          {"providers", providers}};
}

[[noreturn]] void EndWithData(const Json& data) {
  SendLine({{"status", "pass"}, {"reason", ""}, {"data", data}});
  _exit(0);
}

[[noreturn]] void Inquire(const Spec& spec, Context& c, const PluginFile& file) {
  if (spec.case_id == kDescribe) EndWithData(Describe(*file.plugin));
  if (spec.case_id == kTryProvider) {
    const Provider provider(c, spec.profile.config);
    EndWithData({{"mem_kinds", c.p->mem_kind}, {"own_memory", provider.can_allocate()}});
  }
  auto* instance = new Instance(c);  // not destroyed: whether that works is for the cases to find out
  const slipway_attrs& a = instance->attrs();
  EndWithData({{"caps", a.caps},
               {"mem_kinds", a.mem_kinds},
               {"device", a.device},
               {"max_slice_bytes", a.max_slice_bytes},
               {"preferred_slice_bytes", a.preferred_slice_bytes},
               {"max_mrs", a.max_mrs},
               {"max_channels", a.max_channels},
               {"max_inflight_per_channel", a.max_inflight_per_channel},
               {"max_submit_batch", a.max_submit_batch},
               {"local_align", a.local_align},
               {"remote_align", a.remote_align},
               {"length_align", a.length_align},
               {"reg_granularity", a.reg_granularity},
               {"pins_per_reg", a.pins_per_reg},
               {"peer_timeout_ms", a.peer_timeout_ms}});
}

void OpenFor(const Spec& spec, PluginFile& file, Context& c) {
  const std::string why = OpenPlugin(spec.plugin, file);
  Require(why.empty(), "%s", why.c_str());
  const std::vector<std::string> faults = DescriptorFaults(*file.plugin);
  Require(faults.empty(), "%s", Join(faults).c_str());
  c.t = FindTransport(*file.plugin, spec.profile.transport);
  c.p = FindProvider(*file.plugin, spec.profile.provider);
}

void RunCase(const Spec& spec) {
  Context c{spec};
  c.seed = spec.seed;
  const Case* found = FindCase(spec.case_id);
  PluginFile file;
  if (found == nullptr || !found->opens_itself) OpenFor(spec, file, c);
  if (found == nullptr) Inquire(spec, c, file);
  found->run(c);
}

}  // namespace

void PrepareChild() {
  void* warm[1];
  backtrace(warm, 1);  // loads what it needs now, not inside a handler
  struct sigaction crash {};
  crash.sa_handler = OnCrash;
  crash.sa_flags = SA_ONSTACK | SA_NODEFER;
  static char stack[1 << 16];
  const stack_t alternative{stack, 0, sizeof(stack)};
  sigaltstack(&alternative, nullptr);
  if (!kSanitized) {
    for (const int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) sigaction(s, &crash, nullptr);
  }
  struct sigaction question {};
  question.sa_handler = OnQuestion;
  question.sa_flags = SA_RESTART | SA_ONSTACK;
  sigaction(SIGUSR2, &question, nullptr);

  SetLimit(RLIMIT_CORE, 0);
  SetLimit(RLIMIT_FSIZE, rlim_t{256} << 20);
  SetLimit(RLIMIT_NOFILE, 4096);
  if (!kSanitized) SetLimit(RLIMIT_AS, rlim_t{64} << 30);
}

void ChildMain() {
  g_child = getpid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  fcntl(kChildFd, F_SETFD, FD_CLOEXEC);
  SetSink({EndChild, NoteToParent});
  const Spec spec = SpecFromText(ReadSpecText());
  PrepareChild();
  RunCase(spec);
  EndChild("pass", "");
  _exit(0);
}

void RunHere(const Spec& spec) {
  SetSink({[](const char* status, const std::string& reason) {
             std::fprintf(stderr, "%s: %s\n", status, reason.c_str());
             _exit(std::strcmp(status, "fail") == 0 ? 1 : 0);
           },
           [](const std::string& text) { std::fprintf(stderr, "  %s\n", text.c_str()); }});
  signal(SIGPIPE, SIG_IGN);
  RunCase(spec);
  std::fprintf(stderr, "pass\n");
  _exit(0);
}

}  // namespace slipway::conform
