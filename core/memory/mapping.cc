#include "core/memory/mapping.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

namespace slipway {
namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

File OpenFile(const char* path) { return File(std::fopen(path, "re"), std::fclose); }

// Whether the system has given, or may give, any huge page to anybody. Where not, nobody has mapped one.
bool SystemHasHugePages() {
  std::error_code error;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    for (const char* count : {"nr_hugepages", "nr_overcommit_hugepages"}) {
      const File file = OpenFile((size.path() / count).c_str());
      unsigned long long pages = 0;
      if (file != nullptr && std::fscanf(file.get(), "%llu", &pages) == 1 && pages > 0) return true;
    }
  }
  return false;
}

}  // namespace

uint64_t PageBytes() {
  static const auto bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

uint64_t MappingPageBytes(uint64_t addr, uint64_t length) {
  uint64_t largest = PageBytes();
  if (!SystemHasHugePages()) return largest;
  const File file = OpenFile("/proc/self/smaps");
  if (file == nullptr) return largest;
  std::array<char, 512> line{};
  bool inside = false;
  while (std::fgets(line.data(), line.size(), file.get()) != nullptr) {
    unsigned long long begin = 0, end = 0, kib = 0;
    if (std::sscanf(line.data(), "%llx-%llx ", &begin, &end) == 2) {
      if (begin >= addr + length) break;
      inside = end > addr;
    } else if (inside && std::sscanf(line.data(), "KernelPageSize: %llu kB", &kib) == 1) {
      largest = std::max<uint64_t>(largest, kib * 1024);
    }
  }
  return largest;
}

uint64_t MappingCount() {
  const File file = OpenFile("/proc/self/maps");
  if (file == nullptr) return 0;
  uint64_t lines = 0;
  std::array<char, 4096> text{};
  for (size_t n = 0; (n = std::fread(text.data(), 1, text.size(), file.get())) > 0;) {
    lines += static_cast<uint64_t>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(n), '\n'));
  }
  return lines;
}

}  // namespace slipway
