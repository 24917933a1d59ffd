// slipway put, get, ls, rm and stat: the objects of a running node's store.
#include "slipway/store.hpp"
#include "tools/slipway/commands.h"
#include "tools/slipway/engine_source.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/json_view.h"
#include "tools/slipway/local_file.h"

namespace slipway::cli {
namespace {

// The node before the first slash that comes after a port, and what follows it.
struct Place {
  std::string node, key;
};

Place Split(const std::string& url) {
  const size_t slash = url.find('/');
  if (slash == std::string::npos) return {url, ""};
  return {url.substr(0, slash), url.substr(slash + 1)};
}

uint64_t TimeoutMs(const ObjectArguments& arguments) {
  return arguments.timeout_seconds > 0 ? static_cast<uint64_t>(arguments.timeout_seconds * 1000) + 1 : 0;
}

// A node's store, and the engine that reaches it.
struct Client {
  Engine engine;
  Store store;
  std::string key;
};

Result<Client> Reach(const ObjectArguments& arguments, bool needs_key) {
  Place place = Split(arguments.url);
  if (needs_key && place.key.empty())
    return Status(SLIPWAY_E_INVALID, arguments.url + " names no key: give HOST:PORT/KEY");
  auto engine = MakeEngine(arguments.engine, "");
  if (!engine.ok()) return engine.status();
  const uint64_t timeout_ms = TimeoutMs(arguments);
  auto store = Store::Open(*engine, place.node, timeout_ms == 0 ? SLIPWAY_NO_TIMEOUT : timeout_ms);
  if (!store.ok()) return store.status();
  return Client{std::move(*engine), std::move(*store), std::move(place.key)};
}

const char* KeepWord(Keep keep) {
  switch (keep) {
    case Keep::kSoftPinned:
      return "soft pinned";
    case Keep::kPinned:
      return "pinned";
    default:
      return "evictable";
  }
}

int Report(const char* command, const std::string& url, uint64_t bytes, const std::string& outcome,
           const Output& output) {
  if (output.json()) {
    JsonObject reply;
    reply.Add("ok", true).Add("command", command).Add("object", url).Add("bytes", bytes).Add("outcome", outcome);
    output.Line(reply.str());
  } else {
    output.Line(outcome + " " + Printable(url) + ", " + FormatBytes(bytes));
  }
  return kExitOk;
}

void PrintObject(const ObjectInfo& info, const Output& output) {
  if (output.json()) {
    JsonObject object;
    object.Add("key", info.key).Add("bytes", info.length).Add("version", info.version);
    object.Add("keep", KeepWord(info.keep)).Add("replicas", info.replicas).Add("checksummed", info.checksummed);
    output.Line(object.str());
    return;
  }
  std::string bytes = FormatBytes(info.length);
  bytes.insert(0, bytes.size() < 12 ? 12 - bytes.size() : 0, ' ');
  output.Line(bytes + "  " + KeepWord(info.keep) + "  " + Printable(info.key));
}

}  // namespace

int RunPut(const ObjectArguments& arguments, const Output& output) {
  auto file = Mapping::OfFile(arguments.file, /*writable=*/false);
  if (!file.ok()) return output.Fail("put", file.status(), kExitFile, "check the file's name and permissions");
  const auto client = Reach(arguments, true);
  if (!client.ok()) return output.Fail("put", client.status());
  WriteOptions options;
  options.timeout_ms = TimeoutMs(arguments);
  if (arguments.keep == "pinned") options.keep = Keep::kPinned;
  if (arguments.keep == "soft-pinned") options.keep = Keep::kSoftPinned;
  if (arguments.replace) {
    const Status status = client->store.UpsertFrom(client->key, file->data(), file->size(), options);
    if (!status.ok()) return output.Fail("put", status);
    return Report("put", arguments.url, file->size(), "stored", output);
  }
  const auto outcome = client->store.PutFrom(client->key, file->data(), file->size(), options);
  if (!outcome.ok()) return output.Fail("put", outcome.status());
  if (*outcome == PutOutcome::kExists) {
    const Status kept(SLIPWAY_E_EXISTS, "the key has a value already, which was kept");
    return output.Fail("put", kept, kExitTransfer, "with --replace it gets the new one");
  }
  return Report("put", arguments.url, file->size(), "stored", output);
}

int RunGet(const ObjectArguments& arguments, const Output& output) {
  const auto client = Reach(arguments, true);
  if (!client.ok()) return output.Fail("get", client.status());
  ReadOptions options;
  options.timeout_ms = TimeoutMs(arguments);
  constexpr int kTries = 8;  // another writer may put a longer value in its place between the two calls
  for (int attempt = 1;; ++attempt) {
    const auto size = client->store.Size(client->key);
    if (!size.ok()) return output.Fail("get", size.status());
    auto target = TargetFile::Create(arguments.file, *size);
    if (!target.ok()) return output.Fail("get", target.status(), kExitFile, "name a file that can be written");
    const auto read = client->store.GetInto(client->key, target->mapping().data(), *size, options);
    const bool changed = read.ok() ? *read != *size : read.status().code() == SLIPWAY_E_BUFFER_TOO_SMALL;
    if (changed && attempt < kTries) continue;
    if (!read.ok()) return output.Fail("get", read.status());
    if (changed) return output.Fail("get", Status(SLIPWAY_E_AGAIN, "the value kept changing while it was read"));
    if (const Status named = target->Commit(); !named.ok()) return output.Fail("get", named, kExitFile, "");
    return Report("get", arguments.url, *size, "read", output);
  }
}

int RunList(const ObjectArguments& arguments, const Output& output) {
  const auto client = Reach(arguments, false);
  if (!client.ok()) return output.Fail("ls", client.status());
  const auto list = client->store.List(client->key);
  if (!list.ok()) return output.Fail("ls", list.status());
  for (const ObjectInfo& info : *list) PrintObject(info, output);
  return kExitOk;
}

int RunRemove(const ObjectArguments& arguments, const Output& output) {
  const auto client = Reach(arguments, true);
  if (!client.ok()) return output.Fail("rm", client.status());
  const Status status = client->store.Remove(client->key);
  if (!status.ok()) return output.Fail("rm", status);
  return Report("rm", arguments.url, 0, "removed", output);
}

int RunStat(const ObjectArguments& arguments, const Output& output) {
  const auto client = Reach(arguments, false);
  if (!client.ok()) return output.Fail("stat", client.status());
  if (client->key.empty()) {
    const auto json = client->store.Describe();
    if (!json.ok()) return output.Fail("stat", json.status());
    const auto text = output.json() ? JsonOnOneLine(*json) : JsonAsText(*json);
    if (!text.ok()) return output.Fail("stat", text.status());
    output.Line(output.json() ? *text : Printable(*text));
    return kExitOk;
  }
  const auto info = client->store.Stat(client->key);
  if (!info.ok()) return output.Fail("stat", info.status());
  PrintObject(*info, output);
  return kExitOk;
}

}  // namespace slipway::cli
