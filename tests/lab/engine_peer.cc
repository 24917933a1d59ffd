// One process with an engine, for tests that need several transports at once; see main() for what it can do. It speaks
// in lines, "KEY VALUE", and ends with 0 when all went as it should.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "slipway/engine.hpp"
#include "tests/support/peer_process.h"

namespace slipway {
namespace {

using Json = nlohmann::json;

// Memory of this process alone, or at `offset` of a file or device that others map as well.
std::byte* Map(uint64_t bytes, const std::string& path = {}, uint64_t offset = 0) {
  const int fd = path.empty() ? -1 : open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (!path.empty() && fd < 0) Fail(path + ": " + std::strerror(errno));
  const int flags = path.empty() ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(offset));
  if (data == MAP_FAILED) Fail("cannot map " + path + ": " + std::strerror(errno));
  if (fd >= 0) close(fd);
  return static_cast<std::byte*>(data);
}

// The same as in the Python that looks at it.
void Fill(std::byte* data, uint64_t bytes, uint64_t seed) {
  for (uint64_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>((i * 31 + i / 251 + seed * 17) & 0xff);
}

// Publishes "box" and serves it until standard input ends.
int Serve(const std::string& config, uint64_t bytes, const std::string& path, uint64_t offset) {
  const Engine engine = Must(Engine::FromJson(config));
  const slipway_span span{Map(bytes, path, offset), bytes};
  Must(engine.Publish("box", {&span, 1}));
  Say("address", Must(engine.ControlAddress()));
  pause();
  return 0;
}

Json ResultOf(const Batch& batch, size_t i) {
  const RequestResult r = Must(batch.result(i));
  return {{"status", slipway_status_name(r.status)},
          {"transport", r.transport},
          {"bytes", r.bytes},
          {"slices", r.slices},
          {"staged", r.staged_slices},
          {"retries", r.retries},
          {"message", batch.message(i)}};
}

// Writes pattern 1 + i to the i-th segment and reads it back, in one batch each, from memory that was declared or not.
int Exchange(const std::string& config, uint64_t bytes, bool declared, const std::vector<std::string>& urls) {
  const Engine engine = Must(Engine::FromJson(config));
  std::vector<Segment> segments;
  for (const std::string& url : urls) segments.push_back(Must(engine.Open(url)));
  std::byte* const local = Map(bytes * urls.size());
  std::byte* const back = Map(bytes * urls.size());
  if (declared) {
    Must(engine.Declare(local, bytes * urls.size(), SLIPWAY_DECLARE_REGISTER_REQUIRED));
    Must(engine.Declare(back, bytes * urls.size(), SLIPWAY_DECLARE_REGISTER_REQUIRED));
  }
  for (size_t i = 0; i < urls.size(); ++i) Fill(local + i * bytes, bytes, 1 + i);
  for (const bool write : {true, false}) {
    std::vector<Request> requests;
    for (size_t i = 0; i < urls.size(); ++i) {
      requests.push_back(write ? WriteRequest(segments[i], 0, local + i * bytes, bytes)
                               : ReadRequest(segments[i], 0, back + i * bytes, bytes));
    }
    const Batch batch = Must(engine.Submit(requests));
    const Status status = batch.Wait();
    Json results = Json::array();
    for (size_t i = 0; i < urls.size(); ++i) results.push_back(ResultOf(batch, i));
    Say(write ? "written" : "read", results.dump());
    Must(status);
  }
  if (std::memcmp(local, back, bytes * urls.size()) != 0) Fail("what came back is not what went out");
  Say("equal", "all of it");
  const Json described = Json::parse(Must(engine.Describe()));
  Say("counters", described["counters"].dump());
  for (const Json& t : described["transports"]) {
    Say(("stats-" + t["name"].get<std::string>()).c_str(),
        Json({{"device", t["device"]}, {"stats", t["stats"]}}).dump());
  }
  return 0;
}

// Writes to the segment until that fails; says how, and how long the write that failed took. Then once to the other.
int WriteUntilFailure(const std::string& config, uint64_t bytes, const std::string& url, const std::string& other) {
  const Engine engine = Must(Engine::FromJson(config));
  const Segment segment = Must(engine.Open(url));
  const Segment second = other.empty() ? Segment() : Must(engine.Open(other));
  std::byte* const local = Map(bytes);
  Fill(local, bytes, 3);
  for (uint64_t n = 0;; ++n) {
    const Request request = WriteRequest(segment, 0, local, bytes);
    const auto begin = std::chrono::steady_clock::now();
    const Batch batch = Must(engine.Submit({&request, 1}));
    if (batch.Wait().ok()) {
      if (n == 0) Say("moving", "yes");
      continue;
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    Json result = ResultOf(batch, 0);
    result["ms"] = took.count();
    Say("failed", result.dump());
    if (!second) return 0;
    const Request last = WriteRequest(second, 0, local, bytes);
    const Batch batch_after = Must(engine.Submit({&last, 1}));
    (void)batch_after.Wait();
    Say("other", ResultOf(batch_after, 0).dump());
    return 0;
  }
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto word = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  const auto number = [&](size_t i) { return std::strtoull(word(i).c_str(), nullptr, 0); };
  if (word(0) == "serve") return Serve(word(1), number(2), word(3), number(4));
  if (word(0) == "exchange" && words.size() > 4) {
    return Exchange(word(1), number(2), word(3) == "declared", {words.begin() + 4, words.end()});
  }
  if (word(0) == "write-until-failure") return WriteUntilFailure(word(1), number(2), word(3), word(4));
  std::fprintf(stderr,
               "serve CONFIG BYTES [FILE OFFSET] | exchange CONFIG BYTES declared|undeclared URL... | "
               "write-until-failure CONFIG BYTES URL [URL]\n");
  return 2;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) { return slipway::Main(argc, argv); }
