// What copying device memory costs: the memory provider by itself and the whole engine, beside raw copies from pinned
// memory in the same run. tools/bench/gpu_table builds it and runs it; needs a device.
//
// Every case is measured in rounds, raw, provider and engine in turn; a ratio is that of the medians of their times.
// Every byte that a case moved is compared. Lists of blocks are written anew before each time, which is not counted: an
// application names other blocks each time too. With --old-lists they are what the last round left of them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "slipway/engine.hpp"
#include "tools/bench/cuda_bench.h"

namespace slipway::bench {
namespace {

using Json = nlohmann::json;
using Body = std::function<void()>;

constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20;
constexpr uint64_t kDeviceBytes = uint64_t{1} << 30;

struct Settings {
  std::string plugins = "build/gcc/lib/slipway/plugins", config = "configs/gpu.json", only;
  uint32_t rounds = 9;
  bool json = false, old_lists = false;
};

template <typename T>
T Must(Result<T> result, const char* what) {
  if (result.ok()) return std::move(*result);
  std::fprintf(stderr, "%s: %s\n", what, result.status().message().c_str());
  std::exit(1);
}
void Must(const Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.message().c_str());
  std::exit(1);
}

// An engine that copies between device memory and a segment of host memory in this process.
class Target {
 public:
  Target(const Settings& settings, const std::string& pin_policy, uint64_t budget_bytes = 0) {
    std::ifstream file(settings.config);
    Json json = Json::parse(file, nullptr, false);
    if (json.is_discarded()) {
      std::fprintf(stderr, "%s cannot be read\n", settings.config.c_str());
      std::exit(1);
    }
    json["plugin_path"] = {settings.plugins};
    json["memory"]["pin_policy"] = pin_policy;
    json["memory"]["budget_bytes"] = budget_bytes;
    json["memory_providers"][0]["required"] = true;
    engine_ = Must(Engine::FromJson(json.dump()), "the engine");
  }

  const Engine& engine() const { return engine_; }
  // As an application does with memory that it will use again and again.
  void Declare(char* memory, uint64_t bytes) const { Must(engine_.Declare(memory, bytes), "declare"); }
  uint64_t Pinned() const { return Described()["memory"].value("pinned_bytes", uint64_t{0}); }
  uint64_t Counted(const char* name) const { return Described()["counters"].value(name, uint64_t{0}); }

 private:
  Json Described() const { return Json::parse(Must(engine_.Describe(), "describe")); }

  Engine engine_;
};

// Host memory as a segment of an engine's own.
class Offered {
 public:
  Offered(const Target& target, const HostMemory& memory) : engine_(target.engine()), data_(memory.data()) {
    const slipway_span span = {memory.data(), memory.size()};
    Must(engine_.Publish("host", {&span, 1}), "publish");
    segment_ = Must(engine_.Open("/host"), "open");
  }
  ~Offered() {
    segment_ = Segment();
    Must(engine_.Withdraw("host"), "withdraw");
  }
  Offered(const Offered&) = delete;
  Offered& operator=(const Offered&) = delete;

  // The same pieces as the provider gets, as one batch.
  std::vector<Request> Requests(const std::vector<slipway_copy>& pieces) const {
    std::vector<Request> requests;
    for (const slipway_copy& c : pieces) {
      const bool down = c.src_kind == SLIPWAY_MEM_CUDA;
      const char* const host = static_cast<const char*>(down ? c.dst : c.src);
      const auto offset = static_cast<uint64_t>(host - data_);
      requests.push_back(down ? WriteRequest(segment_, offset, c.src, c.length)
                              : ReadRequest(segment_, offset, c.dst, c.length));
    }
    return requests;
  }
  Request Block(uint64_t offset, char* device, uint64_t bytes, bool down) const {
    return down ? WriteRequest(segment_, offset, device, bytes) : ReadRequest(segment_, offset, device, bytes);
  }
  void Run(const std::vector<Request>& requests) const {
    Batch batch = Must(engine_.Submit(requests), "submit");
    Status status = batch.Wait();
    while (status.code() == SLIPWAY_IN_PROGRESS) status = batch.Wait();
    Must(status, "a transfer");
  }

