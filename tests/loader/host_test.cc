// What a plugin is lent: called as a plugin calls it, through the C table.
#include "core/loader/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/version.h"
#include "slipway/sdk/host.hpp"

namespace slipway {
namespace {

class Recorder : public Logger {
 public:
  LogLevel level() const override { return LogLevel::kInfo; }
  void Write(LogLevel level, std::string_view message) override {
    lines.push_back(std::to_string(static_cast<int>(level)) + " " + std::string(message));
  }
  std::vector<std::string> lines;
};

class Services : public BasicHostServices {
 public:
  using BasicHostServices::BasicHostServices;
  bool PinCharge(uint64_t bytes) override {
    if (charged + bytes > 100) return false;
    charged += bytes;
    return true;
  }
  void PinUncharge(uint64_t bytes) override { charged -= bytes; }
  void Wake(void* cookie) override { woken.push_back(cookie); }
  const void* GetExtension(std::string_view id) override { return id == "slipway.test/1" ? this : nullptr; }

  uint64_t charged = 0;
  std::vector<void*> woken;
};

class HostTest : public testing::Test {
 protected:
  Recorder log_;
  FakeClock clock_;
  Services services_{"node", log_, clock_};
  HostTable table_{services_};
  sdk::Host host_{table_.table()};
};

TEST_F(HostTest, TheTableIsCompleteAndTellsWhoItIs) {
  EXPECT_STREQ(table_.table()->version, CoreVersion());
  const slipway_host& t = *table_.table();
  EXPECT_TRUE(sdk::Host::Usable(&t));
  EXPECT_EQ(t.struct_size, sizeof(slipway_host));
  EXPECT_EQ(t.abi_major, 1);
  EXPECT_STREQ(t.name, "slipway");
}

TEST_F(HostTest, MessagesBeginWithTheInstanceAndRespectTheLevel) {
  host_.Log(SLIPWAY_LOG_WARNING, "link is slow");
  host_.Log(SLIPWAY_LOG_DEBUG, "not recorded");
  table_.table()->log(table_.table()->ctx, 77, "no such level", 13);
  table_.table()->log(table_.table()->ctx, SLIPWAY_LOG_ERROR, nullptr, 5);
  EXPECT_THAT(log_.lines, testing::ElementsAre("1 node: link is slow"));
}

TEST_F(HostTest, AMessageOfAnyLengthIsBounded) {
  host_.Log(SLIPWAY_LOG_ERROR, std::string(1 << 20, 'x'));
  ASSERT_EQ(log_.lines.size(), 1u);
  EXPECT_LT(log_.lines[0].size(), 5000u);
}

TEST_F(HostTest, TimeIsTheClocks) {
  const uint64_t before = host_.NowNs();
  clock_.Advance(17);
  EXPECT_EQ(host_.NowNs(), before + 17);
}

TEST_F(HostTest, PinsAreChargedAndRefusedOverTheBudget) {
  EXPECT_EQ(host_.PinCharge(60), SLIPWAY_OK);
  EXPECT_EQ(host_.PinCharge(60), SLIPWAY_E_PIN_LIMIT);
  host_.PinUncharge(60);
  EXPECT_EQ(host_.PinCharge(100), SLIPWAY_OK);
}

TEST_F(HostTest, WakesAndExtensionsArePassedOn) {
  int cookie = 0;
  host_.Wake(&cookie);
  EXPECT_THAT(services_.woken, testing::ElementsAre(&cookie));
  EXPECT_EQ(host_.GetExtension("slipway.test/1"), &services_);
  EXPECT_EQ(host_.GetExtension("slipway.other/1"), nullptr);
}

TEST_F(HostTest, MemoryIsAlignedZeroedAndWritable) {
  for (const size_t size : {size_t{1}, size_t{100}, size_t{65535}, size_t{65536}, size_t{3} << 20}) {
    for (const size_t align : {size_t{1}, size_t{64}, size_t{4096}, size_t{2} << 20}) {
      for (const int32_t numa : {-1, 0, 9999}) {
        void* const p = host_.Alloc(size, align, numa);
        ASSERT_NE(p, nullptr) << size << " " << align;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % align, 0u);
        EXPECT_EQ(static_cast<char*>(p)[size - 1], 0);
        std::memset(p, 0x5a, size);
        host_.Dealloc(p, size);
      }
    }
  }
}

TEST_F(HostTest, ImpossibleAllocationsAreNull) {
  EXPECT_EQ(host_.Alloc(0, 8), nullptr);
  EXPECT_EQ(host_.Alloc(8, 0), nullptr);
  EXPECT_EQ(host_.Alloc(8, 3), nullptr);
  EXPECT_EQ(host_.Alloc(SIZE_MAX, 8), nullptr);
  EXPECT_EQ(host_.Alloc(SIZE_MAX / 5, 4096), nullptr);
  host_.Dealloc(nullptr, 8);
}

}  // namespace
}  // namespace slipway
