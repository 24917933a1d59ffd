#include "tests/plugins/cuda/provider.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace slipway::test {
namespace {

void* Load(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::abort();
  }
  return handle;
}

}  // namespace

const slipway_memory_provider& CudaTable() {
  static const auto* const plugin =
      static_cast<const slipway_plugin*>(dlsym(Load(PluginPath("cuda")), SLIPWAY_PLUGIN_SYMBOL));
  return *plugin->memory_providers[0];
}

std::string CudaLibrary() {
  if (const char* const library = std::getenv("SLIPWAY_TEST_CUDA_LIBRARY")) return library;
  const char* const folder = std::getenv("SLIPWAY_TEST_FIXTURE_DIR");
  return std::string(folder != nullptr ? folder : ".") + "/fake-cuda/libcuda.so.1";
}

const fake_cuda::Control* FakeCuda() {
  static const auto* const control =
      static_cast<const fake_cuda::Control*>(dlsym(Load(CudaLibrary()), fake_cuda::kFakeCudaSymbol));
  return control;
}

std::string CudaConfig(const std::string& more) {
  return R"({"library": ")" + CudaLibrary() + "\"" + (more.empty() ? "" : ", " + more) + "}";
}

// ---- host memory -------------------------------------------------------------------------------------------------

HostBuffer::HostBuffer(size_t size) : size_(size) {
  data_ = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}
HostBuffer::~HostBuffer() { munmap(data_, size_); }
void HostBuffer::FillRandom(uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < size_; i += 8) {
    const uint64_t word = random();
    std::memcpy(data_ + i, &word, std::min<size_t>(8, size_ - i));
  }
}
void HostBuffer::Fill(char value) { std::memset(data_, value, size_); }

// ---- provider ----------------------------------------------------------------------------------------------------

void CudaTest::SetUp() {
  if (FakeCuda() != nullptr) FakeCuda()->reset();
}

void CudaTest::TearDown() {
  const bool fake = FakeCuda() != nullptr;
  const fake_cuda::Counts before = fake ? FakeCounts() : fake_cuda::Counts{};
  Close();
  if (!fake) return;
  EXPECT_EQ(before.illegal_accesses, 0u) << "a kernel reached for memory that it may not see";
  EXPECT_EQ(before.context_mistakes, 0u) << "a call came without the context it needs";
  const fake_cuda::Counts left = FakeCounts();
  EXPECT_EQ(left.allocations + left.registrations + left.streams + left.events + left.modules + left.contexts, 0u)
      << left.allocations << " allocations, " << left.registrations << " registrations, " << left.streams
      << " streams, " << left.events << " events, " << left.modules << " modules, " << left.contexts
      << " contexts left";
}

slipway_status CudaTest::TryOpen(const std::string& more, slipway_provider** out) {
  const std::string json = CudaConfig(more);
  error_ = EmptyError();
  return t_.create(host_.table(), json.data(), json.size(), out, &error_);
}

void CudaTest::Open(const std::string& more) {
  ASSERT_EQ(TryOpen(more, &provider_), SLIPWAY_OK) << error_.where << ": " << error_.message;
  memory_ = &Extension<slipway_test_memory>(SLIPWAY_TEST_MEMORY_ID);
  ASSERT_EQ(Checked("queue_open", [&] { return t_.queue_open(provider_, cookie(), &queue_, &error_); }), SLIPWAY_OK)
      << error_.message;
}

void CudaTest::Close() {
  if (provider_ == nullptr) return;
  if (queue_ != nullptr) {
    slipway_status s = SLIPWAY_E_BUSY;
    WaitUntil([&] {
      Poll();
      s = Checked("queue_close", [&] { return t_.queue_close(queue_); });
      return s != SLIPWAY_E_BUSY;
    });
    EXPECT_EQ(s, SLIPWAY_OK);
  }
  for (slipway_pin* pin : pins_) t_.unpin_host(provider_, pin, nullptr);
  for (void* at : allocated_) memory_->dealloc(provider_, at);
  pins_.clear();
  allocated_.clear();
  t_.destroy(provider_);
  provider_ = nullptr;
  queue_ = nullptr;
}

char* CudaTest::Device(size_t bytes) {
  void* at = nullptr;
  EXPECT_EQ(memory_->alloc(provider_, bytes, &at), SLIPWAY_OK);
  allocated_.push_back(at);
  return static_cast<char*>(at);
}
void CudaTest::WriteDevice(char* device, const HostBuffer& from, size_t bytes) {
  Copy({Up(device, from.data(), bytes)});
}
std::string CudaTest::ReadDevice(const char* device, size_t bytes) {
  std::string out(bytes, '\0');
  Copy({Down(out.data(), device, bytes)});
  return out;
}

slipway_status CudaTest::TryPin(void* addr, uint64_t length, slipway_pin** out) {
  error_ = EmptyError();
  const slipway_status s = Checked("pin_host", [&] { return t_.pin_host(provider_, addr, length, out, &error_); });
  if (s == SLIPWAY_OK) pins_.push_back(*out);
  return s;
}
slipway_pin* CudaTest::Pin(HostBuffer& buffer) {
  slipway_pin* pin = nullptr;
  EXPECT_EQ(TryPin(buffer.data(), buffer.size(), &pin), SLIPWAY_OK) << error_.message;
  return pin;
}
slipway_status CudaTest::Unpin(slipway_pin* pin) {
  error_ = EmptyError();
  const slipway_status s = Checked("unpin_host", [&] { return t_.unpin_host(provider_, pin, &error_); });
  if (s == SLIPWAY_OK) std::erase(pins_, pin);
  return s;
}
slipway_mem_info CudaTest::Classify(const void* addr, uint64_t length) {
  slipway_mem_info info{sizeof(info), -77, 0, nullptr, 0, 0};
  EXPECT_EQ(Checked("classify", [&] { return t_.classify(provider_, addr, length, &info); }), SLIPWAY_OK);
  return info;
}

