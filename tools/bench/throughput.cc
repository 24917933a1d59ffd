// slipway-throughput: how fast one configured engine moves bytes to or from a peer's segment, with the data verified.
//
// Keeps a number of requests in flight for a time, then checks every byte: what was written is read back, what was read
// is compared with what had been written before. Prints one JSON object.
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "slipway/engine.hpp"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string config, segment_url, operation = "write";
  uint64_t request_bytes = uint64_t{1} << 20;
  uint64_t depth = 4;  // batches in flight
  uint64_t batch = 1;  // requests in each
  uint64_t shift = 0;  // bytes into a page, at which the local memory begins

  bool same_bytes = false;  // all requests of a batch move the same

  uint64_t slot_bytes() const { return same_bytes ? request_bytes : request_bytes * batch; }
  uint64_t moved_bytes() const { return request_bytes * batch; }  // by a batch
  double seconds = 1, margin_seconds = 0;
};

struct Unmap {
  uint64_t bytes = 0;
  void operator()(std::byte* data) const { munmap(data, bytes); }
};
using Local = std::unique_ptr<std::byte[], Unmap>;

Local Allocate(uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return Local(nullptr, Unmap{bytes});
  madvise(data, bytes, MADV_HUGEPAGE);
  std::memset(data, 1, bytes);  // so that no page is made while the clock runs
  return Local(static_cast<std::byte*>(data), Unmap{bytes});
}

void FillRandom(std::byte* data, uint64_t bytes) {
  std::mt19937_64 generator(20240607);
  for (uint64_t at = 0; at + 8 <= bytes; at += 8) {
    const uint64_t word = generator();
    std::memcpy(data + at, &word, sizeof(word));
  }
}

// Moves for `settings.seconds` and a margin before that, slot i of the local memory always to or from slot i of the
// segment. Gives bytes per second: with a margin, of what completed after it while all slots were in flight; without
// one, of everything.
Result<double> Measure(const Engine& engine, const Segment& segment, const Settings& settings, std::byte* local) {
  const bool read = settings.operation == "read";
  const uint64_t bytes = settings.request_bytes;
  std::vector<Request> requests(settings.batch);
  const auto submit = [&](uint64_t slot) {
    uint64_t at = slot * settings.slot_bytes();
    for (Request& request : requests) {
      request = read ? ReadRequest(segment, at, local + at, bytes) : WriteRequest(segment, at, local + at, bytes);
      if (!settings.same_bytes) at += bytes;
    }
    return engine.Submit(requests);
  };
  std::vector<Batch> slots(settings.depth);
  const auto after = [](Clock::time_point from, double seconds) {
    return from + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  };
  Clock::time_point start = Clock::now(), now = start;
  const Clock::time_point counted = after(start, settings.margin_seconds), end = after(counted, settings.seconds);
  uint64_t finished = 0;
  const auto finish = [&](Batch& batch) -> Status {
    SLIPWAY_RETURN_IF_ERROR(batch.Wait());
    finished += settings.moved_bytes();
    batch = Batch();
    return {};
  };
  for (uint64_t turn = 0; now < end; now = Clock::now(), ++turn) {
    if (start < counted && now >= counted && turn >= settings.depth) {
      start = now;
      finished = 0;
    }
    Batch& slot = slots[turn % settings.depth];
    if (slot) SLIPWAY_RETURN_IF_ERROR(finish(slot));
    auto batch = submit(turn % settings.depth);
    if (!batch.ok()) return batch.status();
    slot = std::move(*batch);
  }
  const auto rate = [&] { return static_cast<double>(finished) / std::chrono::duration<double>(now - start).count(); };
  const double in_flight = rate();
  for (Batch& slot : slots)
    if (slot) SLIPWAY_RETURN_IF_ERROR(finish(slot));
  now = Clock::now();
  return settings.margin_seconds > 0 ? in_flight : rate();
}

Result<double> MeasureVerified(const Settings& settings) {
  const uint64_t bytes = settings.slot_bytes() * settings.depth;
  const Local memory = Allocate(bytes + settings.shift), expected = Allocate(bytes);
  if (!memory || !expected)
    return Status(SLIPWAY_E_NOMEM, "not enough memory for " + std::to_string(2 * bytes) + " bytes");
  std::byte* const local = memory.get() + settings.shift;
  auto engine = Engine::FromFile(settings.config);
  if (!engine.ok()) return engine.status();
  const auto segment = engine->Open(settings.segment_url);
  if (!segment.ok()) return segment.status();
  SLIPWAY_RETURN_IF_ERROR(engine->Declare(local, bytes));
  FillRandom(expected.get(), bytes);
  const std::span<std::byte> all(local, bytes);
  const bool read = settings.operation == "read";
  // Also opens every connection, so that none is opened while the clock runs.
  std::memcpy(local, expected.get(), bytes);
  SLIPWAY_RETURN_IF_ERROR(engine->Write(*segment, 0, all));
  if (read)
    std::memset(local, 0, bytes);
  else
    SLIPWAY_RETURN_IF_ERROR(engine->Read(*segment, 0, all));
  auto rate = Measure(*engine, *segment, settings, local);
  if (!rate.ok()) return rate;
  if (!read) {
    std::memset(local, 0, bytes);
    SLIPWAY_RETURN_IF_ERROR(engine->Read(*segment, 0, all));
  }
  if (std::memcmp(local, expected.get(), bytes) != 0)
    return Status(SLIPWAY_E_INTERNAL, "the bytes that arrived are not those that were sent");
  SLIPWAY_RETURN_IF_ERROR(engine->Undeclare(local, bytes, 10'000));
  return rate;
}

int Main(int argc, char** argv) {
  CLI::App app("Measures how fast an engine moves bytes to or from a segment, verified.", "slipway-throughput");
  Settings settings;
  app.add_option("--config", settings.config, "Configuration file")->required();
  app.add_option("--segment", settings.segment_url, "HOST:PORT/NAME, of at least depth * batch * bytes")->required();
  app.add_option("--operation", settings.operation, "read or write")->check(CLI::IsMember({"read", "write"}));
  app.add_option("--bytes", settings.request_bytes, "Of one request")->check(CLI::Range(8.0, 1e12));
  app.add_option("--depth", settings.depth, "Batches in flight")->check(CLI::Range(1, 4096));
  app.add_option("--batch", settings.batch, "Requests in a batch")->check(CLI::Range(1, 65536));
  app.add_option("--shift", settings.shift, "Bytes into a page, at which the local memory begins")
      ->check(CLI::Range(0, 4095));
  app.add_flag("--same-bytes", settings.same_bytes,
               "All requests of a batch move the same bytes, which stay in the cache");
  app.add_option("--seconds", settings.seconds, "How long")->check(CLI::Range(0.01, 3600.0));
  app.add_option("--margin", settings.margin_seconds, "Seconds before that, which do not count")
      ->check(CLI::Range(0.0, 3600.0));
  CLI11_PARSE(app, argc, argv);
  const auto rate = MeasureVerified(settings);
  if (!rate.ok()) {
    std::fprintf(stderr, "slipway-throughput: %s: %s\n", slipway_status_name(rate.status().code()),
                 rate.status().message().c_str());
    return 1;
  }
  std::printf(
      "{\"operation\": \"%s\", \"request_bytes\": %llu, \"depth\": %llu, \"batch\": %llu, \"bytes_per_second\": "
      "%.0f}\n",
      settings.operation.c_str(), static_cast<unsigned long long>(settings.request_bytes),
      static_cast<unsigned long long>(settings.depth), static_cast<unsigned long long>(settings.batch), *rate);
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) { return slipway::Main(argc, argv); }