 private:
  const Engine& engine_;
  const char* const data_;
  Segment segment_;
};

struct Row {
  std::string name;
  double raw_per_s = 0, provider_per_s = 0, engine_per_s = 0, provider_ratio = 0, engine_ratio = 0, target = 0;
};

class Table {
 public:
  explicit Table(const Settings& settings)
      : settings_(settings),
        provider_(settings.plugins + "/libslipway-cuda.so", "{}"),
        pinning_(settings, "whole-region"),
        unpinned_(settings, "off"),
        on_demand_(settings, "on-demand"),
        device_(raw_.Alloc(kDeviceBytes)) {
    for (const Target* target : {&pinning_, &unpinned_, &on_demand_}) target->Declare(device_, kDeviceBytes);
  }

  void Run();
  void PrintJson() const;
  bool verified() const { return verified_; }

 private:
  bool Wanted(const std::string& name) const { return name.find(settings_.only) != std::string::npos; }
  void Add(const std::string& name, uint64_t bytes, const Body& raw, const Body& provider, const Body& engine,
           double target, const Body& before_provider = Nothing, const Body& before_engine = Nothing);
  static void Nothing() {}
  void Check(const std::string& name, bool same) {
    verified_ = verified_ && same;
    if (!same) std::fprintf(stderr, "%s: the bytes are wrong\n", name.c_str());
  }
  void Whole(uint64_t bytes, bool pinned, double target_down, double target_up);
  void Scattered(uint32_t count, uint64_t block, double target);
  void Latency(bool pinned);
  void OnDemand(uint64_t bytes, bool down);
  void Budget();
  void Several();

