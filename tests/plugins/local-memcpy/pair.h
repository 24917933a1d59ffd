// Two instances of local-memcpy in this process, the first of which reaches a buffer of the second.
#ifndef SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_PAIR_H_
#define SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_PAIR_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/plugin_driver.h"

namespace slipway::test {

inline constexpr uint32_t kRemoteAccess = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;

inline std::vector<char> RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<char> bytes(size);
  for (char& b : bytes) b = static_cast<char>(random());
  return bytes;
}

class LocalMemcpyTest : public testing::Test {
 protected:
  // Splits and streams early, so that small buffers exercise everything.
  static constexpr const char* kSmallPieces =
      R"({"threads": 3, "inline_bytes": 1024, "split_bytes": "64KiB", "streaming_bytes": "256KiB"})";

  void Start(size_t there_bytes = 1 << 20, const std::string& json = kSmallPieces) {
    a_ = Node::Make(transport_, host_, json);
    b_ = Node::Make(transport_, host_, json);
    there_ = RandomBytes(there_bytes, 7);
    exported_ = b_->Register(there_.data(), there_.size());
    peer_ = a_->Connect(b_->Address());
    remote_ = a_->Import(peer_, b_->Export(exported_));
  }

  const slipway_transport& transport_ = LoadTransport(PluginPath("local-memcpy"), "local-memcpy");
  TestHost host_;
  std::vector<char> there_;
  std::unique_ptr<Node> a_, b_;
  slipway_mr* exported_ = nullptr;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
};

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_PLUGINS_LOCAL_MEMCPY_PAIR_H_
