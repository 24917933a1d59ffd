// Segment memory that several processes map: what it is made of.
#include "plugins/local-memcpy/shared.h"

#include <gtest/gtest.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

namespace slipway::local_memcpy {
namespace {

constexpr uint64_t kHuge = uint64_t{2} << 20;
constexpr int kCollapse = 25;  // MADV_COLLAPSE

// A field of the mapping at this address, in bytes.
uint64_t Mapped(const void* at, const std::string& field) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    uint64_t begin = 0, end = 0, value = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " ", &begin, &end) == 2) {
      here = begin == reinterpret_cast<uint64_t>(at);
    } else if (here && line.starts_with(field + ":") &&
               std::sscanf(line.c_str() + field.size() + 1, "%" SCNu64, &value) == 1) {
      return value * 1024;
    }
  }
  return 0;
}

// Whether this kernel makes huge pages of shared memory when it is asked to.
bool KernelCollapses() {
  const Fd file = NewSharedFile("test", kHuge);
  const Mapping mapping(file.get(), kHuge, true, kHuge);
  *mapping.data() = 1;
  return madvise(mapping.data(), kHuge, kCollapse) == 0;
}

TEST(SharedMemory, IsOfHugePagesWhateverTheSystemsSettingForIt) {
  if (!KernelCollapses()) GTEST_SKIP() << "this kernel has no MADV_COLLAPSE for shared memory, or no huge page left";
  SharedMemory shared;
  sdk::Error none(nullptr);
  void* memory = nullptr;
  ASSERT_EQ(shared.Allocate(8 * kHuge + 5, -1, false, &memory, none), SLIPWAY_OK);
  EXPECT_GE(Mapped(memory, "ShmemPmdMapped"), 8 * kHuge);
  const char* const bytes = static_cast<const char*>(memory);
  EXPECT_TRUE(std::all_of(bytes, bytes + 8 * kHuge + 5, [](char c) { return c == 0; }));
  // A peer's mapping is of the same pages.
  const Mapping there(shared.Find(memory, 1)->file.get(), 8 * kHuge, false, kHuge);
  ASSERT_TRUE(there);
  for (uint64_t at = 0; at < 8 * kHuge; at += kHuge) EXPECT_EQ(static_cast<volatile char*>(there.data())[at], 0);
  EXPECT_EQ(Mapped(there.data(), "ShmemPmdMapped"), 8 * kHuge);
  EXPECT_EQ(shared.Release(memory), SLIPWAY_OK);
}

TEST(SharedMemory, WhatIsNotClearlyToBeHadComesAsItIsTouched) {
  uint64_t available_kib = 0;
  std::ifstream machine("/proc/meminfo");
  for (std::string line; std::getline(machine, line);) {
    if (std::sscanf(line.c_str(), "MemAvailable: %" SCNu64, &available_kib) == 1) break;
  }
  ASSERT_NE(available_kib, 0u);
  SharedMemory shared;
  sdk::Error none(nullptr);
  void* memory = nullptr;
  ASSERT_EQ(shared.Allocate(available_kib * 1024 / 4 * 3, -1, false, &memory, none), SLIPWAY_OK);
  EXPECT_EQ(Mapped(memory, "Rss"), 0u);
  EXPECT_EQ(shared.Release(memory), SLIPWAY_OK);
}

}  // namespace
}  // namespace slipway::local_memcpy
