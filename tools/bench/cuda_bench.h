// What measuring copies of device memory needs: the raw driver, the provider through its C table, memory, and a load.
#ifndef SLIPWAY_TOOLS_BENCH_CUDA_BENCH_H_
#define SLIPWAY_TOOLS_BENCH_CUDA_BENCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "slipway/abi/plugin.h"

namespace slipway::bench {

double Seconds(const std::function<void()>& body);
double Median(std::vector<double> values);
void FillPattern(char* at, uint64_t bytes, uint64_t seed);
std::vector<uint32_t> Shuffled(uint32_t count, uint64_t seed);

slipway_copy Up(char* device, const char* host, uint64_t bytes);
slipway_copy Down(char* host, const char* device, uint64_t bytes);

// Page-aligned and touched; in huge pages, unless `small_pages`.
class HostMemory {
 public:
  HostMemory(uint64_t bytes, bool small_pages);
  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  char* data() const { return data_; }
  uint64_t size() const { return bytes_; }

 private:
  const uint64_t bytes_;
  char* mapped_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  char* data_ = nullptr;
};

// The driver itself, on one device: what there is to compare with. Failures end the program. Not thread-safe.
class Raw {
 public:
  explicit Raw(int ordinal = 0);
  ~Raw();
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  const std::string& device_name() const { return name_; }
  int device_count() const;
  // What of the calling thread the driver knows: its context.
  void* Current() const;
  char* Alloc(uint64_t bytes);
  void Free(char* device);
  void Pin(void* at, uint64_t bytes);
  void Unpin(void* at);
  // One asynchronous copy on a stream of its own, and waiting for it.
  void Copy(void* to, const void* from, uint64_t bytes);
  void Synchronize();  // all of the device
  void MakeCurrent();  // for the calling thread

 private:
  struct Entries;
  std::unique_ptr<Entries> e_;
  void* context_ = nullptr;
  void* stream_ = nullptr;
  std::string name_;
};

class RawPin {
 public:
  RawPin(Raw& raw, const HostMemory& memory) : raw_(raw), at_(memory.data()) { raw_.Pin(at_, memory.size()); }
  ~RawPin() { raw_.Unpin(at_); }
  RawPin(const RawPin&) = delete;
  RawPin& operator=(const RawPin&) = delete;

 private:
  Raw& raw_;
  void* const at_;
};

// The provider and one queue. Failures end the program.
class Provider {
 public:
  Provider(const std::string& plugin, const std::string& config);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;
  // Submits all pieces and waits for them, polling.
  void Copy(const std::vector<slipway_copy>& pieces);
  const slipway_memory_provider& table() const { return *table_; }
  slipway_provider* get() const { return provider_; }

 private:
  const slipway_memory_provider* table_ = nullptr;
  slipway_provider* provider_ = nullptr;
  slipway_copy_queue* queue_ = nullptr;
};

class ProviderPin {
 public:
  ProviderPin(Provider& provider, const HostMemory& memory, bool pinned);
  ~ProviderPin();
  ProviderPin(const ProviderPin&) = delete;
  ProviderPin& operator=(const ProviderPin&) = delete;

 private:
  Provider& provider_;
  slipway_pin* pin_ = nullptr;
};

// A product of two large matrices in half precision, by cuBLAS where it is installed.
class MatrixProduct {
 public:
  explicit MatrixProduct(Raw& raw);
  ~MatrixProduct();
  MatrixProduct(const MatrixProduct&) = delete;
  MatrixProduct& operator=(const MatrixProduct&) = delete;
  bool usable() const { return handle_ != nullptr; }
  // Multiplies again and again for `seconds`, while `beside` runs again and again on another thread; operations a
  // second.
  double Rate(double seconds, const std::function<void()>& beside);

 private:
  struct Entries;
  Raw& raw_;
  std::unique_ptr<Entries> e_;
  void* handle_ = nullptr;
  char* matrices_ = nullptr;
};

}  // namespace slipway::bench

#endif  // SLIPWAY_TOOLS_BENCH_CUDA_BENCH_H_
