#include "tools/bench/cuda_bench.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

namespace slipway::bench {
namespace {

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

void* Open(const char* file) {
  void* const object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) Die(dlerror());
  return object;
}

template <typename T>
void Find(void* object, const char* name, T& entry) {
  entry = reinterpret_cast<T>(dlsym(object, name));
  if (entry == nullptr) Die(std::string("no ") + name);
}

void Must(int result, const char* what) {
  if (result != 0) Die(std::string(what) + ": CUDA error " + std::to_string(result));
}

}  // namespace

double Seconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  if (values.empty()) return 1e9;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void FillPattern(char* at, uint64_t bytes, uint64_t seed) {
  uint64_t word = seed * 0x9e3779b97f4a7c15u + 1;
  for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    std::memcpy(at + i, &word, 8);
  }
}

std::vector<uint32_t> Shuffled(uint32_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

slipway_copy Up(char* device, const char* host, uint64_t bytes) {
  return {0, device, host, bytes, SLIPWAY_MEM_CUDA, SLIPWAY_MEM_HOST};
}
slipway_copy Down(char* host, const char* device, uint64_t bytes) {
  return {0, host, device, bytes, SLIPWAY_MEM_HOST, SLIPWAY_MEM_CUDA};
}

// ---- host memory -------------------------------------------------------------------------------------------------

HostMemory::HostMemory(uint64_t bytes, bool small_pages) : bytes_(bytes) {
  constexpr uint64_t kHuge = uint64_t{2} << 20;
  mapped_bytes_ = bytes + kHuge;
  void* const mapped = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) Die("no host memory");
  mapped_ = static_cast<char*>(mapped);
  data_ = mapped_ + (kHuge - reinterpret_cast<uintptr_t>(mapped_) % kHuge) % kHuge;
  madvise(data_, bytes, small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  std::memset(data_, 1, bytes);
}
HostMemory::~HostMemory() { munmap(mapped_, mapped_bytes_); }

// ---- the driver --------------------------------------------------------------------------------------------------
// Declared here as in the CUDA Driver API reference, so that no toolkit is needed.

struct Raw::Entries {
  int (*init)(unsigned);
  int (*get_name)(char*, int, int);
  int (*get_count)(int*);
  int (*get_current)(void**);
  int (*retain)(void**, int);
  int (*set_current)(void*);
  int (*alloc)(unsigned long long*, size_t);
  int (*release)(unsigned long long);
  int (*pin)(void*, size_t, unsigned);
  int (*unpin)(void*);
  int (*make_stream)(void**, unsigned);
  int (*copy)(unsigned long long, unsigned long long, size_t, void*);
  int (*wait_stream)(void*);
  int (*wait_all)();
};

Raw::Raw(int ordinal) : e_(std::make_unique<Entries>()) {
  void* const cuda = Open("libcuda.so.1");
  Find(cuda, "cuInit", e_->init);
  Find(cuda, "cuDeviceGetName", e_->get_name);
  Find(cuda, "cuDeviceGetCount", e_->get_count);
  Find(cuda, "cuCtxGetCurrent", e_->get_current);
  Find(cuda, "cuDevicePrimaryCtxRetain", e_->retain);
  Find(cuda, "cuCtxSetCurrent", e_->set_current);
  Find(cuda, "cuMemAlloc_v2", e_->alloc);
  Find(cuda, "cuMemFree_v2", e_->release);
  Find(cuda, "cuMemHostRegister_v2", e_->pin);
  Find(cuda, "cuMemHostUnregister", e_->unpin);
  Find(cuda, "cuStreamCreate", e_->make_stream);
  Find(cuda, "cuMemcpyAsync", e_->copy);
  Find(cuda, "cuStreamSynchronize", e_->wait_stream);
  Find(cuda, "cuCtxSynchronize", e_->wait_all);
  Must(e_->init(0), "cuInit");
  char name[128] = {};
  Must(e_->get_name(name, sizeof(name) - 1, ordinal), "cuDeviceGetName");
  name_ = name;
  Must(e_->retain(&context_, ordinal), "cuDevicePrimaryCtxRetain");
  MakeCurrent();
  Must(e_->make_stream(&stream_, 1), "cuStreamCreate");
}
Raw::~Raw() = default;

void Raw::MakeCurrent() { Must(e_->set_current(context_), "cuCtxSetCurrent"); }
int Raw::device_count() const {
  int count = 0;
  Must(e_->get_count(&count), "cuDeviceGetCount");
  return count;
}
void* Raw::Current() const {
  void* context = nullptr;
  Must(e_->get_current(&context), "cuCtxGetCurrent");
  return context;
}
char* Raw::Alloc(uint64_t bytes) {
  unsigned long long at = 0;
  Must(e_->alloc(&at, bytes), "cuMemAlloc");
  return reinterpret_cast<char*>(at);
}
void Raw::Free(char* device) { Must(e_->release(reinterpret_cast<uintptr_t>(device)), "cuMemFree"); }
void Raw::Pin(void* at, uint64_t bytes) { Must(e_->pin(at, bytes, 3), "cuMemHostRegister"); }
void Raw::Unpin(void* at) { Must(e_->unpin(at), "cuMemHostUnregister"); }
void Raw::Copy(void* to, const void* from, uint64_t bytes) {
  Must(e_->copy(reinterpret_cast<uintptr_t>(to), reinterpret_cast<uintptr_t>(from), bytes, stream_), "cuMemcpyAsync");
  Must(e_->wait_stream(stream_), "cuStreamSynchronize");
}
void Raw::Synchronize() { Must(e_->wait_all(), "cuCtxSynchronize"); }

// ---- the provider ------------------------------------------------------------------------------------------------

namespace {

uint64_t NowNs(void*) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

const slipway_host* TheHost() {
  static const slipway_host host = {
      .struct_size = sizeof(slipway_host),
      .abi_major = SLIPWAY_ABI_MAJOR,
      .abi_minor = SLIPWAY_ABI_MINOR,
      .ctx = nullptr,
      .name = "cuda_copies",
      .version = "1",
      .log_level = [](void*) -> uint32_t { return SLIPWAY_LOG_INFO; },
      .log = [](void*, uint32_t, const char* m, size_t n) { std::fprintf(stderr, "%.*s\n", static_cast<int>(n), m); },
      .now_ns = NowNs,
      .alloc = [](void*, size_t size, size_t align, int32_t) -> void* {
        void* p = nullptr;
        return posix_memalign(&p, std::max(align, sizeof(void*)), size) == 0 ? p : nullptr;
      },
      .dealloc = [](void*, void* p, size_t) { std::free(p); },
      .pin_charge = [](void*, uint64_t) -> slipway_status { return SLIPWAY_OK; },
      .pin_uncharge = [](void*, uint64_t) {},
      .wake = [](void*, void*) {},
      .get_extension = [](void*, const char*) -> const void* { return nullptr; },
  };
  return &host;
}

}  // namespace

Provider::Provider(const std::string& plugin, const std::string& config) {
  const slipway_plugin* descriptor = nullptr;
  Find(Open(plugin.c_str()), SLIPWAY_PLUGIN_SYMBOL, descriptor);
  table_ = descriptor->memory_providers[0];
  slipway_error error{};
  error.struct_size = sizeof(error);
  if (table_->create(TheHost(), config.data(), config.size(), &provider_, &error) != SLIPWAY_OK) Die(error.message);
  if (table_->queue_open(provider_, nullptr, &queue_, &error) != SLIPWAY_OK) Die(error.message);
}
Provider::~Provider() {
  table_->queue_close(queue_);
  table_->destroy(provider_);
}

void Provider::Copy(const std::vector<slipway_copy>& pieces) {
  size_t submitted = 0, completed = 0;
  slipway_completion done[256];
  slipway_error error{};
  error.struct_size = sizeof(error);
  while (completed < pieces.size()) {
    uint32_t accepted = 0, n = 0;
    if (submitted < pieces.size()) {
      const slipway_status s = table_->copy_submit(queue_, &pieces[submitted], sizeof(slipway_copy),
                                                   static_cast<uint32_t>(pieces.size() - submitted), &accepted, &error);
      if (s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN) Die(error.message);
      submitted += accepted;
    }
    do {
      if (table_->copy_poll(queue_, done, sizeof(done[0]), 256, &n) != SLIPWAY_OK) Die("copy_poll");
      for (uint32_t i = 0; i < n; ++i) {
        if (done[i].status != SLIPWAY_OK) Die("a copy failed: CUDA error " + std::to_string(done[i].native));
      }
      completed += n;
    } while (n == 256);
  }
}

ProviderPin::ProviderPin(Provider& provider, const HostMemory& memory, bool pinned) : provider_(provider) {
  if (!pinned) return;
  const uint64_t bytes = (memory.size() + 4095) / 4096 * 4096;
  slipway_error error{};
  error.struct_size = sizeof(error);
  if (provider_.table().pin_host(provider_.get(), memory.data(), bytes, &pin_, &error) != SLIPWAY_OK)
    Die(error.message);
}
ProviderPin::~ProviderPin() {
  if (pin_ != nullptr) provider_.table().unpin_host(provider_.get(), pin_, nullptr);
}

// ---- the load ----------------------------------------------------------------------------------------------------
// Declared here as in the cuBLAS reference.

struct MatrixProduct::Entries {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*multiply)(void*, int, int, int, int, int, const uint16_t*, const void*, int, const void*, int, const uint16_t*,
                  void*, int);
};

