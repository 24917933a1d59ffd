#include "tools/slipway/bench/machine.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tools/slipway/output.h"

namespace slipway::cli::bench {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The value of "key : value" in a file of such lines; empty: none.
std::string ValueOf(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return {};
}

// "always [madvise] never" -> "madvise"
std::string Bracketed(const std::string& line) {
  const size_t open = line.find('['), close = line.find(']');
  return open < close && close != std::string::npos ? line.substr(open + 1, close - open - 1) : line;
}

std::string NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

uint64_t Kibibytes(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10) << 10; }

}  // namespace

uint64_t AvailableMemory() { return Kibibytes(ValueOf("/proc/meminfo", "MemAvailable")); }

std::vector<std::pair<std::string, std::string>> DescribeMachine() {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto add = [&](const char* what, const std::string& value) {
    if (!value.empty()) facts.emplace_back(what, value);
  };
  add("processor", ValueOf("/proc/cpuinfo", "model name"));
  add("cores", std::to_string(std::thread::hardware_concurrency()));
  const std::string cache = FirstLine("/sys/devices/system/cpu/cpu0/cache/index3/size");
  add("last-level cache", cache.empty() ? "" : FormatBytes(Kibibytes(cache)));
  add("memory", FormatBytes(Kibibytes(ValueOf("/proc/meminfo", "MemTotal"))));
  add("NUMA nodes", FirstLine("/sys/devices/system/node/online"));
  utsname name{};
  if (uname(&name) == 0) add("kernel", std::string(name.sysname) + " " + name.release + " " + name.machine);
  add("virtual machine", ValueOf("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos ? "yes" : "no");
  add("congestion control", FirstLine("/proc/sys/net/ipv4/tcp_congestion_control"));
  add("congestion controls there are", FirstLine("/proc/sys/net/ipv4/tcp_available_congestion_control"));
  add("transparent huge pages", Bracketed(FirstLine("/sys/kernel/mm/transparent_hugepage/enabled")));
  add("reserved huge pages", ValueOf("/proc/meminfo", "HugePages_Total"));
  add("frequency governor", FirstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  add("RDMA devices", NamesIn("/sys/class/infiniband"));
  add("DAX devices", NamesIn("/sys/bus/dax/devices"));
  add("GPUs", NamesIn("/proc/driver/nvidia/gpus"));
  return facts;
}

}  // namespace slipway::cli::bench
