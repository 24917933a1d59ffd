// One process with a store, for tests that need several; see main() for what it can do. It speaks in lines, "KEY
// VALUE", ends when its standard input does, and with 0 when all went as it should.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "slipway/store.hpp"
#include "tests/store/source_device.h"
#include "tests/store/stamped.h"
#include "tests/store/ways.h"

namespace slipway {
namespace {

using Json = nlohmann::json;

void Say(const std::string& key, const std::string& value) {
  std::printf("%s %s\n", key.c_str(), value.c_str());
  std::fflush(stdout);
}

[[noreturn]] void Fail(const std::string& why) {
  Say("error", why);
  std::_Exit(1);
}
void Must(const Status& status) {
  if (!status.ok()) Fail(std::string(slipway_status_name(status.code())) + ": " + status.message());
}
template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) Must(result.status());
  return std::move(*result);
}

// ---- a node with a store
// ------------------------------------------------------------------------------------------------

// What is used, and what the objects that can be seen need, in granules of 64 bytes.
Json SpaceOf(const Store& store) {
  uint64_t needed = 0;
  const std::vector<ObjectInfo> list = Must(store.List());
  for (const ObjectInfo& info : list) needed += (info.length + 63) / 64 * 64 * info.replicas;
  return {{"used", Json::parse(Must(store.Describe())).at("used_bytes")}, {"needed", needed}, {"objects", list.size()}};
}

// Answers "space" and "copies". With a transport's name its one segment lies in that transport's own memory.
int Serve(const std::string& config, const std::string& transport, uint64_t bytes) {
  const Engine engine = Must(Engine::FromJson(config));
  Memory memory;  // goes after the store
  const Store store = Must(Store::Open(engine));
  if (!transport.empty()) {
    memory = Must(engine.Allocate(bytes, {.transport = transport}));
    Must(store.MountSegment("window", {.length = bytes, .address = memory.data()}));
  }
  Say("address", Must(engine.ControlAddress()));
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "space") Say(line, SpaceOf(store).dump());
    if (line == "copies") Say(line, ToJson(CountsOf(store)).dump());
  }
  if (!transport.empty()) Must(store.UnmountSegment("window", 10'000));
  return 0;
}

// ---- the copy table
// ------------------------------------------------------------------------------------------------

// Writes in every way from memory that is `how`: "unregistered", "registered", or of a device, "fake-memory" or "cuda";
// says of each what it cost and whether the bytes arrived. 77: there is no such device.
int Table(const std::string& config, const std::string& how, size_t bytes) {
  std::unique_ptr<SourceDevice> device;
  Json json = Json::parse(config);
  const bool host = how == "unregistered" || how == "registered";
  std::string why;
  if (!host && (device = SourceDevice::Find(how, &why)) == nullptr) {
    Say("skipped", why);
    return 77;
  }
  if (device != nullptr) device->AddTo(&json);
  const Store store = Must(Store::FromJson(json.dump()));
  std::string value = Stamped(1, bytes);
  auto* source =
      static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::memcpy(source, value.data(), bytes);
  if (device != nullptr && (source = device->Allocate(store, value)) == nullptr) Fail("no memory of the device");
  if (how == "registered") Must(store.RegisterBuffer(source, bytes));
  for (const Way& way : AllWays()) {
    const CopyCounts before = CountsOf(store);
    Must(Write(way, store, way.name, source, bytes));
    Json row = ToJson(CountsOf(store) - before);
    row["pieces"] = way.pieces;
    row["headers"] = way.tensors ? way.values : 0;
    row["header_bytes"] = HeaderBytesOf(way, store, way.name, bytes);
    row["equal"] = WrittenBy(way, store, way.name, bytes) == value;
    Must(store.RemoveAll(way.name));
    Say(way.name, row.dump());
  }
  device.reset();
  if (how == "registered") Must(store.UnregisterBuffer(source, bytes, 10'000));
  return 0;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto word = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  const auto number = [&](size_t i) { return std::strtoull(word(i).c_str(), nullptr, 0); };
  if (word(0) == "serve") return Serve(word(1), word(2), number(3));
  if (word(0) == "table") return Table(word(1), word(2), number(3));
  std::fprintf(stderr,
               "serve CONFIG [TRANSPORT BYTES] | table CONFIG unregistered|registered|fake-memory|cuda BYTES\n");
  return 2;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) { return slipway::Main(argc, argv); }
