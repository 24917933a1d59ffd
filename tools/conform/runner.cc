#include "tools/conform/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/conform/child.h"
#include "tools/conform/environment.h"
#include "tools/conform/failure.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

constexpr size_t kOutputBytesMax = 4096, kStackBytesMax = 16384, kResultBytesMax = 1 << 20;
constexpr uint64_t kStackDumpMs = 300;  // between asking for stacks and killing

// The last `bytes_max` bytes of a file that a child wrote to.
std::string Tail(int fd, size_t bytes_max) {
  const off_t end = lseek(fd, 0, SEEK_END);
  if (end <= 0) return {};
  const off_t start = std::max<off_t>(0, end - static_cast<off_t>(bytes_max));
  std::string text(static_cast<size_t>(end - start), '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), start);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

// One child and what is open for it.
class Child {
 public:
  ~Child() {
    if (pid_ > 0) KillAndReap();
    for (const int fd : {result_fd_, output_fd_, stack_fd_, pid_fd_}) {
      if (fd >= 0) close(fd);
    }
  }

  // An error text, or nothing.
  std::string Start(const Spec& spec) {
    timeout_ms_ = spec.profile.limits.case_timeout_ms;
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) return std::string("pipe: ") + std::strerror(errno);
    result_fd_ = pipe_fds[0];
    fcntl(result_fd_, F_SETFL, O_NONBLOCK);
    output_fd_ = memfd_create("output", MFD_CLOEXEC);
    stack_fd_ = memfd_create("stacks", MFD_CLOEXEC);
    const int spec_fd = memfd_create("spec", MFD_CLOEXEC);
    const std::string text = ToText(spec);
    const bool written = output_fd_ >= 0 && stack_fd_ >= 0 && spec_fd >= 0 &&
                         write(spec_fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                         lseek(spec_fd, 0, SEEK_SET) == 0;
    const int failed = written ? Spawn(spec, pipe_fds[1], spec_fd) : errno;
    close(pipe_fds[1]);
    if (spec_fd >= 0) close(spec_fd);
    if (failed != 0) return std::string("the child cannot be started: ") + std::strerror(failed);
    pid_fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    started_ns_ = MonotonicNs();
    return {};
  }

  void AddTo(std::vector<pollfd>& fds) const {
    if (!result_closed_) fds.push_back({result_fd_, POLLIN, 0});
    if (pid_fd_ >= 0) fds.push_back({pid_fd_, POLLIN, 0});
  }

  // Reads what there is and looks at the time. The outcome, once there is one.
  std::optional<Outcome> Advance() {
    ReadResult();
    const uint64_t age_ms = (MonotonicNs() - started_ns_) / 1000000;
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      kill(-pid_, SIGKILL);  // peers and forks that are left
      pid_ = 0;
      ReadResult();
      return Finish(status, age_ms);
    }
    if (asked_for_stacks_ns_ == 0 && age_ms > timeout_ms_) {
      AskForStacks();
      asked_for_stacks_ns_ = MonotonicNs();
    } else if (asked_for_stacks_ns_ != 0 && MonotonicNs() - asked_for_stacks_ns_ > kStackDumpMs * 1000000) {
      KillAndReap();
      Outcome o = Base(age_ms);
      o.status = "timeout";
      o.reason = Format("still running after %llu ms: killed", static_cast<unsigned long long>(timeout_ms_)) + AtNote();
      return o;
    }
    return {};
  }

 private:
  int Spawn(const Spec& spec, int result_write, int spec_fd) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    // Moved out of the way first, so that no dup2 overwrites one that is still needed.
    const int from[] = {output_fd_, result_write, spec_fd, stack_fd_};
    constexpr int kHigh = 100;
    for (int i = 0; i < 4; ++i) posix_spawn_file_actions_adddup2(&actions, from[i], kHigh + i);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, kHigh, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, kHigh, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, kHigh + 1, kChildFd);
    posix_spawn_file_actions_adddup2(&actions, kHigh + 2, kSpecFd);
    posix_spawn_file_actions_adddup2(&actions, kHigh + 3, kStackFd);
    for (int i = 0; i < 4; ++i) posix_spawn_file_actions_addclose(&actions, kHigh + i);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t standard;
    sigemptyset(&standard);
    sigaddset(&standard, SIGPIPE);
    sigaddset(&standard, SIGINT);
    posix_spawnattr_setsigdefault(&attributes, &standard);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    // The device is hidden before the process starts: its libraries may look as soon as they are loaded.
    const bool hidden = spec.case_id == "prov.no-device";
    const Environment environment(hidden ? spec.profile.no_device_env : std::map<std::string, std::string>());
    char program[] = "slipway-conform", word[] = "__child";
    char* const argv[] = {program, word, nullptr};
    const int failed = posix_spawn(&pid_, "/proc/self/exe", &actions, &attributes, argv, environment.data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
  }

  void ReadResult() {
    char block[4096];
    ssize_t n;
    while ((n = read(result_fd_, block, sizeof(block))) > 0) {
      if (result_.size() < kResultBytesMax) result_.append(block, static_cast<size_t>(n));
    }
    if (n == 0) result_closed_ = true;
    for (size_t end; (end = result_.find('\n')) != std::string::npos; result_.erase(0, end + 1)) {
      const Json line = Json::parse(result_.substr(0, end), nullptr, false);
      if (!line.is_object()) continue;
      if (line.contains("note")) note_ = line["note"].get<std::string>();
      if (line.contains("status")) last_ = line;
    }
  }

  Outcome Base(uint64_t age_ms) const {
    Outcome o;
    o.duration_ms = age_ms;
    o.output = Tail(output_fd_, kOutputBytesMax);
    o.stacks = Tail(stack_fd_, kStackBytesMax);  // a peer's, too
    return o;
  }
  std::string AtNote() const { return note_.empty() ? "" : " (at: " + note_ + ")"; }

  Outcome Finish(int status, uint64_t age_ms) {
    Outcome o = Base(age_ms);
    if (last_.is_object()) {
      o.status = last_["status"];
      o.reason = last_["reason"];
      if (last_.contains("data")) o.data = last_["data"].dump();
      if (o.status == "fail") o.reason += AtNote();
    } else if (WIFSIGNALED(status)) {
      o.signal = WTERMSIG(status);
      o.status = "crash";
      o.reason = Format("signal %d, %s", o.signal, strsignal(o.signal)) + AtNote();
    } else {
      o.status = "crash";
      o.reason = Format("the process was ended from inside, with exit code %d: a plugin must not call exit()",
                        WEXITSTATUS(status)) +
                 AtNote();
    }
    return o;
  }

  // Every thread of every process of the group writes down where it is.
  void AskForStacks() const {
    std::error_code ignored;
    for (const auto& task : std::filesystem::directory_iterator(Format("/proc/%d/task", pid_), ignored)) {
      syscall(SYS_tgkill, pid_, std::atoi(task.path().filename().c_str()), SIGUSR2);
    }
  }
  void KillAndReap() {
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  pid_t pid_ = 0;
  int result_fd_ = -1, output_fd_ = -1, stack_fd_ = -1, pid_fd_ = -1;
  bool result_closed_ = false;
  std::string result_, note_;
  Json last_;
  uint64_t timeout_ms_ = 0, started_ns_ = 0, asked_for_stacks_ns_ = 0;
};

}  // namespace