  const Settings settings_;
  Raw raw_;
  Provider provider_;
  Target pinning_, unpinned_, on_demand_;
  char* const device_;
  std::vector<Row> rows_;
  bool verified_ = true;
};

void Table::Add(const std::string& name, uint64_t bytes, const Body& raw, const Body& provider, const Body& engine,
                double target, const Body& before_provider, const Body& before_engine) {
  std::vector<double> raw_s, provider_s, engine_s;
  for (uint32_t i = 0; i < settings_.rounds + 2; ++i) {
    const double a = Seconds(raw);
    before_provider();
    const double b = Seconds(provider);
    before_engine();
    const double c = Seconds(engine);
    if (i < 2) continue;  // first touches
    raw_s.push_back(a);
    provider_s.push_back(b);
    engine_s.push_back(c);
  }
  const double a = Median(raw_s), b = Median(provider_s), c = Median(engine_s);
  const auto amount = static_cast<double>(bytes);
  rows_.push_back({name, amount / a, amount / b, amount / c, a / b, a / c, target});
  if (settings_.json) return;
  const auto verdict = [&](double ratio) { return target == 0 ? "" : ratio >= target ? "ok" : "BELOW"; };
  std::printf("%-40s %7.2f %7.2f %7.2f %7.3f %-5s %7.3f %-5s", name.c_str(), amount / a / 1e9, amount / b / 1e9,
              amount / c / 1e9, a / b, verdict(a / b), a / c, verdict(a / c));
  std::printf(target == 0 ? "\n" : " %6.2f\n", target);
  std::fflush(stdout);
}

void Table::Whole(uint64_t bytes, bool pinned, double target_down, double target_up) {
  const std::string what =
      std::to_string(bytes / kMiB) + " MiB, " + (pinned ? "pinned" : "nothing pinned but the ring");
  if (!Wanted(what)) return;
  // The engine pins its own segment, if it may.
  HostMemory reference(bytes, false), host(bytes, false), segment(bytes, false);
  const RawPin reference_pin(raw_, reference);
  const ProviderPin pin(provider_, host, pinned);
  const Offered offered(pinned ? pinning_ : unpinned_, segment);
  const std::vector<slipway_copy> down = {Down(host.data(), device_, bytes)}, up = {Up(device_, host.data(), bytes)};
  const std::vector<Request> write = offered.Requests({Down(segment.data(), device_, bytes)}),
                             read = offered.Requests({Up(device_, segment.data(), bytes)});
  FillPattern(reference.data(), bytes, bytes);
  raw_.Copy(device_, reference.data(), bytes);
  Add(
      "device to host, " + what, bytes, [&] { raw_.Copy(reference.data(), device_, bytes); },
      [&] { provider_.Copy(down); }, [&] { offered.Run(write); }, target_down);
  const auto same = [&](const HostMemory& m) { return std::memcmp(m.data(), reference.data(), bytes) == 0; };
  Check("device to host, " + what, same(host) && same(segment));
  FillPattern(host.data(), bytes, bytes + 1);
  std::memcpy(segment.data(), host.data(), bytes);
  Add(
      "host to device, " + what, bytes, [&] { raw_.Copy(device_ + bytes, reference.data(), bytes); },
      [&] { provider_.Copy(up); }, [&] { offered.Run(read); }, target_up);
  raw_.Copy(reference.data(), device_, bytes);
  Check("host to device, " + what, same(host));
}

void Table::Scattered(uint32_t count, uint64_t block, double target) {
  const uint64_t bytes = count * block;
  const std::string what = std::to_string(count) + " x " + std::to_string(block / kKiB) + " KiB";
  if (!Wanted(what)) return;
  HostMemory reference(bytes, false), host(bytes, false), segment(bytes, false);
  const RawPin reference_pin(raw_, reference);
  const ProviderPin pin(provider_, host, true);
  const Offered offered(pinning_, segment);
  const std::vector<uint32_t> here = Shuffled(count, 5), there = Shuffled(count, 6);
  // What is submitted, and how it is written.
  std::vector<slipway_copy> pieces(count);
  std::vector<Request> requests(count);
  const auto name_pieces = [&](bool is_down) {
    for (uint32_t i = 0; i < count; ++i) {
      char* const d = device_ + 2 * there[i] * block;  // every second block
      char* const h = host.data() + here[i] * block;
      pieces[i] = is_down ? Down(h, d, block) : Up(d, h, block);
      pieces[i].token = i;
    }
  };
  const auto name_requests = [&](bool is_down) {
    for (uint32_t i = 0; i < count; ++i) {
      requests[i] = offered.Block(here[i] * block, device_ + 2 * there[i] * block, block, is_down);
    }
  };
  const auto anew = [this](const auto& name, bool is_down) {
    name(is_down);
    return [&name, is_down, old = settings_.old_lists] {
      if (!old) name(is_down);
    };
  };
  FillPattern(host.data(), bytes, bytes);
  HostMemory expected(bytes, false);
  std::memcpy(expected.data(), host.data(), bytes);
  std::memcpy(segment.data(), host.data(), bytes);
  Body before_provider = anew(name_pieces, false), before_engine = anew(name_requests, false);
  Add(
      "host to device, " + what, bytes, [&] { raw_.Copy(device_ + kDeviceBytes / 2, reference.data(), bytes); },
      [&] { provider_.Copy(pieces); }, [&] { offered.Run(requests); }, target, before_provider, before_engine);
  provider_.Copy(pieces);
  std::memset(host.data(), 0, bytes);
  std::memset(segment.data(), 0, bytes);
  before_provider = anew(name_pieces, true);
  before_engine = anew(name_requests, true);
  Add(
      "device to host, " + what, bytes, [&] { raw_.Copy(reference.data(), device_, bytes); },
      [&] { provider_.Copy(pieces); }, [&] { offered.Run(requests); }, target, before_provider, before_engine);
  Check(what, std::memcmp(host.data(), expected.data(), bytes) == 0 &&
                  std::memcmp(segment.data(), expected.data(), bytes) == 0);
}

void Table::Latency(bool pinned) {
  constexpr uint32_t kTimes = 1000;
  constexpr uint64_t kBytes = 4096;
  const std::string what = std::string("4 KiB, one at a time, ") + (pinned ? "pinned" : "nothing pinned but the ring");
  if (!Wanted(what)) return;
  HostMemory reference(kBytes, false), host(kBytes, false), segment(kBytes, false);
  const RawPin reference_pin(raw_, reference);
  const ProviderPin pin(provider_, host, pinned);
  const Offered offered(pinned ? pinning_ : unpinned_, segment);
  const auto times = [](const Body& once) {
    return [once] {
      for (uint32_t i = 0; i < kTimes; ++i) once();
    };
  };
  for (const bool down : {true, false}) {
    const std::vector<slipway_copy> piece = {down ? Down(host.data(), device_, kBytes)
                                                  : Up(device_, host.data(), kBytes)};
    const std::vector<Request> request =
        offered.Requests({down ? Down(segment.data(), device_, kBytes) : Up(device_, segment.data(), kBytes)});
    Add((down ? "device to host, " : "host to device, ") + what, kTimes * kBytes, times([&] {
          down ? raw_.Copy(reference.data(), device_, kBytes) : raw_.Copy(device_, reference.data(), kBytes);
        }),
        times([&] { provider_.Copy(piece); }), times([&] { offered.Run(request); }), 1 / 1.3);
    const Row& row = rows_.back();
    if (settings_.json) continue;
    const auto us = [](double per_s) { return static_cast<double>(kBytes) / per_s * 1e6; };
    std::printf("  raw %.2f us, provider %.2f us, engine %.2f us\n", us(row.raw_per_s), us(row.provider_per_s),
                us(row.engine_per_s));
  }
}

// Memory that nobody pinned is written to: for the first time, again at once, and again when what is hot is pinned.
void Table::OnDemand(uint64_t bytes, bool down) {
  const std::string what = std::string(down ? "device to host, " : "host to device, ") + std::to_string(bytes / kMiB) +
                           " MiB, pinned on demand";
  if (!Wanted(what)) return;
  HostMemory reference(bytes, false), pageable(bytes, false);
  const RawPin reference_pin(raw_, reference);
  FillPattern(reference.data(), bytes, bytes);
  raw_.Copy(device_, reference.data(), bytes);
  const auto raw = [&](const HostMemory& host) {
    return Seconds([&] { down ? raw_.Copy(host.data(), device_, bytes) : raw_.Copy(device_, host.data(), bytes); });
  };
  std::vector<double> raw_s, driver_s, first_s, second_s, hot_s;
  raw(reference);
  for (uint32_t i = 0; i < settings_.rounds; ++i) {
    HostMemory segment(bytes, false);
    std::memcpy(segment.data(), reference.data(), bytes);
    std::memcpy(pageable.data(), reference.data(), bytes);
    const uint64_t before = on_demand_.Pinned();
    const Offered offered(on_demand_, segment);
    const std::vector<Request> requests =
        offered.Requests({down ? Down(segment.data(), device_, bytes) : Up(device_, segment.data(), bytes)});
    const auto engine = [&] { return Seconds([&] { offered.Run(requests); }); };
    raw_s.push_back(raw(reference));
    driver_s.push_back(raw(pageable));
    first_s.push_back(engine());
    second_s.push_back(engine());
    // Described every so often rather than all the time.
    const double waited_s = Seconds([&] {
      for (int look = 0; look < 200 && on_demand_.Pinned() - before < bytes; ++look) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    });
    if (waited_s > 1) std::fprintf(stderr, "%s: not pinned after a second\n", what.c_str());
    hot_s.push_back(engine());
    Check(what, std::memcmp(segment.data(), reference.data(), bytes) == 0);
  }
  const double r = Median(raw_s), driver = Median(driver_s), first = Median(first_s), hot = Median(hot_s);
  const auto amount = static_cast<double>(bytes);
  rows_.push_back({what, amount / r, amount / driver, amount / hot, r / driver, r / hot, 0.95});
  if (settings_.json) return;
  std::printf(
      "%-40s first %.3f of raw and %.2f of the driver's pageable %s, second at once %.3f, when pinned %.3f %s\n",
      what.c_str(), r / first, driver / first, first <= driver ? "ok" : "BELOW", r / Median(second_s), r / hot,
      r / hot >= 0.95 ? "ok" : "BELOW");
}

// A working set of eight times the budget, hot in parts, and how much is pinned after every step.
void Table::Budget() {
  constexpr uint64_t kBudget = uint64_t{1} << 30, kStep = 64 * kMiB, kPlaces = 128, kSources = 8;
  constexpr uint32_t kSteps = 400;
  const std::string what = "budget 1 GiB, working set 8 GiB";
  if (!Wanted(what)) return;
  const Target target(settings_, "on-demand", kBudget);
  HostMemory sources(kSources * kStep, false), set(kPlaces * kStep, false);
  FillPattern(sources.data(), sources.size(), 1);
  raw_.Copy(device_, sources.data(), sources.size());
  const Offered offered(target, set);
  std::vector<int> holds(kPlaces, -1);
  const std::vector<uint32_t> order = Shuffled(kPlaces, 9);
  uint64_t most = 0, above = 0;
  for (uint32_t i = 0; i < kSteps; ++i) {
    // Every third step anywhere, the others among five places that move on slowly.
    const uint32_t place = order[(i % 3 == 0 ? i : i / 50 + i % 5) % kPlaces];
    holds[place] = static_cast<int>(i % kSources);
    offered.Run(offered.Requests({Down(set.data() + place * kStep, device_ + i % kSources * kStep, kStep)}));
    const uint64_t pinned = target.Pinned();
    most = std::max(most, pinned);
    above += pinned > kBudget;
  }
  for (uint32_t p = 0; p < kPlaces; ++p) {
    const bool same = holds[p] < 0 || std::memcmp(set.data() + p * kStep,
                                                  sources.data() + static_cast<uint64_t>(holds[p]) * kStep, kStep) == 0;
    Check(what, same);
  }
  const uint64_t peak = target.Counted("pin_peak_bytes");
  if (above > 0 || peak > kBudget) verified_ = false;
  if (settings_.json) return;
  std::printf(
      "%-40s %u steps of 64 MiB, above it after %llu, at most %llu MiB seen and %llu MiB ever, %llu evictions %s\n",
      what.c_str(), kSteps, static_cast<unsigned long long>(above), static_cast<unsigned long long>(most / kMiB),
      static_cast<unsigned long long>(peak / kMiB), static_cast<unsigned long long>(target.Counted("pin_evictions")),
      above == 0 && peak <= kBudget ? "ok" : "ABOVE");
}

// All devices at once, a thread each, between memory of their own and a part each of one segment; beside as many raw
// copies at once. A thread's context must be afterwards what it was before.
void Table::Several() {
  const auto count = static_cast<size_t>(raw_.device_count());
  const std::string what = std::to_string(count) + " devices at once, 256 MiB each";
  if (count < 2 || !Wanted(what)) return;
  constexpr uint64_t kBytes = 256 * kMiB;
  HostMemory reference(count * kBytes, false), segment(count * kBytes, false);
  const RawPin pin(raw_, reference);
  const Offered offered(pinning_, segment);
  std::vector<std::unique_ptr<Raw>> raws;
  std::vector<char*> devices;
  for (size_t i = 0; i < count; ++i) {
    raws.push_back(std::make_unique<Raw>(static_cast<int>(i)));
    devices.push_back(raws[i]->Alloc(kBytes));
  }
  FillPattern(reference.data(), reference.size(), 17);
  bool kept = true;
  const auto at_once = [&](const std::function<void(size_t)>& one) {
    return [&, one] {
      std::vector<std::thread> threads;
      std::vector<char> same(count, 1);
      for (size_t i = 0; i < count; ++i) {
        threads.emplace_back([&, i] {
          raws[i]->MakeCurrent();
          void* const before = raws[i]->Current();
          one(i);
          same[i] = raws[i]->Current() == before;
        });
      }
      for (std::thread& t : threads) t.join();
      for (const char s : same) kept = kept && s != 0;
    };
  };
  for (const bool down : {false, true}) {
    std::vector<std::vector<Request>> requests;
    for (size_t i = 0; i < count; ++i) {
      char* const host = segment.data() + i * kBytes;
      requests.push_back(offered.Requests({down ? Down(host, devices[i], kBytes) : Up(devices[i], host, kBytes)}));
    }
    if (!down) std::memcpy(segment.data(), reference.data(), segment.size());
    if (down) std::memset(segment.data(), 0, segment.size());
    const Body raw = at_once([&](size_t i) {
      char* const host = reference.data() + i * kBytes;
      down ? raws[i]->Copy(host, devices[i], kBytes) : raws[i]->Copy(devices[i], host, kBytes);
    });
    Add((down ? "device to host, " : "host to device, ") + what, count * kBytes, raw, raw,
        at_once([&](size_t i) { offered.Run(requests[i]); }), 0);
  }
  Check(what, std::memcmp(segment.data(), reference.data(), segment.size()) == 0);
  for (size_t i = 0; i < count; ++i) {
    raws[i]->MakeCurrent();
    raws[i]->Free(devices[i]);
  }
  raw_.MakeCurrent();
  verified_ = verified_ && kept;
  if (!settings_.json) std::printf("%-40s threads' contexts %s\n", what.c_str(), kept ? "unchanged" : "CHANGED");
}

void Table::Run() {
  if (!settings_.json) {
    std::printf("%s\n%-40s %7s %7s %7s %-13s %-13s %6s\n", raw_.device_name().c_str(), "GB/s, and ratios to raw", "raw",
                "prov.", "engine", "  provider", "  engine", "target");
  }
  for (const uint64_t mib : {64, 256, 512}) Whole(mib * kMiB, true, 0.97, 0.97);
  for (const uint64_t mib : {64, 256, 512}) Whole(mib * kMiB, false, 0.88, 0.80);
  for (const bool down : {true, false}) {
    for (const uint64_t mib : {64, 256}) OnDemand(mib * kMiB, down);
  }
  Budget();
  Scattered(4096, 64 * kKiB, 0.92);
  Scattered(16384, 16 * kKiB, 0.92);
  Scattered(65536, 4 * kKiB, 0.90);
  for (const bool pinned : {true, false}) Latency(pinned);
  Several();
}

void Table::PrintJson() const {
  if (!settings_.json) return;
  Json rows = Json::array();
  for (const Row& r : rows_) {
    rows.push_back({{"case", r.name},
                    {"raw", r.raw_per_s},
                    {"provider", r.provider_per_s},
                    {"engine", r.engine_per_s},
                    {"provider_ratio", r.provider_ratio},
                    {"engine_ratio", r.engine_ratio},
                    {"target", r.target}});
  }
  std::printf("%s\n", Json{{"device", raw_.device_name()}, {"rows", rows}}.dump(2).c_str());
}

int Main(int argc, char** argv) {
  CLI::App app("Measures copies of device memory, by the provider and through the engine.", "slipway-gpu-table");
  Settings settings;
  app.add_option("--plugins", settings.plugins, "Folder of the plugins");
  app.add_option("--config", settings.config, "The engine's configuration file");
  app.add_option("--only", settings.only, "Cases whose name has this in it");
  app.add_option("--rounds", settings.rounds, "Of each case")->check(CLI::Range(1, 1000));
  app.add_flag("--old-lists", settings.old_lists, "Submit the same lists of blocks, unwritten, each time");
  app.add_flag("--json", settings.json, "Print one JSON object");
  CLI11_PARSE(app, argc, argv);
  Table table(settings);
  table.Run();
  table.PrintJson();
  return table.verified() ? 0 : 1;
}

}  // namespace
}  // namespace slipway::bench

int main(int argc, char** argv) { return slipway::bench::Main(argc, argv); }
