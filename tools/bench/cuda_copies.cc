// Copies between host and device through the cuda provider, beside raw copies from pinned memory in the same run.
//
// Every case is measured in rounds, raw and provider in turn; a ratio is that of the medians of their times. What was
// moved is compared byte by byte. tools/bench/cuda_copies builds and runs it; needs a device.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "tools/bench/cuda_bench.h"

namespace slipway::bench {
namespace {

struct Options {
  std::string plugin = "build/gcc/lib/slipway/plugins/libslipway-cuda.so", config = "{}", only;
  uint32_t rounds = 9;
  bool methods = false, json = false;
};

struct Row {
  std::string name;
  double raw_per_s, provider_per_s, ratio, spread, target;
};

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), raw_(), provider_(options.plugin, options.config) {
    device_ = raw_.Alloc(kDeviceBytes);
  }

  void Run();
  void Methods();
  void Busy();
  void Print() const;
  bool verified() const { return verified_; }

 private:
  static constexpr uint64_t kDeviceBytes = uint64_t{1} << 30;

  bool Wanted(const std::string& name) const {
    return options_.only.empty() || name.find(options_.only) != std::string::npos;
  }
  void Add(const std::string& name, uint64_t bytes, const std::function<void()>& raw, const std::function<void()>& ours,
           double target);
  void Check(const std::string& name, bool same) {
    verified_ = verified_ && same;
    if (!same) std::fprintf(stderr, "%s: the bytes are wrong\n", name.c_str());
  }
  void Whole(uint64_t bytes, bool pinned, bool small_pages, double target_down, double target_up);
  void DriverPageable(uint64_t bytes);
  void Scattered(uint32_t count, uint64_t block, bool pinned, double target);
  void Latency();
  std::vector<slipway_copy> Blocks(char* host, uint32_t count, uint64_t block, bool down, uint64_t seed) const;

  const Options options_;
  Raw raw_;
  Provider provider_;
  char* device_ = nullptr;
  std::vector<Row> rows_;
  bool verified_ = true;
};

void Bench::Add(const std::string& name, uint64_t bytes, const std::function<void()>& raw,
                const std::function<void()>& ours, double target) {
  std::vector<double> raw_s, ours_s;
  for (uint32_t i = 0; i < options_.rounds + 2; ++i) {
    const double a = Seconds(raw), b = Seconds(ours);
    if (i < 2) continue;  // first touches
    raw_s.push_back(a);
    ours_s.push_back(b);
  }
  const double best = Median(raw_s), mine = Median(ours_s);
  const double spread =
      (*std::max_element(ours_s.begin(), ours_s.end()) - *std::min_element(ours_s.begin(), ours_s.end())) / mine;
  const auto amount = static_cast<double>(bytes);
  rows_.push_back({name, amount / best, amount / mine, best / mine, spread, target});
  if (!options_.json) {
    std::printf("%-46s %8.2f %8.2f %7.3f %7.2f  %s\n", name.c_str(), amount / best / 1e9, amount / mine / 1e9,
                best / mine, spread,
                target == 0             ? ""
                : best / mine >= target ? "ok"
                                        : "BELOW");
    std::fflush(stdout);
  }
}

// One piece, beside a raw copy between the same device memory and pinned memory.
void Bench::Whole(uint64_t bytes, bool pinned, bool small_pages, double target_down, double target_up) {
  const std::string what =
      std::to_string(bytes >> 20) + " MiB, " + (pinned ? "pinned" : "pageable") + (small_pages ? ", 4 KiB pages" : "");
  if (!Wanted(what)) return;
  HostMemory reference(bytes, false), host(bytes, small_pages);
  const RawPin reference_pin(raw_, reference);
  ProviderPin pin(provider_, host, pinned);
  FillPattern(reference.data(), bytes, bytes);
  raw_.Copy(device_, reference.data(), bytes);
  Add(
      "down, " + what, bytes, [&] { raw_.Copy(reference.data(), device_, bytes); },
      [&] { provider_.Copy({Down(host.data(), device_, bytes)}); }, target_down);
  Check("down, " + what, std::memcmp(host.data(), reference.data(), bytes) == 0);
  FillPattern(host.data(), bytes, bytes + 1);
  Add(
      "up, " + what, bytes, [&] { raw_.Copy(device_ + bytes, reference.data(), bytes); },
      [&] { provider_.Copy({Up(device_, host.data(), bytes)}); }, target_up);
  raw_.Copy(reference.data(), device_, bytes);
  Check("up, " + what, std::memcmp(host.data(), reference.data(), bytes) == 0);
}

// What the driver itself makes of pageable memory.
void Bench::DriverPageable(uint64_t bytes) {
  const std::string what = std::to_string(bytes >> 20) + " MiB, pageable, by the driver";
  if (!Wanted(what)) return;
  HostMemory reference(bytes, false), host(bytes, false);
  const RawPin reference_pin(raw_, reference);
  Add(
      "down, " + what, bytes, [&] { raw_.Copy(reference.data(), device_, bytes); },
      [&] { raw_.Copy(host.data(), device_, bytes); }, 0);
  Add(
      "up, " + what, bytes, [&] { raw_.Copy(device_, reference.data(), bytes); },
      [&] { raw_.Copy(device_, host.data(), bytes); }, 0);
}

