// Copies to and from a process's private memory, however the two sides lie to each other. The process is this one.
#include "plugins/local-memcpy/process_copy.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace slipway::local_memcpy {
namespace {

constexpr uint64_t kRoom = 8192;

std::vector<char> Numbered(uint64_t bytes) {
  std::vector<char> out(bytes);
  for (uint64_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 2654435761u >> 11);
  return out;
}

uint64_t AddressOf(const char* at) { return reinterpret_cast<uintptr_t>(at); }

// `copy` gets where to, where from and how many, and what it is to set.
template <typename Copy>
void ArrivesWhole(Copy copy) {
  for (const uint64_t bytes : {1u, 1024u, 1025u, 4096u, 65'536u, 200'001u}) {
    for (const uint64_t shift : {0u, 1u, 15u, 16u, 31u, 32u, 4080u}) {
      const std::vector<char> source = Numbered(bytes + 2 * kRoom);
      std::vector<char> target(bytes + 3 * kRoom, 'x'), expected = target;
      // As many bytes behind the source as said, in terms of offsets within a page.
      const uint64_t to = 8192 + (AddressOf(source.data()) + shift - AddressOf(target.data())) % 4096;
      uint64_t moved = 0;
      int32_t native = 0;
      const slipway_status status = copy(target.data() + to, source.data(), bytes, moved, native);
      if (status == SLIPWAY_E_UNSUPPORTED) GTEST_SKIP() << "the system does not let processes be copied to and from";
      ASSERT_EQ(status, SLIPWAY_OK) << native;
      ASSERT_EQ(moved, bytes);
      std::copy_n(source.begin(), bytes, expected.begin() + static_cast<long>(to));
      ASSERT_EQ(target, expected) << bytes << " bytes, " << shift << " behind";
    }
  }
}

class ProcessCopy : public testing::TestWithParam<Detour> {};
INSTANTIATE_TEST_SUITE_P(Detours, ProcessCopy, testing::Values(Detour::kWhereQuicker, Detour::kAlways));

TEST_P(ProcessCopy, WhatIsReadArrivesWhole) {
  ArrivesWhole([](char* to, const char* from, uint64_t bytes, uint64_t& moved, int32_t& native) {
    return ReadProcess(getpid(), AddressOf(from), to, bytes, moved, native, GetParam());
  });
}

TEST_P(ProcessCopy, WhatIsWrittenArrivesWhole) {
  ArrivesWhole([](char* to, const char* from, uint64_t bytes, uint64_t& moved, int32_t& native) {
    return WriteProcess(getpid(), AddressOf(to), from, bytes, moved, native, GetParam());
  });
}

// What was copied before memory ended is told, whichever way it went.
TEST_P(ProcessCopy, MemoryThatEndsIsToldAndHowFarItWent) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  constexpr uint64_t kPages = 40;
  char* const memory =
      static_cast<char*>(mmap(nullptr, kPages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(munmap(memory + (kPages - 1) * page, page), 0);
  std::vector<char> back((kPages + 2) * page);
  for (const uint64_t shift : {0u, 16u}) {
    char* const to = back.data() + page - AddressOf(back.data()) % page + shift;
    uint64_t moved = 0;
    int32_t native = 0;
    const slipway_status status =
        ReadProcess(getpid(), AddressOf(memory), to, kPages * page, moved, native, GetParam());
    if (status == SLIPWAY_E_UNSUPPORTED) GTEST_SKIP() << "the system does not let processes be copied to and from";
    EXPECT_EQ(status, SLIPWAY_E_IO);
    EXPECT_EQ(native, EFAULT);
    EXPECT_EQ(moved, (kPages - 1) * page);
  }
  munmap(memory, (kPages - 1) * page);
}

}  // namespace
}  // namespace slipway::local_memcpy
