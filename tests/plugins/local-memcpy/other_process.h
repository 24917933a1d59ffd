// The other process of a test, as this one drives it.
#ifndef SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_OTHER_PROCESS_H_
#define SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_OTHER_PROCESS_H_

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <string>

#include "tests/plugins/local-memcpy/hex.h"
#include "tests/plugins/local-memcpy/pair.h"

namespace slipway::test {

class OtherProcess {
 public:
  explicit OtherProcess(const std::string& config = "{}", const std::string& user = {}) {
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (const int fd : {to[0], to[1], from[0], from[1]}) close(fd);
      execl(SLIPWAY_TEST_OTHER_PROCESS, "other_process", config.c_str(), user.empty() ? nullptr : user.c_str(),
            nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    in_ = fdopen(to[1], "w");
    out_ = fdopen(from[0], "r");
    EXPECT_EQ(Line(), "ready");
  }
  ~OtherProcess() {
    Kill();
    std::fclose(in_);
    std::fclose(out_);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  void Tell(const std::string& command) {
    std::fprintf(in_, "%s\n", command.c_str());
    std::fflush(in_);
  }
  std::string Line() {
    std::string line;
    for (int c = 0; (c = std::fgetc(out_)) != EOF && c != '\n';) line += static_cast<char>(c);
    return line;
  }
  std::string Ask(const std::string& command) {
    Tell(command);
    return Line();
  }
  long AskNumber(const std::string& command) { return std::atol(Ask(command).c_str()); }

  std::string Address() { return FromHex(Ask("address")); }
  struct Exposed {
    std::string id, blob;
  };
  Exposed Expose(const std::string& kind, uint64_t bytes, uint32_t access = kRemoteAccess) {
    std::istringstream reply(Ask(kind + " " + std::to_string(bytes) + " " + std::to_string(access)));
    Exposed out;
    std::string hex;
    reply >> out.id >> hex;
    out.blob = FromHex(hex);
    return out;
  }
  uint64_t Sum(const std::string& id) { return std::strtoull(Ask("sum " + id).c_str(), nullptr, 10); }

  // It has stopped when this returns.
  void Stop() {
    kill(pid_, SIGSTOP);
    waitpid(pid_, nullptr, WUNTRACED);
  }
  void Continue() { kill(pid_, SIGCONT); }
  // Not one thread of it is left when this returns.
  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  FILE *in_ = nullptr, *out_ = nullptr;
};

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_OTHER_PROCESS_H_
