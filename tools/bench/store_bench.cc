// slipway-store-bench: what writes and reads of an embedded store cost, beside memcpy of the same bytes in the same
// run.
//
// Every value that is read is compared with what was written. Prints one JSON object.
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "slipway/store.hpp"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::byte* Allocate(uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) std::abort();
  madvise(data, bytes, MADV_HUGEPAGE);
  for (uint64_t i = 0; i < bytes; ++i)
    static_cast<unsigned char*>(data)[i] = static_cast<unsigned char>(i * 7 + i / 4096);
  return static_cast<std::byte*>(data);
}

void Check(bool good, const std::string& what) {
  if (good) return;
  std::fprintf(stderr, "store-bench: %s\n", what.c_str());
  std::exit(1);
}

// Large values: ratios to memcpy of the same buffers, interleaved.
void Large(const Store& store, uint64_t bytes, int rounds) {
  std::byte* const source = Allocate(bytes);
  std::byte* const target = Allocate(bytes);
  const auto elements = static_cast<int64_t>(bytes / sizeof(float));
  const slipway_tensor tensor = {source, &elements, nullptr, 1, SLIPWAY_DTYPE_F32};
  std::vector<double> copy, put, put_tensor, get;
  for (int round = 0; round < rounds + 1; ++round) {
    Clock::time_point begin = Clock::now();
    std::memcpy(target, source, bytes);
    const double copied = Seconds(begin);
    begin = Clock::now();
    const Status status = store.UpsertFrom("large", source, bytes);
    const double written = Seconds(begin);
    Check(status.ok(), status.message());
    std::memset(target, 0, 4096);
    begin = Clock::now();
    const Result<uint64_t> length = store.GetInto("large", target, bytes);
    const double read = Seconds(begin);
    Check(length.ok() && std::memcmp(source, target, bytes) == 0, "what was read is not what was written");
    begin = Clock::now();
    const Status stored = store.UpsertTensor("large", tensor);
    const double tensor_written = Seconds(begin);
    Check(stored.ok(), stored.message());
    const Result<TensorView> view = store.GetTensor("large");
    Check(view.ok() && std::memcmp(source, view->data(), bytes) == 0, "what was read is not the tensor");
    if (round == 0) continue;  // pages and threads are made
    put_tensor.push_back(tensor_written);
    copy.push_back(copied);
    put.push_back(written);
    get.push_back(read);
  }
  const double gb = static_cast<double>(bytes) / 1e9;
  std::printf(
      "\"large\":{\"bytes\":%llu,\"memcpy_gb_s\":%.2f,\"put_from_gb_s\":%.2f,\"put_tensor_gb_s\":%.2f,"
      "\"get_into_gb_s\":%.2f,\"put_from_to_memcpy\":%.3f,\"put_tensor_to_memcpy\":%.3f,\"get_into_to_memcpy\":%.3f}",
      static_cast<unsigned long long>(bytes), gb / Median(copy), gb / Median(put), gb / Median(put_tensor),
      gb / Median(get), Median(copy) / Median(put), Median(copy) / Median(put_tensor), Median(copy) / Median(get));
  Check(store.Remove("large").ok(), "the value was gone");
  munmap(source, bytes);
  munmap(target, bytes);
}

struct Small {
  std::vector<std::string> keys;
  std::vector<ConstBytes> values;
  std::vector<void*> targets;
  std::vector<uint64_t> sizes;
};

void Batches(const Store& store, std::byte* source, std::byte* target, uint64_t bytes, size_t batch, int rounds) {
  std::vector<double> put, get;
  for (int round = 0; round < rounds; ++round) {
    std::vector<Small> all(64);
    for (size_t b = 0; b < all.size(); ++b) {
      for (size_t i = 0; i < batch; ++i) {
        all[b].keys.push_back("batch/" + std::to_string(b) + "/" + std::to_string(i));
        all[b].values.emplace_back(source + i * bytes, bytes);
        all[b].targets.push_back(target + i * bytes);
        all[b].sizes.push_back(bytes);
      }
    }
    Clock::time_point begin = Clock::now();
    for (const Small& s : all) Check(store.PutBatch(s.keys, s.values).ok(), "a batch was refused");
    put.push_back(Seconds(begin) / static_cast<double>(all.size() * batch));
    begin = Clock::now();
    for (const Small& s : all) Check(store.BatchGetInto(s.keys, s.targets, s.sizes).ok(), "a batch was not read");
    get.push_back(Seconds(begin) / static_cast<double>(all.size() * batch));
    Check(std::memcmp(source, target, bytes * batch) == 0, "what was read is not what was written");
    Check(*store.RemoveAll("batch/") == all.size() * batch, "values were missing");
  }
  std::printf(",\"batches_of_%zu\":{\"bytes\":%llu,\"put_mops\":%.3f,\"get_mops\":%.3f}", batch,
              static_cast<unsigned long long>(bytes), 1e-6 / Median(put), 1e-6 / Median(get));
}

void OneByOne(const Store& store, const char* name, std::byte* source, std::byte* target, uint64_t bytes, int count) {
  std::vector<double> put, get;
  for (int i = 0; i < count; ++i) {
    const std::string key = "one/" + std::to_string(i);
    Clock::time_point begin = Clock::now();
    const bool stored = store.PutFrom(key, source, bytes).ok();
    put.push_back(Seconds(begin) * 1e6);
    begin = Clock::now();
    const Result<uint64_t> got = store.GetInto(key, target, bytes);
    get.push_back(Seconds(begin) * 1e6);
    Check(stored && got.ok() && std::memcmp(source, target, bytes) == 0, "what was read is not what was written");
  }
  Check(store.RemoveAll("one/").ok(), "values could not be removed");
  std::printf(",\"%s\":{\"bytes\":%llu,\"put_us\":%.2f,\"get_us\":%.2f}", name, static_cast<unsigned long long>(bytes),
              Median(put), Median(get));
}

int Run(const std::string& config, const std::string& connect, uint64_t large_bytes, int rounds) {
  Result<Store> store = Store::FromJson(config);
  Check(store.ok(), store.status().message());
  std::byte* const source = Allocate(1 << 20);
  std::byte* const target = Allocate(1 << 20);
  std::printf("{");
  Large(*store, large_bytes, rounds);
  Batches(*store, source, target, 1024, 256, rounds);
  OneByOne(*store, "one", source, target, 1024, 20'000);
  if (!connect.empty()) {
    Result<Store> remote = Store::FromJson(connect);
    Check(remote.ok(), remote.status().message());
    OneByOne(*remote, "remote", source, target, 1024, 3000);
  }
  std::printf("}\n");
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  CLI::App app("Measures an embedded store");
  std::string config = R"({"store": {"bytes": "2GiB"}})", connect;
  uint64_t large_bytes = 512u << 20;
  int rounds = 5;
  app.add_option("--config", config, "configuration, as JSON text");
  app.add_option("--connect", connect, "of a client of a store in another process, as JSON text");
  app.add_option("--large-bytes", large_bytes, "length of the large value");
  app.add_option("--rounds", rounds, "of which medians are taken")->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  return slipway::Run(config, connect, large_bytes, rounds);
}
