// Memory for segments that the engine allocates.
#include "tests/engine/fixture.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

TEST(MemoryTest, WithoutATransportThatHasSomeItIsOrdinaryMemory) {
  const Engine engine = Make(Configuration({Use("fake")}));
  Result<Memory> memory = engine.Allocate(3 * kMiB + 5);
  ASSERT_TRUE(memory.ok()) << memory.status().message();
  EXPECT_EQ(memory->size(), 3 * kMiB + 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->data()) % (2 * kMiB), 0u);
  for (const std::byte b : memory->bytes()) ASSERT_EQ(b, std::byte{0});
  const Json described = Described(engine)["memory"]["segment_memory"];
  ASSERT_EQ(described.size(), 1u);
  EXPECT_EQ(described[0]["source"], "memory");
  EXPECT_EQ(described[0]["length"], 3 * kMiB + 5);
}

class SharedMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Built("local-memcpy")) GTEST_SKIP() << "local-memcpy was not built";
    engine_ = Make(Configuration({Use("fake"), Use("local-memcpy")}));
  }
  Engine engine_;
};

TEST_F(SharedMemoryTest, ComesFromTheTransportThatHasSome) {
  const Result<Memory> memory = engine_.Allocate(5000);
  ASSERT_TRUE(memory.ok()) << memory.status().message();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->data()) % (2 * kMiB), 0u);
  for (const std::byte b : memory->bytes()) ASSERT_EQ(b, std::byte{0});
  EXPECT_EQ(Described(engine_)["memory"]["segment_memory"][0]["source"], "local-memcpy");
}

TEST_F(SharedMemoryTest, IsPublishedAndWrittenLikeAnyOther) {
  Result<Memory> memory = engine_.Allocate(kMiB);
  ASSERT_TRUE(memory.ok());
  const slipway_span span = memory->span();
  ASSERT_TRUE(engine_.Publish("s", {&span, 1}).ok());
  const Segment segment = Open(engine_, engine_, "s");
  const Bytes bytes = Pattern(kMiB, 7);
  ASSERT_TRUE(engine_.Write(segment, 0, bytes).ok());
  EXPECT_EQ(Bytes(memory->bytes().begin(), memory->bytes().end()), bytes);
}

TEST_F(SharedMemoryTest, IsNotFreedUnderASegmentOrARegion) {
  Result<Memory> memory = engine_.Allocate(kMiB);
  ASSERT_TRUE(memory.ok());
  const slipway_span span = {memory->data() + 4096, 4096};
  ASSERT_TRUE(engine_.Publish("s", {&span, 1}).ok());
  Status status = memory->Free();
  EXPECT_EQ(status.code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_THAT(status.message(), HasSubstr("withdraw"));
  ASSERT_TRUE(engine_.Withdraw("s").ok());
  ASSERT_TRUE(engine_.Declare(memory->data(), memory->size()).ok());
  status = memory->Free();
  EXPECT_EQ(status.code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_THAT(status.message(), HasSubstr("undeclare"));
  ASSERT_TRUE(engine_.Undeclare(memory->data(), memory->size()).ok());
  EXPECT_TRUE(memory->Free().ok());
  EXPECT_FALSE(*memory);
  EXPECT_EQ(Described(engine_)["memory"]["segment_memory"].size(), 0u);
}

TEST_F(SharedMemoryTest, WhatCannotBeIsSaid) {
  EXPECT_EQ(engine_.Allocate(0).status().code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Allocate(kMiB, {.transport = "fake"}).status().code(), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(engine_.Allocate(kMiB, {.transport = "nowhere"}).status().code(), SLIPWAY_E_UNSUPPORTED);
  EXPECT_FALSE(engine_.Allocate(uint64_t{1} << 60).ok());
  Bytes own(4096);
  EXPECT_EQ(slipway_memory_free(engine_.get(), own.data(), nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_memory_free(engine_.get(), nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_memory_free(nullptr, own.data(), nullptr), SLIPWAY_E_INVALID);
}

TEST_F(SharedMemoryTest, AnOwnerMayOutliveTheEngine) {
  Result<Memory> memory = engine_.Allocate(kMiB, {.transport = "local-memcpy"});
  ASSERT_TRUE(memory.ok());
  engine_ = Engine();
  EXPECT_TRUE(memory->Free().ok());
}

}  // namespace
}  // namespace slipway
