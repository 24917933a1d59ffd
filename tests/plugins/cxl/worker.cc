// One process with an instance of the transport, for tests on a real device; see main() for what it can do. It speaks
// in lines, "KEY VALUE", and ends with 0 when all went as it should.
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "plugins/cxl/copy.h"
#include "plugins/cxl/extension.h"
#include "tests/support/plugin_driver.h"

namespace slipway::test {
namespace {

constexpr uint32_t kRemoteAccess = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;

void Say(const char* key, const std::string& value) {
  std::printf("%s %s\n", key, value.c_str());
  std::fflush(stdout);
}

std::string ToHex(const std::string& bytes) {
  std::string out;
  char two[3];
  for (const char c : bytes) {
    std::snprintf(two, sizeof(two), "%02x", static_cast<unsigned char>(c));
    out += two;
  }
  return out;
}
std::string FromHex(const std::string& text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::strtoul(text.substr(i, 2).c_str(), nullptr, 16));
  }
  return out;
}

// The same as in lab_test.py.
std::vector<char> Pattern(uint64_t bytes, uint64_t seed) {
  std::vector<char> out(bytes);
  for (uint64_t i = 0; i < bytes; ++i) out[i] = static_cast<char>((i * 31 + i / 251 + seed * 17) & 0xff);
  return out;
}

const char* Name(slipway_status s) {
  switch (s) {
    case SLIPWAY_OK:
      return "OK";
    case SLIPWAY_E_DEVICE:
      return "E_DEVICE";
    case SLIPWAY_E_PEER:
      return "E_PEER";
    case SLIPWAY_E_STALE_REMOTE:
      return "E_STALE_REMOTE";
    default:
      return "other";
  }
}

struct Worker {
  explicit Worker(const std::string& config) : node(Node::Make(transport, host, config)) {
    if (node == nullptr) std::exit(1);
    Say("device", node->attrs().device);
  }
  const slipway_cxl_window& extension() const {
    return *static_cast<const slipway_cxl_window*>(transport.get_extension(SLIPWAY_CXL_WINDOW_ID));
  }
  char* Allocate(uint64_t bytes) {
    void* out = nullptr;
    if (extension().allocate(node->instance(), bytes, &out, &node->error()) != SLIPWAY_OK) {
      Say("error", node->error().message);
      std::exit(1);
    }
    return static_cast<char*>(out);
  }
  slipway_remote* Import(const std::string& address, const std::string& blob) {
    return node->Import(node->Connect(FromHex(address)), FromHex(blob));
  }

  const slipway_transport& transport = LoadTransport(PluginPath("cxl"), "cxl");
  TestHost host;
  std::unique_ptr<Node> node;
};

// Registers memory filled with pattern 1, and waits until pattern 2 is there.
int Serve(const std::string& config, uint64_t bytes) {
  Worker w(config);
  char* const memory = w.Allocate(bytes);
  const std::vector<char> first = Pattern(bytes, 1), second = Pattern(bytes, 2);
  std::memcpy(memory, first.data(), bytes);
  w.extension().synchronize(w.node->instance(), memory, bytes);
  const std::string blob = w.node->Export(w.node->Register(memory, bytes, kRemoteAccess));
  uint64_t offset = 0;  // in the device: after the magic, the nonce and the key
  std::memcpy(&offset, blob.data() + 24, sizeof(offset));
  Say("offset", std::to_string(offset));
  Say("blob", ToHex(blob));
  Say("address", ToHex(w.node->Address()));
  const auto arrived = [&] {
    w.extension().synchronize(w.node->instance(), memory + bytes - 64, 64);
    if (std::memcmp(memory + bytes - 64, second.data() + bytes - 64, 64) != 0) return false;
    w.extension().synchronize(w.node->instance(), memory, bytes);
    return std::memcmp(memory, second.data(), bytes) == 0;
  };
  if (!WaitUntil(arrived, std::chrono::minutes(5))) return 1;
  Say("arrived", "all of it");
  return 0;
}

// Reads pattern 1 and writes pattern 2.
int Exchange(const std::string& config, uint64_t bytes, const std::string& address, const std::string& blob) {
  Worker w(config);
  slipway_remote* const remote = w.Import(address, blob);
  std::vector<char> got(bytes), second = Pattern(bytes, 2);
  const slipway_completion read = w.node->Read(got.data(), bytes, remote, 0);
  Say("read", Name(read.status));
  if (got != Pattern(bytes, 1)) return 1;
  Say("equal", "pattern 1");
  Say("write", Name(w.node->Write(second.data(), bytes, remote, 0).status));
  Say("stats", w.node->stats());
  return 0;
}

