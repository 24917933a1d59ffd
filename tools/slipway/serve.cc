// slipway serve: memory and files as segments, and a store, that peers can reach, until a signal ends it.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "slipway/store.hpp"
#include "tools/slipway/commands.h"
#include "tools/slipway/engine_source.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/json_view.h"
#include "tools/slipway/local_file.h"
#include "tools/slipway/segment_spec.h"

namespace slipway::cli {
namespace {

// A segment is a mapped file, or memory that the engine allocated.
struct Served {
  SegmentSpec spec;
  Mapping mapping;
  Memory memory;

  slipway_span span() const { return memory ? memory.span() : slipway_span{mapping.data(), mapping.size()}; }
};

Result<Served> MapSegment(const std::string& text) {
  auto spec = ParseSegmentSpec(text);
  if (!spec.ok()) return spec.status();
  if (spec->file.empty()) return Served{std::move(*spec), {}, {}};
  auto mapping = Mapping::OfFile(spec->file, spec->writable);
  if (!mapping.ok()) return mapping.status();
  if (mapping->size() == 0) return Status(SLIPWAY_E_IO, spec->file + ": is empty; a segment has at least one byte");
  return Served{std::move(*spec), std::move(*mapping), {}};
}

// Memory that peers of this host map, where a transport has such.
Status AllocateAll(const Engine& engine, std::vector<Served>* all) {
  for (Served& served : *all) {
    if (!served.spec.file.empty()) continue;
    auto memory = engine.Allocate(served.spec.bytes);
    if (!memory.ok()) return memory.status();
    served.memory = std::move(*memory);
  }
  return {};
}

Status PublishAll(const Engine& engine, const std::vector<Served>& all) {
  for (const Served& served : all) {
    const std::array spans = {served.span()};
    const uint32_t access = SLIPWAY_ACCESS_REMOTE_READ | (served.spec.writable ? SLIPWAY_ACCESS_REMOTE_WRITE : 0u);
    SLIPWAY_RETURN_IF_ERROR(engine.Publish(served.spec.name, spans, access));
  }
  return {};
}

std::string ReadyLine(const std::string& address, const std::vector<Served>& all, bool json) {
  if (!json) return "ready " + address;
  std::string list;
  for (const Served& served : all) {
    JsonObject segment;
    segment.Add("name", served.spec.name).Add("url", address + "/" + served.spec.name);
    segment.Add("bytes", served.span().length).Add("writable", served.spec.writable);
    list += (list.empty() ? "" : ", ") + segment.str();
  }
  JsonObject reply;
  reply.Add("ok", true).Add("event", "ready").Add("control_address", address).AddJson("segments", "[" + list + "]");
  return reply.str();
}

Status WriteAll(int fd, const std::string& text, const std::string& what) {
  if (write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return {SLIPWAY_E_IO, what + ": " + std::strerror(errno)};
}

// Under its name only when whole, so that who waits for the name never reads half a line.
Status WriteReadyFile(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".part-" + std::to_string(getpid());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return {SLIPWAY_E_IO, temporary + ": " + std::strerror(errno)};
  Status status = WriteAll(fd, text, temporary);
  close(fd);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0)
    status = {SLIPWAY_E_IO, path + ": " + std::strerror(errno)};
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

// Standard output last: who has read the line there finds the file as well.
Status TellReady(const ServeArguments& arguments, const std::string& line, const Output& output) {
  if (!arguments.ready_file.empty()) SLIPWAY_RETURN_IF_ERROR(WriteReadyFile(arguments.ready_file, line + "\n"));
  if (arguments.ready_fd >= 0) {
    const Status status = WriteAll(arguments.ready_fd, line + "\n", "--ready-fd " + std::to_string(arguments.ready_fd));
    close(arguments.ready_fd);
    SLIPWAY_RETURN_IF_ERROR(status);
  }
  output.Line(line);
  return {};
}

int MapFailure(const Status& status, const Output& output) {
  if (status.code() == SLIPWAY_E_INVALID) return output.Fail("serve", status);
  return output.Fail("serve", status, kExitFile, "check the file's name, size and permissions");
}

// Blocked before the engine has threads, so that every thread inherits it and the signals come to sigwait alone.
sigset_t BlockEndSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

// The engine's own store, which its configuration describes; without a configuration one of the size that was asked
// for.
Result<Store> HostStore(const Engine& engine, const ServeArguments& arguments) {
  if (arguments.store_bytes == 0) {
    if (arguments.engine.config_file.empty()) return Store();
    const auto file = Mapping::OfFile(arguments.engine.config_file, /*writable=*/false);
    if (!file.ok()) return file.status();
    if (!ReadsAsStoreHost({reinterpret_cast<const char*>(file->data()), file->size()})) return Store();
  }
  auto store = Store::Open(engine);
  if (!store.ok() || arguments.store_bytes == 0) return store;
  const Status mounted = store->MountSegment("main", SegmentOptions{.length = arguments.store_bytes});
  if (!mounted.ok()) return mounted;
  return store;
}

}  // namespace

int RunServe(const ServeArguments& arguments, const Output& output) {
  std::vector<Served> all;
  for (const std::string& text : arguments.segments) {
    auto served = MapSegment(text);
    if (!served.ok()) return MapFailure(served.status(), output);
    all.push_back(std::move(*served));
  }
  const sigset_t end_signals = BlockEndSignals();
  const auto engine = MakeEngine(arguments.engine, arguments.listen);
  if (!engine.ok()) return output.Fail("serve", engine.status());
  const Status allocated = AllocateAll(*engine, &all);
  if (!allocated.ok()) return output.Fail("serve", allocated, kExitFile, "serve less memory");
  const Status published = PublishAll(*engine, all);
  if (!published.ok()) return output.Fail("serve", published);
  const auto store = HostStore(*engine, arguments);
  if (!store.ok()) return output.Fail("serve", store.status());
  const auto address = engine->ControlAddress();
  if (!address.ok()) return output.Fail("serve", address.status());
  if (address->empty()) {
    const Status silent(SLIPWAY_E_CONFIG_VALUE, "control.listen is empty: nobody could reach this node");
    return output.Fail("serve", silent, "set control.listen to HOST:PORT, or 127.0.0.1:0 for any free port");
  }
  const std::string line = ReadyLine(*address, all, output.json());
  if (const Status told = TellReady(arguments, line, output); !told.ok())
    return output.Fail("serve", told, kExitFile, "");
  int signal_number = 0;
  sigwait(&end_signals, &signal_number);
  // A second signal ends the process at once, should the peers keep it.
  pthread_sigmask(SIG_UNBLOCK, &end_signals, nullptr);
  for (const Served& served : all) (void)engine->Withdraw(served.spec.name);
  return kExitOk;
}

}  // namespace slipway::cli
