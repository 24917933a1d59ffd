// Loading: what opening the file does, and whether the tables in it can be used.
#include <dlfcn.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tools/conform/case.h"
#include "tools/conform/elf.h"
#include "tools/conform/failure.h"
#include "tools/conform/plugin_file.h"
#include "tools/conform/session.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

PluginFile Open(const Context& c) {
  PluginFile file;
  const std::string why = OpenPlugin(c.spec.plugin, file);
  Require(why.empty(), "%s", why.c_str());
  return file;
}

void RtldNowLocal(Context& c) {
  void* handle = dlopen(c.spec.plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  Require(handle != nullptr, "dlopen(RTLD_NOW | RTLD_LOCAL): %s", handle == nullptr ? dlerror() : "");
}

void SymbolOwnFile(Context& c) {
  const PluginFile file = Open(c);
  Dl_info info{};
  Require(dladdr(file.plugin, &info) != 0 && info.dli_fname != nullptr, "dladdr does not know where %s lies",
          SLIPWAY_PLUGIN_SYMBOL);
  struct stat mine {
  }, its{};
  Require(stat(c.spec.plugin.c_str(), &mine) == 0 && stat(info.dli_fname, &its) == 0, "the file cannot be looked at");
  Require(mine.st_ino == its.st_ino && mine.st_dev == its.st_dev,
          "%s lies in %s, a dependency, and not in the plugin's own file", SLIPWAY_PLUGIN_SYMBOL, info.dli_fname);
}

// Symbols that tools add, whatever the author does.
bool OfTheToolchain(const std::string& name) {
  for (const char* prefix : {"__asan", "__tsan", "__ubsan", "__sanitizer", "__interceptor", "__odr_asan", "___asan",
                             "__start_", "__stop_", "__lsan", "__msan", "__gcov", "__llvm"}) {
    if (name.starts_with(prefix)) return true;
  }
  return name == "_init" || name == "_fini" || name == "_edata" || name == "_end" || name == "__bss_start";
}

void ExportsOnlyEntry(Context& c) {
  std::vector<std::string> extra;
  const std::vector<std::string> exported = ReadElf(c.spec.plugin).exported;
  Require(!exported.empty(), "the file exports nothing: it is no shared object, or its entry symbol is hidden");
  for (const std::string& name : exported) {
    if (name != SLIPWAY_PLUGIN_SYMBOL && !OfTheToolchain(name)) extra.push_back(name);
  }
  const size_t n = extra.size();
  if (n > 5) extra.resize(5);
  Require(n == 0, "%zu symbols are exported beside %s: %s%s. Link with a version script that exports only the entry", n,
          SLIPWAY_PLUGIN_SYMBOL, Join(extra, ", ").c_str(), n > 5 ? ", ..." : "");
}

// ---- side effects ----------------------------------------------------------------------------------------------

struct Snapshot {
  Usage usage;
  std::string environment, handlers;
  mode_t mask;

  static Snapshot Take() {
    Snapshot s;
    s.usage = Usage::Now();
    // Only compared: nothing here depends on what it says.
    auto* const variables = static_cast<char***>(dlsym(RTLD_DEFAULT, "environ"));
    for (char** e = variables == nullptr ? nullptr : *variables; e != nullptr && *e != nullptr; ++e) {
      s.environment += std::string(*e) + "\n";
    }
    for (int n = 1; n < 65; ++n) {
      struct sigaction action {};
      if (sigaction(n, nullptr, &action) != 0) continue;
      s.handlers += Format("%d:%p:%x ", n, reinterpret_cast<void*>(action.sa_handler), action.sa_flags);
    }
    s.mask = umask(0);
    umask(s.mask);
    return s;
  }
};

// In a fork, so that its end can be watched, too: "" or what loading did.
std::string EffectsOfLoading(const Context& c) {
  const Snapshot before = Snapshot::Take();
  PluginFile file;
  const std::string why = OpenPlugin(c.spec.plugin, file);
  if (!why.empty()) return why;
  const std::vector<std::string> faults = DescriptorFaults(*file.plugin);
  const Snapshot after = Snapshot::Take();
  Growth allowed;
  allowed.vmas = UINT32_MAX;  // the file itself and what it needs
  allowed.rss_bytes = uint64_t{64} << 20;
  std::string grown = Grown(before.usage, after.usage, allowed);
  if (!grown.empty()) return grown;
  if (before.environment != after.environment) return "the environment was changed";
  if (before.handlers != after.handlers) return "a signal handler was changed";
  if (before.mask != after.mask) return "the umask was changed";
  return {};
}

void NoSideEffects(Context& c) {
  int said[2], printed[2];
  Require(pipe(said) == 0 && pipe(printed) == 0, "the runner has no pipe");
  const pid_t pid = fork();
  Require(pid >= 0, "the runner cannot fork");
  if (pid == 0) {
    dup2(printed[1], STDOUT_FILENO);
    dup2(printed[1], STDERR_FILENO);
    close(printed[1]);
    close(printed[0]);
    const std::string effects = EffectsOfLoading(c);
    if (write(said[1], effects.data(), effects.size()) < 0) _exit(2);
    exit(0);  // what the plugin registered with atexit runs now
  }
  close(said[1]);
  close(printed[1]);
  const auto all = [](int fd) {
    std::string text;
    char block[1024];
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0) text.append(block, static_cast<size_t>(n));
    return text;
  };
  const std::string effects = all(said[0]), output = all(printed[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  Require(effects.empty(), "loading had an effect: %s", effects.c_str());
  Require(output.empty(), "loading, or exiting after it, wrote: %.200s", output.c_str());
  Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process that loaded the plugin does not exit cleanly");
}

void ScanTime(Context& c) {
  uint64_t best_ms = UINT64_MAX;
  for (int i = 0; i < 3; ++i) {  // the first reads the disk
    const uint64_t start = MonotonicNs();
    const pid_t pid = fork();
    if (pid == 0) {
      PluginFile file;
      const bool opened = OpenPlugin(c.spec.plugin, file).empty();
      if (opened) DescriptorFaults(*file.plugin);  // reads the tables
      _exit(opened ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "nothing to time: it cannot be opened");
    best_ms = std::min(best_ms, (MonotonicNs() - start) / 1000000);
  }
  Require(best_ms <= c.limits().load_ms, "opening the file and reading its tables takes %llu ms, the limit is %llu ms",
          static_cast<unsigned long long>(best_ms), static_cast<unsigned long long>(c.limits().load_ms));
}

void RelinkBare(Context& c) {
  const ElfSymbols elf = ReadElf(c.spec.plugin);
  for (const std::string& needed : elf.needed) {
    Require(needed != "libslipway.so" && !needed.starts_with("libslipway.so."),
            "the plugin is linked with %s: it must not need the core", needed.c_str());
  }
  const PluginFile file = Open(c);
  // Through a handle, only the file and what it depends on are searched. What is not found there came from this
  // program, by chance, and may be missing in another.
  std::vector<std::string> borrowed;
  for (const std::string& name : elf.undefined) {
    if (!OfTheToolchain(name) && dlsym(file.handle, name.c_str()) == nullptr) borrowed.push_back(name);
  }
  Require(borrowed.empty(),
          "not found in the plugin's own dependencies, so it would not load elsewhere: %s. Link with "
          "the library that has it, and with -Wl,-z,defs",
          Join(borrowed, ", ").c_str());
}

// ---- ABI -------------------------------------------------------------------------------------------------------

void Header(Context& c) {
  const std::vector<std::string> faults = DescriptorFaults(*Open(c).plugin);
  Require(faults.empty(), "%s", Join(faults).c_str());
}

// All that a core does with a transport, with every struct in the given shape.
void Everything(Context& c, Shape shape) {
  SessionOptions options;
  options.shape = shape;
  options.in_process = true;
  options.local_bytes = options.remote_bytes = 1 << 16;
  {
    FakeHost host(shape);
    Shaped<slipway_attrs> attrs(shape);
    Shaped<slipway_error> error(shape);
    const GuardedBytes json(c.profile().config);
    const slipway_status s = c.t->probe(host.table(), json.data(), json.size(), attrs.get(), error.get());
    Require(s == SLIPWAY_OK, "probe: %s %.200s", StatusName(s).c_str(), error->message);
    if (c.t->struct_size <= sizeof(slipway_transport)) {
      Require(attrs.TailIntact(), "probe wrote beyond the slipway_attrs that it was compiled with");
    }
    const char bad[] = "{\"no-such-key\":1}";
    slipway_instance* none = nullptr;
    const slipway_status refused = c.t->create(host.table(), bad, sizeof(bad) - 1, &none, error.get());
    Require(refused < 0, "create with an unknown key: %s", StatusName(refused).c_str());
    Require(error.TailIntact(), "the error report was written beyond its end");
  }
  Session s(c, options);
  const Buffer memory(4096, c.exposed());
  slipway_mr* mr = s.me.Register(memory.data(), 4096);
  s.me.Query(memory.data(), 4096, SLIPWAY_ACCESS_ALL);
  s.me.Deregister(mr);
  for (const uint32_t op : s.Ops()) s.Transfer(op, 0, 0, 4096);
  s.Close();
}

void OlderHost(Context& c) { Everything(c, Shape::kOlder); }
void NewerHost(Context& c) { Everything(c, Shape::kNewer); }

constexpr Case kCases[] = {
    {"load.rtld-now-local", Level::kMust, Kind::kAnyPlugin, 0, false, true, "every symbol resolves when it is opened",
     RtldNowLocal},
    {"load.symbol-own-file", Level::kMust, Kind::kAnyPlugin, 0, false, true,
     "the entry symbol lies in the plugin's own file", SymbolOwnFile},
    {"load.exports-only-entry", Level::kWarning, Kind::kAnyPlugin, 0, false, true,
     "nothing is exported but the entry symbol", ExportsOnlyEntry},
    {"load.no-side-effects", Level::kMust, Kind::kAnyPlugin, 0, false, true,
     "opening starts no thread, opens no descriptor, changes no handler, prints nothing", NoSideEffects},
    {"load.scan-time", Level::kWarning, Kind::kAnyPlugin, 0, false, true, "opening and reading the tables is quick",
     ScanTime},
    {"load.relink-bare", Level::kMust, Kind::kAnyPlugin, 0, false, true,
     "it needs nothing that its own dependencies do not have", RelinkBare},
    {"abi.header", Level::kMust, Kind::kAnyPlugin, 0, false, true, "magic, major, sizes and required entries", Header},
    {"abi.older-host", Level::kMust, Kind::kTransport, 0, false, false,
     "works with the host's structs of revision 1.0, guard pages behind them", OlderHost},
    {"abi.newer-host", Level::kMust, Kind::kTransport, 0, false, false,
     "works with longer structs of a host that is ahead", NewerHost},
};

}  // namespace

std::span<const Case> LoadCases() { return kCases; }

}  // namespace slipway::conform
