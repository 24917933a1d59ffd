// Another process with an instance of local-memcpy, for tests; see Commands for what it can be told. A command is a
// line, and so is each reply. It ends when its input does.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "slipway/abi/segment_memory.h"
#include "tests/plugins/local-memcpy/hex.h"
#include "tests/support/plugin_driver.h"

namespace slipway::test {
namespace {

struct Piece {
  char* at = nullptr;
  uint64_t bytes = 0;
  slipway_mr* mr = nullptr;
};

class Commands {
 public:
  explicit Commands(const std::string& config) : node_(Node::Make(transport_, host_, config)) {}

  std::string Run(std::istringstream& in) {
    std::string word;
    in >> word;
    if (word == "address") return ToHex(node_->Address());
    if (word == "shared" || word == "private") return Expose(word == "shared", in);
    if (word == "fill") return Fill(in);
    if (word == "sum") return Sum(in);
    if (word == "deregister") return Deregister(in);
    if (word == "nondumpable") return prctl(PR_SET_DUMPABLE, 0) == 0 ? "ok" : "failed";
    if (word == "fork") return Fork();
    if (word == "destroy") return node_.reset(), "ok";
    if (word == "hammer") return Hammer(in);
    if (word == "connect") return Connect(in);
    return "what?";
  }

 private:
  // BYTES ACCESS -> ID BLOB
  std::string Expose(bool shared, std::istringstream& in) {
    Piece piece;
    uint32_t access = 0;
    in >> piece.bytes >> access;
    if (shared) {
      const auto& memory =
          *static_cast<const slipway_segment_memory*>(transport_.get_extension(SLIPWAY_SEGMENT_MEMORY_ID));
      void* out = nullptr;
      if (memory.allocate(node_->instance(), piece.bytes, -1, &out, &node_->error()) != SLIPWAY_OK) return "no memory";
      piece.at = static_cast<char*>(out);
    } else {
      own_.push_back(std::make_unique<char[]>(piece.bytes));
      piece.at = own_.back().get();
    }
    piece.mr = node_->Register(piece.at, piece.bytes, access);
    pieces_.push_back(piece);
    return std::to_string(pieces_.size() - 1) + " " + ToHex(node_->Export(piece.mr));
  }
  // ID BYTE
  std::string Fill(std::istringstream& in) {
    size_t id = 0;
    int byte = 0;
    in >> id >> byte;
    std::memset(pieces_.at(id).at, byte, pieces_.at(id).bytes);
    return "ok";
  }
  // ID -> SUM
  std::string Sum(std::istringstream& in) {
    size_t id = 0;
    in >> id;
    return std::to_string(SumOf(pieces_.at(id).at, pieces_.at(id).bytes));
  }
  std::string Deregister(std::istringstream& in) {
    size_t id = 0;
    in >> id;
    return std::to_string(node_->Deregister(pieces_.at(id).mr));
  }
  // A child that holds everything open until it is killed. -> PID
  static std::string Fork() {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, 0);
      for (;;) pause();
    }
    return std::to_string(child);
  }
  // ADDRESS BLOB BYTES: writes there, over and over, until that fails. -> STATUS
  std::string Hammer(std::istringstream& in) {
    std::string address, blob;
    uint64_t bytes = 0;
    in >> address >> blob >> bytes;
    slipway_remote* const remote = node_->Import(node_->Connect(FromHex(address)), FromHex(blob));
    std::vector<char> data(bytes);
    slipway_completion done = node_->Write(data.data(), bytes, remote, 0);
    std::cout << "started" << std::endl;
    for (char value = 0; done.status == SLIPWAY_OK; ++value) {
      std::fill(data.begin(), data.end(), value);
      done = node_->Write(data.data(), bytes, remote, 0);
    }
    return std::to_string(done.status);
  }
  // ADDRESS -> STATUS of connecting, and of waiting for it
  std::string Connect(std::istringstream& in) {
    std::string address;
    in >> address;
    slipway_peer* peer = nullptr;
    slipway_status status = node_->TryConnect(FromHex(address), &peer);
    if (status == SLIPWAY_OK) WaitUntil([&] { return (status = node_->Ready(peer)) != SLIPWAY_IN_PROGRESS; });
    return std::to_string(status);
  }

  const slipway_transport& transport_ = LoadTransport(PluginPath("local-memcpy"), "local-memcpy");
  TestHost host_;
  std::vector<std::unique_ptr<char[]>> own_;
  std::vector<Piece> pieces_;
  std::unique_ptr<Node> node_;
};

}  // namespace
}  // namespace slipway::test

// other_process CONFIGURATION [USER]
int main(int argc, char** argv) {
  if (argc < 2) return 2;
  // Before it becomes somebody who may not read the build.
  slipway::test::LoadTransport(slipway::test::PluginPath("local-memcpy"), "local-memcpy");
  if (argc > 2) {
    const uid_t user = static_cast<uid_t>(std::atoi(argv[2]));
    if (setresuid(user, user, user) != 0) return 3;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  slipway::test::Commands commands(argv[1]);
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::cout << commands.Run(in) << std::endl;
  }
  return 0;
}
