#include "tools/slipway/bench/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "tools/slipway/bench/interrupt.h"

namespace slipway::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kOutputBytesMax = size_t{1} << 20;
constexpr int kPollMs = 100;  // how late a request to end is noticed

Clock::time_point After(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double Until(Clock::time_point end) { return std::chrono::duration<double>(end - Clock::now()).count(); }

// Between fork and exec: only what is safe there.
[[noreturn]] void Become(int in, int out, bool own, char* const* argv) {
  setpgid(0, 0);  // so that an interrupt from the terminal comes to the parent alone
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(in, 0);
  dup2(out, 1);
  if (!own) dup2(out, 2);
  if (own)
    execv("/proc/self/exe", argv);
  else
    execvp(argv[0], argv);
  _exit(127);
}

Status NoProcess(const std::string& what) { return {SLIPWAY_E_IO, what + ": " + std::strerror(errno)}; }

struct Started {
  pid_t pid;
  int in, out;
};

Result<Started> Spawn(std::vector<std::string> words, bool own) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<int, 2> in{}, out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0) return NoProcess("no pipe");
  if (pipe2(out.data(), O_CLOEXEC) != 0) {
    const Status status = NoProcess("no pipe");
    close(in[0]);
    close(in[1]);
    return status;
  }
  const pid_t pid = fork();
  if (pid == 0) Become(in[0], out[1], own, argv.data());
  const Status status = pid < 0 ? NoProcess("no process") : Status();
  close(in[0]);
  close(out[1]);
  if (status.ok()) {
    setpgid(pid, pid);  // whichever of the two comes first
    return Started{pid, in[1], out[0]};
  }
  close(in[1]);
  close(out[0]);
  return status;
}

}  // namespace

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      in_(std::exchange(other.in_, -1)),
      out_(std::exchange(other.out_, -1)),
      buffer_(std::move(other.buffer_)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  End();
  pid_ = std::exchange(other.pid_, -1);
  in_ = std::exchange(other.in_, -1);
  out_ = std::exchange(other.out_, -1);
  buffer_ = std::move(other.buffer_);
  return *this;
}

Child::~Child() { End(); }

void Child::End() {
  if (in_ >= 0) close(in_);
  if (out_ >= 0) close(out_);
  in_ = out_ = -1;
  if (pid_ <= 0) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);  // should it not have made its group yet
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Result<Child> Child::Start(const std::vector<std::string>& words) {
  const auto started = Spawn(words, /*own=*/false);
  if (!started.ok()) return started.status();
  Child child(started->pid, started->in, started->out);
  return child;
}

Result<Child> Child::StartSelf(const std::string& role) {
  const auto started = Spawn({"slipway", "bench", "--role", role}, /*own=*/true);
  if (!started.ok()) return started.status();
  Child child(started->pid, started->in, started->out);
  return child;
}

Status Child::WriteLine(const std::string& line) {
  const std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(in_, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR && !Interrupted()) continue;
    if (wrote <= 0) return {SLIPWAY_E_PEER, std::string("the helper process has ended: ") + std::strerror(errno)};
    done += static_cast<size_t>(wrote);
  }
  return {};
}

Result<bool> Child::ReadMore(double seconds) {
  const Clock::time_point end = After(seconds);
  while (true) {
    if (Interrupted()) return Status(SLIPWAY_E_CANCELED, "interrupted");
    if (Until(end) <= 0) return Status(SLIPWAY_E_TIMEOUT, "no answer within the time limit");
    pollfd waiting{out_, POLLIN, 0};
    if (poll(&waiting, 1, std::min(kPollMs, static_cast<int>(Until(end) * 1000) + 1)) <= 0) continue;
    std::array<char, 4096> part;
    const ssize_t got = read(out_, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    if (buffer_.size() + static_cast<size_t>(got) > kOutputBytesMax)
      return Status(SLIPWAY_E_BAD_REPLY, "the process prints more than it can have to say");
    buffer_.append(part.data(), static_cast<size_t>(got));
    return true;
  }
}

Result<std::string> Child::ReadLine(double seconds) {
  const Clock::time_point end = After(seconds);
  while (true) {
    if (const size_t at = buffer_.find('\n'); at != std::string::npos) {
      std::string line = buffer_.substr(0, at);
      buffer_.erase(0, at + 1);
      return line;
    }
    const auto more = ReadMore(Until(end));
    if (!more.ok()) return more.status();
    if (!*more) return Status(SLIPWAY_E_PEER, "the helper process ended" + (buffer_.empty() ? "" : ": " + buffer_));
  }
}

Status Child::WaitFor(const std::string& text, double seconds) {
  const Clock::time_point end = After(seconds);
  while (buffer_.find(text) == std::string::npos) {
    const auto more = ReadMore(Until(end));
    if (!more.ok()) return more.status();
    if (!*more) return {SLIPWAY_E_PEER, "it ended: " + buffer_};
  }
  return {};
}

bool Child::EndsWithin(double seconds) {
  const Clock::time_point end = After(seconds);
  while (true) {
    const auto more = ReadMore(Until(end));
    if (!more.ok()) return false;
    if (!*more) return true;
  }
}

Result<Child::Ending> Child::Finish(double seconds) {
  const Clock::time_point end = After(seconds);
  for (bool more = true; more;) {
    const auto read = ReadMore(Until(end));
    if (!read.ok()) return read.status();
    more = *read;
  }
  int state = 0;
  while (waitpid(pid_, &state, WNOHANG) == 0) {
    if (Interrupted()) return Status(SLIPWAY_E_CANCELED, "interrupted");
    if (Until(end) <= 0) return Status(SLIPWAY_E_TIMEOUT, "it closed its output and did not end");
    poll(nullptr, 0, 1);
  }
  pid_ = -1;
  Ending ending;
  ending.exit_status = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
  ending.output = std::exchange(buffer_, {});
  return ending;
}

bool IsInstalled(const std::string& program) {
  auto child = Child::Start({"sh", "-c", "command -v \"$1\"", "sh", program});
  if (!child.ok()) return false;
  const auto ending = child->Finish(10);
  return ending.ok() && ending->exit_status == 0;
}

}  // namespace slipway::cli::bench