// Blocks in random order on both sides, every second one of the device's.
std::vector<slipway_copy> Bench::Blocks(char* host, uint32_t count, uint64_t block, bool down, uint64_t seed) const {
  const std::vector<uint32_t> here = Shuffled(count, seed), there = Shuffled(count, seed + 1);
  std::vector<slipway_copy> pieces;
  for (uint32_t i = 0; i < count; ++i) {
    char* const h = host + here[i] * block;
    char* const d = device_ + 2 * there[i] * block;
    pieces.push_back(down ? Down(h, d, block) : Up(d, h, block));
    pieces.back().token = i;
  }
  return pieces;
}

void Bench::Scattered(uint32_t count, uint64_t block, bool pinned, double target) {
  const uint64_t bytes = count * block;
  const std::string what =
      std::to_string(count) + " x " + std::to_string(block >> 10) + " KiB, " + (pinned ? "pinned" : "pageable");
  if (!Wanted(what) || 2 * bytes > kDeviceBytes) return;
  HostMemory reference(bytes, false), host(bytes, false), back(bytes, false);
  const RawPin reference_pin(raw_, reference);
  ProviderPin pin(provider_, host, pinned), back_pin(provider_, back, pinned);
  FillPattern(host.data(), bytes, bytes);
  const std::vector<slipway_copy> up = Blocks(host.data(), count, block, false, 5);
  std::vector<slipway_copy> down;
  for (const slipway_copy& c : up) {
    down.push_back(
        Down(back.data() + (static_cast<const char*>(c.src) - host.data()), static_cast<char*>(c.dst), block));
    down.back().token = c.token;
  }
  Add(
      "up, " + what, bytes, [&] { raw_.Copy(device_, reference.data(), bytes); }, [&] { provider_.Copy(up); }, target);
  provider_.Copy(up);
  Add(
      "down, " + what, bytes, [&] { raw_.Copy(reference.data(), device_, bytes); }, [&] { provider_.Copy(down); },
      target);
  Check(what, std::memcmp(host.data(), back.data(), bytes) == 0);
}

void Bench::Latency() {
  constexpr uint32_t kTimes = 2000;
  for (const bool pinned : {true, false}) {
    const std::string what = std::string("4 KiB, one at a time, ") + (pinned ? "pinned" : "pageable");
    if (!Wanted(what)) continue;
    HostMemory reference(4096, false), host(4096, false);
    const RawPin reference_pin(raw_, reference);
    ProviderPin pin(provider_, host, pinned);
    const auto times = [&](const std::function<void()>& once) {
      return [once] {
        for (uint32_t i = 0; i < kTimes; ++i) once();
      };
    };
    for (const bool down : {true, false}) {
      const std::vector<slipway_copy> piece = {down ? Down(host.data(), device_, 4096)
                                                    : Up(device_, host.data(), 4096)};
      Add((down ? "down, " : "up, ") + what, kTimes * 4096, times([&] {
            down ? raw_.Copy(reference.data(), device_, 4096) : raw_.Copy(device_, reference.data(), 4096);
          }),
          times([&] { provider_.Copy(piece); }), 1 / 1.3);
      if (!options_.json)
        std::printf("  %.2f us a copy, raw %.2f us\n", 4096 / rows_.back().provider_per_s * 1e6,
                    4096 / rows_.back().raw_per_s * 1e6);
    }
  }
}

void Bench::Run() {
  if (!options_.json) std::printf("%-46s %8s %8s %7s %7s\n", "GB/s", "raw", "ours", "ratio", "spread");
  constexpr uint64_t kMiB = 1 << 20, kKiB = 1 << 10;
  for (const uint64_t mib : {64, 256, 512}) Whole(mib * kMiB, true, false, 0.97, 0.97);
  for (const uint64_t mib : {64, 256, 512}) Whole(mib * kMiB, false, false, 0.88, 0.80);
  for (const uint64_t mib : {64, 512}) Whole(mib * kMiB, false, true, 0, 0);
  for (const uint64_t mib : {1, 2, 8}) Whole(mib * kMiB, false, false, 0, 0);
  for (const uint64_t mib : {1, 2, 8, 64, 512}) DriverPageable(mib * kMiB);
  for (const bool pinned : {true, false}) {
    Scattered(4096, 64 * kKiB, pinned, pinned ? 0.92 : 0);
    Scattered(16384, 16 * kKiB, pinned, pinned ? 0.92 : 0);
    Scattered(65536, 4 * kKiB, pinned, pinned ? 0.90 : 0);
  }
  Latency();
}

