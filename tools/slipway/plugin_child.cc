#include "tools/slipway/plugin_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "slipway/engine.hpp"
#include "tools/slipway/exit_code.h"

namespace slipway::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kReportBytesMax = size_t{1} << 20;

// Between fork and exec: only what is safe there. `report` becomes descriptor 3, everything else a plugin may print is
// lost.
[[noreturn]] void BecomeChild(int report, char* const* argv) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const int null = open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) dup2(null, fd);
  if (report == 3)
    fcntl(3, F_SETFD, 0);
  else
    dup2(report, 3);
  execv("/proc/self/exe", argv);
  _exit(kExitInternal);
}

pid_t Start(const std::string& name, const std::string& plugin_path, int report) {
  std::vector<std::string> words = {"slipway", "plugins", "--describe-one", name, "--report-fd", "3"};
  if (!plugin_path.empty()) words.insert(words.end(), {"--plugin-path", plugin_path});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) BecomeChild(report, argv.data());
  return child;
}

enum class ReportEnd { kWhole, kLate, kTooLong };

// Everything that comes until the end of the pipe.
ReportEnd ReadReport(int fd, Clock::time_point deadline, std::string* text) {
  std::array<char, 4096> buffer;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return ReportEnd::kLate;
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(left)) <= 0) continue;
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ReportEnd::kWhole;
    if (text->size() + static_cast<size_t>(got) > kReportBytesMax) return ReportEnd::kTooLong;
    text->append(buffer.data(), static_cast<size_t>(got));
  }
}

// The child's end after its report ended: a plugin may still hang in a destructor. Gives false then.
bool Reap(pid_t child, Clock::time_point deadline, int* wait_status) {
  while (waitpid(child, wait_status, WNOHANG) == 0) {
    if (Clock::now() >= deadline) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

}  // namespace

PluginReport DescribeInChild(const std::string& name, const std::string& plugin_path, uint64_t timeout_ms) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {"refused", std::string("no pipe: ") + std::strerror(errno)};
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  const pid_t child = Start(name, plugin_path, ends[1]);
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return {"refused", std::string("no process: ") + std::strerror(errno)};
  }
  setpgid(child, child);  // whichever of the two comes first
  PluginReport report;
  int wait_status = 0;
  const ReportEnd end = ReadReport(ends[0], deadline, &report.detail);
  const bool reaped = end == ReportEnd::kWhole && Reap(child, deadline, &wait_status);
  close(ends[0]);
  kill(-child, SIGKILL);
  if (!reaped) {
    waitpid(child, &wait_status, 0);
    if (end == ReportEnd::kTooLong) return {"refused", "wrote more than a description can be, and was killed"};
    return {"hung", "did not describe itself within " + std::to_string(timeout_ms) + " ms and was killed"};
  }
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return {"crashed", "signal " + std::to_string(number) + " (" + strsignal(number) + ") while it was loaded"};
  }
  report.state = WEXITSTATUS(wait_status) == kExitOk ? "ok" : "refused";
  if (report.detail.empty())
    return {"crashed", "ended its process with status " + std::to_string(WEXITSTATUS(wait_status))};
  return report;
}

int DescribeAsChild(const std::string& name, const std::string& plugin_path, int report_fd) {
  internal::Failure failure;
  const char* path = plugin_path.empty() ? nullptr : plugin_path.c_str();
  auto text = internal::ReadText(
      [&](char* out, size_t* len) { return slipway_plugin_describe(name.c_str(), path, out, len, failure.get()); });
  const Status status = text.ok() ? Status() : failure.ToStatus(text.status().code());
  const std::string report =
      status.ok() ? *text : std::string(slipway_status_name(status.code())) + ": " + status.message();
  for (size_t done = 0; done < report.size();) {
    const ssize_t wrote = write(report_fd, report.data() + done, report.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return kExitInternal;
    done += static_cast<size_t>(wrote);
  }
  return ExitFor(status.code());
}

}  // namespace slipway::cli