// Writes to memory of its own, or of a peer, until that fails; says how.
int WriteUntilFailure(const std::string& config, uint64_t bytes, const std::string& address, const std::string& blob) {
  Worker w(config);
  slipway_remote* remote = nullptr;
  std::unique_ptr<Node> other;
  if (address.empty()) {
    other = Node::Make(w.transport, w.host, config);
    remote = w.node->Import(w.node->Connect(other->Address()),
                            other->Export(other->Register(w.Allocate(bytes), bytes, kRemoteAccess)));
  } else {
    remote = w.Import(address, blob);
  }
  std::vector<char> data = Pattern(bytes, 3);
  slipway_completion done{};
  for (uint64_t n = 0;; ++n) {
    done = w.node->Write(data.data(), bytes, remote, 0);
    if (done.status != SLIPWAY_OK) break;
    if (n == 0) Say("moving", "yes");
  }
  Say("failed", Name(done.status));
  Say("bytes", std::to_string(done.bytes));
  for (const std::string& line : w.host.log()) Say("log", line);
  return 0;
}

// ---- measuring -------------------------------------------------------------------------------------------------

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One slice, submitted and polled for without a pause.
bool Move(Worker& w, uint32_t op, void* local, uint64_t bytes, slipway_remote* remote) {
  const slipway_slice slice{1, op, 0, local, bytes, nullptr, remote, 0, 0};
  uint32_t accepted = 0, n = 0;
  slipway_completion done{};
  if (w.transport.submit(w.node->channel(), &slice, sizeof(slice), 1, &accepted, nullptr) != SLIPWAY_OK) return false;
  while (n == 0) {
    if (w.transport.poll(w.node->channel(), &done, sizeof(done), 1, &n) != SLIPWAY_OK) return false;
  }
  return done.status == SLIPWAY_OK;
}

// Writes through the transport against memcpy and the same flushes to the same memory, in turns; the best of each.
int Measure(const std::string& config, bool write_back, uint32_t rounds, const std::vector<uint64_t>& sizes) {
  Worker w(config);
  const std::unique_ptr<Node> other = Node::Make(w.transport, w.host, config);
  for (const uint64_t bytes : sizes) {
    char* const memory = w.Allocate(bytes);
    slipway_mr* const mr = other->Register(memory, bytes, kRemoteAccess);
    slipway_remote* const remote = w.node->Import(w.node->Connect(other->Address()), other->Export(mr));
    std::vector<char> data = Pattern(bytes, 4);
    double best[2][2] = {{1e9, 1e9}, {1e9, 1e9}};
    const uint32_t repeat = static_cast<uint32_t>(std::max<uint64_t>(1, (uint64_t{4} << 20) / bytes));
    const std::function<void()> work[2][2] = {{[&] {
                                                 std::memcpy(memory, data.data(), bytes);
                                                 if (write_back) cxl::WriteBack(memory, bytes);
                                               },
                                               [&] {
                                                 if (!Move(w, SLIPWAY_OP_WRITE, data.data(), bytes, remote))
                                                   std::exit(1);
                                               }},
                                              {[&] {
                                                 if (write_back) cxl::Invalidate(memory, bytes);
                                                 std::memcpy(data.data(), memory, bytes);
                                               },
                                               [&] {
                                                 if (!Move(w, SLIPWAY_OP_READ, data.data(), bytes, remote))
                                                   std::exit(1);
                                               }}};
    for (uint32_t turn = 0; turn < 4 * rounds; ++turn) {
      // Either is first as often as the other, and finds the caches alike.
      const uint32_t read = turn / 2 % 2, which = (turn + turn / 4) % 2;
      if (write_back) cxl::Invalidate(memory, bytes);
      const double seconds = Seconds([&] {
        for (uint32_t i = 0; i < repeat; ++i) work[read][which]();
      });
      best[read][which] = std::min(best[read][which], seconds / repeat);
    }
    if (data != Pattern(bytes, 4)) return 1;
    for (int read = 0; read < 2; ++read) {
      std::printf("%s %8llu bytes: memcpy %8.1f MB/s, cxl %8.1f MB/s, ratio %.3f\n", read ? "read " : "write",
                  static_cast<unsigned long long>(bytes), static_cast<double>(bytes) / best[read][0] / 1e6,
                  static_cast<double>(bytes) / best[read][1] / 1e6, best[read][0] / best[read][1]);
    }
    std::fflush(stdout);
    w.extension().release(w.node->instance(), memory);
  }
  return 0;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto word = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  const auto number = [&](size_t i) { return std::strtoull(word(i).c_str(), nullptr, 0); };
  if (word(0) == "serve") return Serve(word(1), number(2));
  if (word(0) == "exchange") return Exchange(word(1), number(2), word(3), word(4));
  if (word(0) == "write-until-failure") return WriteUntilFailure(word(1), number(2), word(3), word(4));
  if (word(0) == "measure") {
    std::vector<uint64_t> sizes;
    for (size_t i = 4; i < words.size(); ++i) sizes.push_back(number(i));
    return Measure(word(1), word(2) == "write-back", static_cast<uint32_t>(number(3)), sizes);
  }
  std::fprintf(stderr,
               "worker serve CONFIG BYTES | exchange CONFIG BYTES ADDRESS BLOB | "
               "write-until-failure CONFIG BYTES [ADDRESS BLOB] | measure CONFIG write-back|plain ROUNDS BYTES...\n");
  return 2;
}

}  // namespace
}  // namespace slipway::test

int main(int argc, char** argv) { return slipway::test::Main(argc, argv); }
