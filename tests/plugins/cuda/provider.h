// Drives the cuda provider through its C table. With the fake driver by default; SLIPWAY_TEST_CUDA_LIBRARY=libcuda.so.1
// runs the same on a device, but for the tests that need the fake's control.
#ifndef SLIPWAY_TESTS_PLUGINS_CUDA_PROVIDER_H_
#define SLIPWAY_TESTS_PLUGINS_CUDA_PROVIDER_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/abi/group.h"
#include "slipway/abi/plugin.h"
#include "slipway/sdk/memory_provider_extensions.hpp"
#include "tests/fixtures/fake-cuda/control.h"
#include "tests/support/plugin_driver.h"
#include "tools/conform/test_memory.h"

namespace slipway::test {

inline constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20;
inline constexpr uint64_t kHost = SLIPWAY_MEM_HOST, kCuda = SLIPWAY_MEM_CUDA;

const slipway_memory_provider& CudaTable();
std::string CudaLibrary();
// NULL where the library is not the fake.
const fake_cuda::Control* FakeCuda();
// {"library": ..., and what else} as text; `more` is the inside of a JSON object.
std::string CudaConfig(const std::string& more = "");

// Page-aligned host memory.
class HostBuffer {
 public:
  explicit HostBuffer(size_t size);
  ~HostBuffer();
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;
  char* data() const { return data_; }
  size_t size() const { return size_; }
  void FillRandom(uint64_t seed);
  void Fill(char value);
  std::string_view view(size_t offset = 0, size_t length = std::string_view::npos) const {
    return std::string_view(data_, size_).substr(offset, length);
  }

 private:
  const size_t size_;
  char* data_;
};

// One provider and one queue of it. Every call of the table is checked to leave the thread's state of the device alone.
class CudaTest : public testing::Test {
 protected:
  static constexpr const char* kSmallRing =
      R"("ring_bytes": "1MiB", "ring_chunk_bytes": "128KiB", "copy_threads": 2, "inline_bytes": "16KiB")";

  void SetUp() override;
  void TearDown() override;

  void Open(const std::string& more = kSmallRing);
  void Close();
  slipway_status TryOpen(const std::string& more, slipway_provider** out);

  char* Device(size_t bytes);  // of the first device; freed at the end
  void WriteDevice(char* device, const HostBuffer& from, size_t bytes);
  std::string ReadDevice(const char* device, size_t bytes);

  slipway_status TryPin(void* addr, uint64_t length, slipway_pin** out);
  slipway_pin* Pin(HostBuffer& buffer);
  slipway_status Unpin(slipway_pin* pin);
  slipway_mem_info Classify(const void* addr, uint64_t length = 1);

  // Tokens are counted up from 1.
  slipway_copy Up(char* device, const char* host, uint64_t length);
  slipway_copy Down(char* host, const char* device, uint64_t length);
  slipway_copy Across(char* to, const char* from, uint64_t length);
  slipway_status Submit(const std::vector<slipway_copy>& pieces, uint32_t* accepted);
  slipway_status SubmitGroup(uint64_t token, const std::vector<slipway_copy>& pieces, uint32_t* accepted);
  std::vector<slipway_completion> Poll(uint32_t max = 64);
  std::vector<slipway_completion> Drain(size_t count);
  // Submits all of them, as there is room, and expects all of them to complete as OK. In groups, if that is set.
  void Copy(const std::vector<slipway_copy>& pieces);
  // The status that one piece completes with.
  slipway_status CopyOne(const slipway_copy& piece);

  uint64_t Stat(const std::string& name);
  template <typename T>
  const T& Extension(const char* id) {
    return *static_cast<const T*>(t_.get_extension(id));
  }
  fake_cuda::Counts FakeCounts() { return FakeCuda()->counts(); }
  void* cookie() { return this; }

  // Calls, and compares the thread's state before and after.
  template <typename Call>
  slipway_status Checked(const char* what, Call&& call) {
    const uint64_t before = ThreadState();
    const slipway_status s = call();
    EXPECT_EQ(ThreadState(), before) << what << " changed the calling thread's context or mode of capture";
    return s;
  }
  uint64_t ThreadState() { return provider_ == nullptr ? 0 : memory_->thread_state(provider_); }

  const slipway_memory_provider& t_ = CudaTable();
  TestHost host_;
  slipway_error error_ = EmptyError();
  slipway_provider* provider_ = nullptr;
  slipway_copy_queue* queue_ = nullptr;
  const slipway_test_memory* memory_ = nullptr;
  std::vector<void*> allocated_;
  std::vector<slipway_pin*> pins_;
  uint64_t next_token_ = 1;
  bool in_groups_ = false;
};

// For tests that need the fake's control.
#define SLIPWAY_NEEDS_FAKE() \
  if (FakeCuda() == nullptr) GTEST_SKIP() << "needs the fake driver"

}  // namespace slipway::test

#endif  // SLIPWAY_TESTS_PLUGINS_CUDA_PROVIDER_H_
