// One process with a store, for tests that need several; see main() for what it can do. It speaks in lines, "KEY
// VALUE", ends when its standard input does, and with 0 when all went as it should.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "slipway/store.hpp"
#include "tests/store/source_device.h"
#include "tests/store/stamped.h"
#include "tests/store/ways.h"
#include "tests/support/peer_process.h"

namespace slipway {
namespace {

using Json = nlohmann::json;

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
  const Store store = Must(Store::FromJson(config));
  if (!transport.empty()) Must(store.MountSegment("window", {.length = bytes, .transport = transport}));
  Say("address", Must(store.ControlAddress()));
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

// ---- readers and writers of the same keys
// ------------------------------------------------------------------------------------------------

// True once standard input has ended.
class InputEnd {
 public:
  InputEnd() {
    std::thread([] {
      std::array<char, 64> ignored;
      while (read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
      }
      came_.store(true);
    }).detach();  // sleeps in read() when the process ends
  }
  explicit operator bool() const { return came_.load(); }

 private:
  static inline std::atomic<bool> came_{false};
};

std::string KeyOf(size_t number) { return "key/" + std::to_string(number); }

// Whether another process may be the reason: leases ran out while this machine was slow, or the node is busy.
bool IsLate(slipway_status code) { return code == SLIPWAY_E_DEADLINE || code == SLIPWAY_E_AGAIN; }

// Upserts all keys in three ways, with values whose stamps begin with `seed`: until the end, or for `rounds` in which
// nothing was late.
int WriteRounds(const std::string& config, uint64_t seed, size_t keys, uint64_t rounds) {
  const Store store = Must(Store::FromJson(config));
  const InputEnd end;
  uint64_t stamp = seed << 32, late = 0;
  const auto done = [&](const Status& status) {
    if (IsLate(status.code())) ++late;
    if (!IsLate(status.code())) Must(status);
  };
  constexpr uint64_t kSaid = 1000;  // rounds that are said: nobody may read them
  uint64_t on_time = 0;
  for (uint64_t round = 0; rounds > 0 ? on_time < rounds : !end; ++round) {
    const uint64_t late_before = late;
    std::vector<std::string> names, values;
    std::vector<ConstBytes> batch;
    for (size_t k = 0; k < keys; ++k, ++stamp) {
      names.push_back(KeyOf(k));
      values.push_back(Stamped(stamp, StampedLength(stamp)));
    }
    for (const std::string& value : values) batch.push_back(std::as_bytes(std::span(value)));
    if (round % 3 == 0) done(store.UpsertBatch(names, batch).status());
    for (size_t k = 0; k < keys && round % 3 != 0; ++k) {
      const std::vector<ConstBytes> parts = {batch[k].first(16), batch[k].subspan(16)};
      done(round % 3 == 1 ? store.Upsert(names[k], batch[k]) : store.UpsertParts(names[k], parts));
    }
    if (late == late_before) ++on_time;
    if (round < kSaid) Say("round", std::to_string(round));
  }
  Say("late", std::to_string(late));
  return 0;
}

// Reads all keys in three ways until the end, and says how many values were whole, torn, missing, or came too late.
int ReadRounds(const std::string& config, size_t keys) {
  const Store store = Must(Store::FromJson(config));
  const InputEnd end;
  uint64_t whole = 0, torn = 0, missing = 0, late = 0;
  const auto look = [&](const Status& status, std::string_view value) {
    if (status.ok()) {
      ++(IsWhole(value) ? whole : torn);
    } else if (status.code() == SLIPWAY_E_NOT_FOUND) {
      ++missing;
    } else if (status.code() == SLIPWAY_E_CHECKSUM) {
      ++torn;
    } else if (IsLate(status.code())) {
      ++late;
    } else {
      Must(status);
    }
  };
  std::vector<std::string> names;
  for (size_t k = 0; k < keys; ++k) names.push_back(KeyOf(k));
  std::string buffer(400'000, '\0');
  for (uint64_t round = 0; !end || round < 3; ++round) {
    if (round % 3 == 0) {
      const ViewBatch batch = store.GetBatch(names);
      for (size_t k = 0; k < keys; ++k) {
        const bool ok = batch.statuses[k] == SLIPWAY_OK;
        look(ok ? Status() : Status(batch.statuses[k], batch.statuses.status().message()),
             ok ? batch.views[k].text() : std::string_view());
      }
    }
    for (size_t k = 0; k < keys && round % 3 == 1; ++k) {
      const Result<uint64_t> length = store.GetInto(names[k], buffer.data(), buffer.size());
      look(length.ok() ? Status() : length.status(), std::string_view(buffer).substr(0, length.ok() ? *length : 0));
    }
    for (size_t k = 0; k < keys && round % 3 == 2; ++k) {
      const Result<View> view = store.Get(names[k]);
      look(view.ok() ? Status() : view.status(), view.ok() ? view->text() : std::string_view());
    }
    if (round == 0) Say("reading", "yes");
  }
  Say("read", Json({{"whole", whole}, {"torn", torn}, {"missing", missing}, {"late", late}}).dump());
  return 0;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto word = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  const auto number = [&](size_t i) { return std::strtoull(word(i).c_str(), nullptr, 0); };
  if (word(0) == "serve") return Serve(word(1), word(2), number(3));
  if (word(0) == "table") return Table(word(1), word(2), number(3));
  if (word(0) == "write") return WriteRounds(word(1), number(2), number(3), number(4));
  if (word(0) == "read") return ReadRounds(word(1), number(2));
  std::fprintf(stderr,
               "serve CONFIG [TRANSPORT BYTES] | table CONFIG unregistered|registered|fake-memory|cuda BYTES | "
               "write CONFIG SEED KEYS ROUNDS | read CONFIG KEYS\n");
  return 2;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) { return slipway::Main(argc, argv); }