void RunAll(const std::vector<Spec>& specs, unsigned jobs, uint64_t total_timeout_ms,
            const std::function<void(size_t)>& started, const std::function<void(size_t, const Outcome&)>& ended) {
  struct Running {
    size_t index;
    std::unique_ptr<Child> child;
  };
  std::vector<Running> running;
  const Deadline deadline(total_timeout_ms);
  size_t next = 0;
  while (next < specs.size() || !running.empty()) {
    while (next < specs.size() && running.size() < std::max(1u, jobs)) {
      const size_t index = next++;
      if (deadline.over()) {
        ended(index, {"timeout", "not started: the time for the whole run was over", "", "", "", 0, 0});
        continue;
      }
      started(index);
      auto child = std::make_unique<Child>();
      const std::string why = child->Start(specs[index]);
      if (why.empty()) {
        running.push_back({index, std::move(child)});
      } else {
        ended(index, {"error", why, "", "", "", 0, 0});
      }
    }
    std::vector<pollfd> fds;
    for (const Running& r : running) r.child->AddTo(fds);
    poll(fds.data(), fds.size(), 20);
    std::erase_if(running, [&](Running& r) {
      const std::optional<Outcome> outcome = r.child->Advance();
      if (outcome) ended(r.index, *outcome);
      return outcome.has_value();
    });
  }
}

Outcome RunOne(const Spec& spec) {
  Outcome result;
  RunAll(
      {spec}, 1, spec.profile.limits.case_timeout_ms + 1000, [](size_t) {},
      [&](size_t, const Outcome& o) { result = o; });
  return result;
}

}  // namespace slipway::conform
