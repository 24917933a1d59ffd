// tcp_test_peer CONFIG BYTES: a target that serves until it is killed, or until whoever started it is gone.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/plugins/tcp/harness.h"

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc != 3) return 2;
  slipway::tcp::Node node(argv[1]);
  if (node.instance == nullptr) return 1;
  slipway::tcp::Bytes memory(std::strtoull(argv[2], nullptr, 10));
  for (const std::string& blob : {node.Address(), node.Export(node.Register(memory.data(), memory.size()))}) {
    const uint32_t n = static_cast<uint32_t>(blob.size());
    if (write(STDOUT_FILENO, &n, sizeof(n)) < 0 || write(STDOUT_FILENO, blob.data(), n) < 0) return 1;
  }
  for (;;) pause();
}