// One method at a time for pieces of many sizes and counts: what the provider's choice among them is made from.
void Bench::Methods() {
  std::printf("\nGB/s by method, pinned\n%-28s", "");
  const char* const methods[] = {"single", "batch", "kernel", "auto"};
  for (const char* m : methods) std::printf(" %6s down %6s up", m, m);
  std::printf("\n");
  std::vector<std::unique_ptr<Provider>> providers;
  for (const char* m : methods) {
    providers.push_back(std::make_unique<Provider>(options_.plugin, std::string(R"({"method": ")") + m + "\"}"));
  }
  for (const uint64_t kib : {4, 16, 32, 64, 128, 512}) {
    for (const uint32_t count : {8, 64, 512, 4096}) {
      const uint64_t block = kib << 10, bytes = block * count;
      if (bytes > kDeviceBytes / 4) continue;
      std::printf("%6u x %5llu KiB            ", count, static_cast<unsigned long long>(kib));
      HostMemory host(std::max<uint64_t>(bytes, 4096), false);
      const RawPin pin(raw_, host);
      for (const auto& provider : providers) {
        for (const bool down : {true, false}) {
          const std::vector<slipway_copy> pieces = Blocks(host.data(), count, block, down, 9);
          std::vector<double> seconds;
          for (int i = 0; i < 7; ++i) seconds.push_back(Seconds([&] { provider->Copy(pieces); }));
          std::printf(" %10.2f", static_cast<double>(bytes) / Median(seconds) / 1e9);
        }
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
}

// What a matrix product and copies cost each other.
void Bench::Busy() {
  MatrixProduct product(raw_);
  if (!product.usable()) {
    std::printf("\nno cuBLAS here: the cases with a busy device are left out\n");
    return;
  }
  constexpr uint64_t kBytes = uint64_t{256} << 20;
  HostMemory host(kBytes, false);
  const RawPin pin(raw_, host);
  const std::vector<slipway_copy> big = {Down(host.data(), device_, kBytes)},
                                  big_up = {Up(device_, host.data(), kBytes)};
  const struct {
    const char* name;
    std::vector<slipway_copy> pieces;
  } cases[] = {{"down, 256 MiB", big},
               {"up, 256 MiB", big_up},
               {"down, 4096 x 64 KiB", Blocks(host.data(), 4096, 64 << 10, true, 3)},
               {"up, 4096 x 64 KiB", Blocks(host.data(), 4096, 64 << 10, false, 3)},
               {"down, 65536 x 4 KiB", Blocks(host.data(), 65536, 4 << 10, true, 3)},
               {"up, 65536 x 4 KiB", Blocks(host.data(), 65536, 4 << 10, false, 3)}};
  std::printf("\n%-24s %10s %10s %8s %12s %12s %8s\n", "with a matrix product", "copy GB/s", "beside it", "ratio",
              "TFLOP/s", "beside it", "ratio");
  const double alone_flops = product.Rate(0.3, nullptr);
  for (const auto& c : cases) {
    std::vector<double> alone, beside;
    for (int i = 0; i < 7; ++i) alone.push_back(Seconds([&] { provider_.Copy(c.pieces); }));
    const double flops = product.Rate(0.3, [&] { beside.push_back(Seconds([&] { provider_.Copy(c.pieces); })); });
    std::printf("%-24s %10.2f %10.2f %8.2f %12.1f %12.1f %8.2f\n", c.name, kBytes / Median(alone) / 1e9,
                kBytes / Median(beside) / 1e9, Median(alone) / Median(beside), alone_flops / 1e12, flops / 1e12,
                flops / alone_flops);
    std::fflush(stdout);
  }
}

void Bench::Print() const {
  if (!options_.json) return;
  std::printf("{\"device\": \"%s\", \"rows\": [", raw_.device_name().c_str());
  for (const Row& r : rows_) {
    std::printf(
        "%s{\"case\": \"%s\", \"raw\": %.0f, \"provider\": %.0f, \"ratio\": %.4f, \"spread\": %.3f, \"target\": %.3f}",
        &r == &rows_.front() ? "" : ", ", r.name.c_str(), r.raw_per_s, r.provider_per_s, r.ratio, r.spread, r.target);
  }
  std::printf("]}\n");
}

int Main(int argc, char** argv) {
  Options options;
  bool busy = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (word == "--plugin") {
      options.plugin = value();
    } else if (word == "--config") {
      options.config = value();
    } else if (word == "--only") {
      options.only = value();
    } else if (word == "--rounds") {
      options.rounds = static_cast<uint32_t>(std::max(1, std::atoi(value().c_str())));
    } else if (word == "--methods") {
      options.methods = true;
    } else if (word == "--busy") {
      busy = true;
    } else if (word == "--json") {
      options.json = true;
    } else {
      std::fprintf(stderr,
                   "usage: cuda_copies [--plugin FILE] [--config JSON] [--only TEXT] [--rounds N] [--methods] [--busy] "
                   "[--json]\n");
      return 2;
    }
  }
  Bench bench(options);
  bench.Run();
  if (options.methods) bench.Methods();
  if (busy) bench.Busy();
  bench.Print();
  return bench.verified() ? 0 : 1;
}

}  // namespace
}  // namespace slipway::bench

int main(int argc, char** argv) { return slipway::bench::Main(argc, argv); }
