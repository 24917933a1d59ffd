#include "tools/conform/usage.h"

#include <dirent.h>
#include <sched.h>
#include <time.h>

#include <cstdio>
#include <cstring>

#include "tools/conform/failure.h"

namespace slipway::conform {
namespace {

uint64_t Entries(const char* folder) {
  DIR* dir = opendir(folder);
  if (dir == nullptr) return 0;
  uint64_t n = 0;
  while (const dirent* e = readdir(dir)) n += e->d_name[0] != '.';
  closedir(dir);
  return n;
}

uint64_t Lines(const char* path) {
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) return 0;
  uint64_t n = 0;
  char block[65536];
  size_t got;
  while ((got = std::fread(block, 1, sizeof(block), file)) > 0) {
    for (size_t i = 0; i < got; ++i) n += block[i] == '\n';
  }
  std::fclose(file);
  return n;
}

}  // namespace

Usage Usage::Now() {
  Usage u;
  u.fds = Entries("/proc/self/fd");
  u.threads = Entries("/proc/self/task");
  u.vmas = Lines("/proc/self/maps");
  if (FILE* file = std::fopen("/proc/self/status", "re")) {
    char line[256];
    unsigned long long kib;
    while (std::fgets(line, sizeof(line), file) != nullptr) {
      if (std::sscanf(line, "VmRSS: %llu", &kib) == 1) u.rss_bytes = kib << 10;
      if (std::sscanf(line, "VmPin: %llu", &kib) == 1) u.pinned_bytes = kib << 10;
      if (std::sscanf(line, "VmLck: %llu", &kib) == 1) u.locked_bytes = kib << 10;
    }
    std::fclose(file);
  }
  return u;
}

Usage Usage::Settled(const Usage& expected) {
  const Deadline deadline(2000);
  Usage u = Now();
  while ((u.threads > expected.threads || u.fds > expected.fds) && !deadline.over()) {
    Breathe();
    u = Now();
  }
  return u;
}

std::string Grown(const Usage& before, const Usage& after, const Growth& allowed) {
  struct Item {
    const char* what;
    uint64_t before, after, allowed;
  };
  const Item items[] = {{"open descriptors", before.fds, after.fds, allowed.fds},
                        {"threads", before.threads, after.threads, allowed.threads},
                        {"mappings", before.vmas, after.vmas, allowed.vmas},
                        {"bytes of resident memory", before.rss_bytes, after.rss_bytes, allowed.rss_bytes},
                        {"bytes locked", before.locked_bytes, after.locked_bytes, 0},
                        {"bytes pinned", before.pinned_bytes, after.pinned_bytes, 0}};
  std::string text;
  for (const Item& i : items) {
    if (i.after <= i.before + i.allowed) continue;
    text += Format("%s%s grew from %llu to %llu", text.empty() ? "" : ", ", i.what,
                   static_cast<unsigned long long>(i.before), static_cast<unsigned long long>(i.after));
  }
  return text;
}

uint64_t MonotonicNs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000 + static_cast<uint64_t>(t.tv_nsec);
}

void Breathe() {
  const timespec moment{0, 50000};
  nanosleep(&moment, nullptr);
}

}  // namespace slipway::conform