namespace {
constexpr int kSide = 8192;
constexpr uint64_t kMatrixBytes = uint64_t{kSide} * kSide * 2;
}  // namespace

MatrixProduct::MatrixProduct(Raw& raw) : raw_(raw), e_(std::make_unique<Entries>()) {
  void* blas = nullptr;
  for (const char* file : {"libcublas.so.13", "libcublas.so.12", "libcublas.so", "/usr/local/cuda/lib64/libcublas.so",
                           "/usr/local/cuda/lib/libcublas.so"}) {
    if (blas == nullptr) blas = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  }
  if (blas == nullptr) return;
  Find(blas, "cublasCreate_v2", e_->create);
  Find(blas, "cublasDestroy_v2", e_->destroy);
  Find(blas, "cublasHgemm", e_->multiply);
  if (e_->create(&handle_) != 0) {
    handle_ = nullptr;
    return;
  }
  matrices_ = raw_.Alloc(3 * kMatrixBytes);
  std::vector<uint16_t> values(kMatrixBytes / 2);
  std::mt19937 random(1);
  for (uint16_t& v : values) v = static_cast<uint16_t>(0x2c00 | (random() & 0x83ff));  // about +-0.1
  raw_.Copy(matrices_, values.data(), kMatrixBytes);
  raw_.Copy(matrices_ + kMatrixBytes, values.data(), kMatrixBytes);
}
MatrixProduct::~MatrixProduct() {
  if (handle_ == nullptr) return;
  raw_.Free(matrices_);
  e_->destroy(handle_);
}

double MatrixProduct::Rate(double seconds, const std::function<void()>& beside) {
  constexpr uint16_t kOne = 0x3c00, kZero = 0;
  const auto multiply = [&] {
    Must(e_->multiply(handle_, 0, 0, kSide, kSide, kSide, &kOne, matrices_, kSide, matrices_ + kMatrixBytes, kSide,
                      &kZero, matrices_ + 2 * kMatrixBytes, kSide),
         "cublasHgemm");
  };
  multiply();
  raw_.Synchronize();
  std::atomic<bool> over{false};
  std::thread other;
  uint32_t times = 0;
  const double took = Seconds([&] {
    if (beside != nullptr) {
      other = std::thread([&] {
        raw_.MakeCurrent();
        while (!over.load()) beside();
      });
    }
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < seconds) {
      for (int i = 0; i < 4; ++i, ++times) multiply();
      raw_.Synchronize();
    }
  });
  over.store(true);
  if (other.joinable()) other.join();
  return times * 2.0 * kSide * kSide * kSide / took;
}

}  // namespace slipway::bench
