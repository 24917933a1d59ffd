// A target in a process of its own, to be stopped and killed.
#ifndef SLIPWAY_TESTS_PLUGINS_TCP_PEER_PROCESS_H_
#define SLIPWAY_TESTS_PLUGINS_TCP_PEER_PROCESS_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/plugins/tcp/harness.h"

namespace slipway::tcp {

// Runs tcp_test_peer, which registers `bytes` of zeroed memory and serves until it is killed.
class PeerProcess {
 public:
  PeerProcess(const std::string& config, size_t bytes) {
    int out[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    const std::string size = std::to_string(bytes);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      execl(SLIPWAY_TCP_TEST_PEER, SLIPWAY_TCP_TEST_PEER, config.c_str(), size.c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    address = Blob(out[0]);
    registration = Blob(out[0]);
    close(out[0]);
  }
  ~PeerProcess() { Kill(); }
  PeerProcess(const PeerProcess&) = delete;

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void Stop() {
    kill(pid_, SIGSTOP);
    int status = 0;
    waitpid(pid_, &status, WUNTRACED);
  }
  void Continue() { kill(pid_, SIGCONT); }

  std::string address, registration;

 private:
  static std::string Blob(int fd) {
    uint32_t n = 0;
    EXPECT_EQ(read(fd, &n, sizeof(n)), static_cast<ssize_t>(sizeof(n)));
    std::string s(n, '\0');
    EXPECT_EQ(read(fd, s.data(), n), static_cast<ssize_t>(n));
    return s;
  }
  pid_t pid_ = -1;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_TESTS_PLUGINS_TCP_PEER_PROCESS_H_
