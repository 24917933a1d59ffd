// A file in memory that stands for a device, and nodes that use it as their window.
#ifndef SLIPWAY_TESTS_PLUGINS_CXL_WINDOW_FILE_H_
#define SLIPWAY_TESTS_PLUGINS_CXL_WINDOW_FILE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "plugins/cxl/board.h"
#include "plugins/cxl/extension.h"
#include "tests/support/plugin_driver.h"

namespace slipway::test {

inline constexpr uint32_t kRemoteAccess = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;

inline std::vector<char> RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<char> bytes(size);
  for (char& b : bytes) b = static_cast<char>(random());
  return bytes;
}

class WindowFile {
 public:
  static constexpr uint64_t kBoards = cxl::kBoardAreaBytes;

  explicit WindowFile(uint64_t bytes = kBoards + (32 << 20)) : fd_(memfd_create("slipway-test-cxl", MFD_CLOEXEC)) {
    Resize(bytes);
  }
  ~WindowFile() { close(fd_); }
  WindowFile(const WindowFile&) = delete;
  WindowFile& operator=(const WindowFile&) = delete;

  int fd() const { return fd_; }
  // Good in this process and its children.
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  std::string config(const std::string& more = "") const {
    return "{\"windows\": [{\"device\": \"" + path() + "\"}]" + (more.empty() ? "" : ", " + more) + "}";
  }
  // What is beyond is gone, for whoever has it mapped: as when a device is unbound.
  void Resize(uint64_t bytes) { EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0); }

 private:
  const int fd_;
};

// A mapping of a part of a file, of the test's own.
class Mapping {
 public:
  Mapping(const WindowFile& file, uint64_t offset, uint64_t bytes, int flags = MAP_SHARED) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file.fd(), static_cast<off_t>(offset));
    EXPECT_NE(data_, MAP_FAILED);
  }
  ~Mapping() { munmap(data_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  char* data() const { return static_cast<char*>(data_); }
  uint64_t size() const { return bytes_; }

 private:
  void* data_;
  const uint64_t bytes_;
};

class CxlTest : public testing::Test {
 protected:
  // Streams and takes turns early, so that small buffers exercise everything.
  static constexpr const char* kSmallPieces = R"("streaming_bytes": "16KiB", "piece_bytes": "64KiB")";

  std::unique_ptr<Node> Make(const std::string& json) { return Node::Make(transport_, host_, json); }
  // Expects create to fail with `status`, and gives the message.
  std::string Refusal(const std::string& json, slipway_status status) {
    slipway_error error = EmptyError();
    EXPECT_EQ(Node::Create(transport_, host_, json, &error), nullptr);
    EXPECT_EQ(error.code, status) << error.message;
    where_ = error.where;
    return error.message;
  }
  // b_ has memory of the window registered, which a_ has imported.
  void Start(uint64_t bytes = 4 << 20, const std::string& more = kSmallPieces) {
    a_ = Make(file_.config(more));
    b_ = Make(file_.config(more));
    there_ = Allocate(*b_, bytes);
    const std::vector<char> data = RandomBytes(bytes, 7);
    std::copy(data.begin(), data.end(), there_);
    exported_ = b_->Register(there_, bytes, kRemoteAccess);
    peer_ = a_->Connect(b_->Address());
    remote_ = a_->Import(peer_, b_->Export(exported_));
  }
  const slipway_cxl_window& extension() const {
    return *static_cast<const slipway_cxl_window*>(transport_.get_extension(SLIPWAY_CXL_WINDOW_ID));
  }
  char* Allocate(Node& node, uint64_t bytes) {
    void* out = nullptr;
    EXPECT_EQ(extension().allocate(node.instance(), bytes, &out, &node.error()), SLIPWAY_OK) << node.error().message;
    return static_cast<char*>(out);
  }

  const slipway_transport& transport_ = LoadTransport(PluginPath("cxl"), "cxl");
  TestHost host_;
  WindowFile file_;
  std::string where_;
  char* there_ = nullptr;
  std::unique_ptr<Node> a_, b_;
  slipway_mr* exported_ = nullptr;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
};

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_PLUGINS_CXL_WINDOW_FILE_H_