// ---- copies ------------------------------------------------------------------------------------------------------

slipway_copy CudaTest::Up(char* device, const char* host, uint64_t length) {
  return {next_token_++, device, host, length, kCuda, kHost};
}
slipway_copy CudaTest::Down(char* host, const char* device, uint64_t length) {
  return {next_token_++, host, device, length, kHost, kCuda};
}
slipway_copy CudaTest::Across(char* to, const char* from, uint64_t length) {
  return {next_token_++, to, from, length, kCuda, kCuda};
}

slipway_status CudaTest::Submit(const std::vector<slipway_copy>& pieces, uint32_t* accepted) {
  error_ = EmptyError();
  return Checked("copy_submit", [&] {
    return t_.copy_submit(queue_, pieces.data(), sizeof(slipway_copy), static_cast<uint32_t>(pieces.size()), accepted,
                          &error_);
  });
}

slipway_status CudaTest::SubmitGroup(uint64_t token, const std::vector<slipway_copy>& pieces, uint32_t* accepted) {
  error_ = EmptyError();
  return Checked("group submit", [&] {
    return Extension<slipway_memory_group>(SLIPWAY_MEMORY_GROUP_ID)
        .submit(queue_, token, pieces.data(), sizeof(slipway_copy), static_cast<uint32_t>(pieces.size()), accepted,
                &error_);
  });
}

std::vector<slipway_completion> CudaTest::Poll(uint32_t max) {
  std::vector<slipway_completion> done(max);
  uint32_t n = 0;
  EXPECT_EQ(Checked("copy_poll", [&] { return t_.copy_poll(queue_, done.data(), sizeof(done[0]), max, &n); }),
            SLIPWAY_OK);
  done.resize(n);
  return done;
}

std::vector<slipway_completion> CudaTest::Drain(size_t count) {
  std::vector<slipway_completion> all;
  WaitUntil([&] {
    for (const slipway_completion& c : Poll()) all.push_back(c);
    return all.size() >= count;
  });
  EXPECT_EQ(all.size(), count) << "completions";
  return all;
}

void CudaTest::Copy(const std::vector<slipway_copy>& pieces) {
  struct Awaited {
    uint64_t bytes = 0, pieces = 1;
  };
  std::map<uint64_t, Awaited> expected;
  if (!in_groups_) {
    for (const slipway_copy& p : pieces) expected[p.token] = {p.length};
  }
  size_t submitted = 0, completed = 0;
  const bool done = WaitUntil([&] {
    if (submitted < pieces.size()) {
      uint32_t accepted = 0;
      const std::vector<slipway_copy> rest(pieces.begin() + static_cast<ptrdiff_t>(submitted), pieces.end());
      const slipway_status s = in_groups_ ? SubmitGroup(rest.front().token, rest, &accepted) : Submit(rest, &accepted);
      EXPECT_TRUE(s == SLIPWAY_OK || s == SLIPWAY_E_AGAIN) << s << ": " << error_.message;
      if (s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN) return true;
      if (in_groups_ && accepted > 0) {
        Awaited& group = expected[rest.front().token] = {0, accepted};
        for (uint32_t i = 0; i < accepted; ++i) group.bytes += rest[i].length;
      }
      submitted += accepted;
    }
    for (const slipway_completion& c : Poll()) {
      const auto it = expected.find(c.token);
      if (it == expected.end()) {
        ADD_FAILURE() << "a token that is wrong, or twice";
        continue;
      }
      EXPECT_EQ(c.status, SLIPWAY_OK) << "native " << c.native;
      EXPECT_EQ(c.bytes, it->second.bytes);
      completed += it->second.pieces;
      expected.erase(it);
    }
    return completed == pieces.size();
  });
  EXPECT_TRUE(done) << completed << " of " << pieces.size() << " completed";
}

slipway_status CudaTest::CopyOne(const slipway_copy& piece) {
  uint32_t accepted = 0;
  const slipway_status s = Submit({piece}, &accepted);
  if (s != SLIPWAY_OK) return s;
  const std::vector<slipway_completion> done = Drain(1);
  return done.empty() ? SLIPWAY_E_TIMEOUT : done[0].status;
}

uint64_t CudaTest::Stat(const std::string& name) {
  const auto& stats = Extension<sdk::MemoryStats>(sdk::kMemoryStatsId);
  char text[2048];
  size_t length = sizeof(text);
  EXPECT_EQ(stats.stats_json(provider_, text, &length), SLIPWAY_OK);
  const std::string json(text, length), key = "\"" + name + "\": ";
  const size_t at = json.find(key);
  EXPECT_NE(at, std::string::npos) << name << " in " << json;
  return at == std::string::npos ? 0 : std::strtoull(json.c_str() + at + key.size(), nullptr, 10);
}

}  // namespace slipway::test
