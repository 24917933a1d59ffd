// Copies handed to the provider that knows the memory, over two fake providers of different kinds.
#include "core/memory/copier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "core/base/status_name.h"
#include "tests/fixtures/fake_memory_control.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

using testing::HasSubstr;

constexpr uint64_t kA = uint64_t{1} << 32, kB = uint64_t{1} << 33, kHost = SLIPWAY_MEM_HOST;

class CopierTest : public testing::Test {
 protected:
  CopierTest() {
    for (const char* name : {"fake-memory", "fake-memory-b"}) {
      const slipway_memory_provider& table = test::LoadMemoryProvider(test::FixturePath(name));
      controls_.push_back(
          static_cast<const slipway_fake_memory_control*>(table.get_extension(SLIPWAY_FAKE_MEMORY_EXTENSION)));
      EXPECT_TRUE(providers_.Add(&table, host_.table(), R"({"max_inflight": 4})", "").ok());
    }
    copier_ = *service_.Open(this, Counter::kDirectProviderCopies);
  }
  slipway_provider* provider(size_t i) const { return providers_.all()[i].instance; }
  char* Alloc(size_t i) { return static_cast<char*>(controls_[i]->alloc(provider(i), 4096)); }
  char* View(size_t i, const char* at) { return static_cast<char*>(controls_[i]->view(provider(i), at)); }
  slipway_status Submit(const std::vector<slipway_copy>& pieces, uint32_t* accepted) {
    error_ = EmptyError();
    return copier_->Submit(pieces.data(), sizeof pieces[0], static_cast<uint32_t>(pieces.size()), accepted, &error_);
  }
  std::vector<uint64_t> Poll(uint32_t max = 64) {
    std::vector<slipway_completion> out(max);
    uint32_t n = 0;
    EXPECT_EQ(copier_->Poll(out.data(), sizeof out[0], max, &n), SLIPWAY_OK);
    std::vector<uint64_t> tokens;
    for (uint32_t i = 0; i < n; ++i) {
      EXPECT_EQ(out[i].status, SLIPWAY_OK);
      tokens.push_back(out[i].token);
    }
    return tokens;
  }

  test::TestHost host_;
  Counters counters_;
  Providers providers_;
  CopyService service_{providers_, counters_};
  std::vector<const slipway_fake_memory_control*> controls_;
  Copier* copier_ = nullptr;
  slipway_error error_;
  char here_[4096] = {};
};

TEST_F(CopierTest, EachPieceGoesToTheProviderThatKnowsItsMemory) {
  char* const a = Alloc(0);
  char* const b = Alloc(1);
  std::memset(View(0, a), 'a', 4096);
  std::memset(View(1, b), 'b', 4096);
  uint32_t accepted = 0;
  ASSERT_EQ(Submit({{1, here_, a, 100, kHost, kA},
                    {2, here_ + 100, a, 100, kHost, kA},
                    {3, here_ + 200, b, 100, kHost, kB},
                    {4, a + 1000, a, 100, kA, kA}},
                   &accepted),
            SLIPWAY_OK);
  EXPECT_EQ(accepted, 4u);
  EXPECT_EQ(copier_->inflight(), 4u);
  EXPECT_EQ(service_.inflight(), 4u);
  EXPECT_THAT(Poll(), testing::UnorderedElementsAre(1, 2, 3, 4));
  EXPECT_EQ(service_.inflight(), 0u);
  EXPECT_EQ(std::string(here_, 300), std::string(200, 'a') + std::string(100, 'b'));
  EXPECT_EQ(counters_.Get(Counter::kDirectProviderCopies), 4u);
  EXPECT_EQ(counters_.Get(Counter::kProviderCopiedBytes), 400u);
}

TEST_F(CopierTest, APieceThatNobodyCopiesIsNamedAndThoseBeforeItAreTaken) {
  char* const a = Alloc(0);
  char* const b = Alloc(1);
  uint32_t accepted = 0;
  EXPECT_EQ(Submit({{1, here_, a, 8, kHost, kA}, {2, b, a, 8, kB, kA}, {3, here_, a, 8, kHost, kA}}, &accepted),
            SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(accepted, 1u);
  EXPECT_THAT(error_.message, HasSubstr("no memory provider"));
  EXPECT_EQ(Submit({{4, here_, here_ + 8, 8, kHost, kHost}}, &accepted), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(accepted, 0u);
  EXPECT_THAT(Poll(), testing::ElementsAre(1));
}

TEST_F(CopierTest, AFullProviderTakesWhatItHasRoomForAndPollingMakesRoom) {
  char* const a = Alloc(0);
  std::vector<slipway_copy> pieces;
  for (uint64_t i = 0; i < 6; ++i) pieces.push_back({i, here_ + i, a + i, 1, kHost, kA});
  uint32_t accepted = 0;
  EXPECT_EQ(Submit(pieces, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 4u);
  EXPECT_EQ(Submit({pieces[4]}, &accepted), SLIPWAY_E_AGAIN);
  EXPECT_EQ(accepted, 0u);
  EXPECT_EQ(Poll(1).size(), 1u);
  EXPECT_EQ(Submit({pieces[4], pieces[5]}, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 1u);
  EXPECT_EQ(Poll().size(), 4u);
}

// Over a provider that has groups, and one that has not.
class CopierGroupTest : public CopierTest, public testing::WithParamInterface<size_t> {
 protected:
  CopierGroupTest() : device_(Alloc(GetParam())) { std::memset(View(GetParam(), device_), 'x', 4096); }
  std::vector<slipway_copy> Pieces(uint64_t count) const {
    std::vector<slipway_copy> pieces;
    const uint64_t kind = GetParam() == 0 ? kA : kB;
    for (uint64_t i = 0; i < count; ++i)
      pieces.push_back({0, const_cast<char*>(here_) + i, device_ + i, 1, kHost, kind});
    return pieces;
  }
  slipway_status Group(uint64_t token, const std::vector<slipway_copy>& pieces, uint32_t* accepted) {
    error_ = EmptyError();
    return copier_->SubmitGroup(token, pieces.data(), sizeof pieces[0], static_cast<uint32_t>(pieces.size()), accepted,
                                &error_);
  }
  const slipway_fake_memory_control& control() const { return *controls_[GetParam()]; }

  char* const device_;
};

TEST_P(CopierGroupTest, HasOneCompletionWithItsToken) {
  uint32_t accepted = 0;
  ASSERT_EQ(Group(100, Pieces(3), &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 3u);
  ASSERT_EQ(Group(101, Pieces(1), &accepted), SLIPWAY_OK);
  EXPECT_EQ(counters_.Get(Counter::kDirectProviderCopies), 4u);
  EXPECT_EQ(counters_.Get(Counter::kProviderCopiedBytes), 4u);
  EXPECT_FALSE(service_.Close(copier_));
  std::vector<slipway_completion> out(4);
  uint32_t n = 0;
  ASSERT_EQ(copier_->Poll(out.data(), sizeof out[0], 4, &n), SLIPWAY_OK);
  ASSERT_EQ(n, 2u);
  EXPECT_EQ(out[0].token, 100u);
  EXPECT_EQ(out[0].bytes, 3u);
  EXPECT_EQ(out[1].token, 101u);
  EXPECT_EQ(copier_->inflight(), 0u);
  EXPECT_EQ(service_.inflight(), 0u);
  EXPECT_EQ(std::string(here_, 4), std::string("xxx\0", 4));
  EXPECT_TRUE(service_.Close(copier_));
}

TEST_P(CopierGroupTest, WithRoomForOneCompletionAllAreFound) {
  uint32_t accepted = 0;
  ASSERT_EQ(Group(1, Pieces(2), &accepted), SLIPWAY_OK);
  ASSERT_EQ(Group(2, Pieces(2), &accepted), SLIPWAY_OK);
  EXPECT_THAT(Poll(1), testing::ElementsAre(1));
  EXPECT_THAT(Poll(1), testing::ElementsAre(2));
  EXPECT_THAT(Poll(1), testing::IsEmpty());
}

TEST_P(CopierGroupTest, FailsWithTheFirstPieceThatDoes) {
  control().set_copy_error(provider(GetParam()), SLIPWAY_E_DEVICE, 1);
  uint32_t accepted = 0;
  ASSERT_EQ(Group(5, Pieces(4), &accepted), SLIPWAY_OK);
  slipway_completion out[4];
  uint32_t n = 0;
  ASSERT_EQ(copier_->Poll(out, sizeof out[0], 4, &n), SLIPWAY_OK);
  ASSERT_EQ(n, 1u);
  EXPECT_EQ(out[0].token, 5u);
  EXPECT_EQ(out[0].status, SLIPWAY_E_DEVICE);
  EXPECT_EQ(out[0].bytes, 0u);
  control().set_copy_error(provider(GetParam()), SLIPWAY_OK, 0);
  ASSERT_EQ(Group(6, Pieces(4), &accepted), SLIPWAY_OK);
  EXPECT_THAT(Poll(), testing::ElementsAre(6));
}

TEST_P(CopierGroupTest, AFullProviderTakesAPrefixOrNone) {
  control().set_hold(provider(GetParam()), 1);
  uint32_t accepted = 0, taken = 0;
  uint64_t groups = 0;
  const std::vector<slipway_copy> pieces = Pieces(3);
  slipway_status status = SLIPWAY_OK;
  while (groups < 100 && (status = Group(groups, pieces, &accepted)) == SLIPWAY_OK) {
    EXPECT_GT(accepted, 0u);
    taken += accepted;
    ++groups;
  }
  EXPECT_EQ(status, SLIPWAY_E_AGAIN);
  EXPECT_EQ(accepted, 0u);
  control().set_hold(provider(GetParam()), 0);
  EXPECT_EQ(Poll().size(), groups);
  EXPECT_EQ(counters_.Get(Counter::kDirectProviderCopies), taken);
}

TEST_P(CopierGroupTest, WhatNobodyCopiesIsRefused) {
  uint32_t accepted = 9;
  EXPECT_EQ(Group(1, {{1, here_, here_ + 8, 8, kHost, kHost}}, &accepted), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(accepted, 0u);
  std::vector<slipway_copy> pieces = Pieces(3);
  pieces[1].src = nullptr;
  EXPECT_EQ(Group(1, pieces, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 1u);
  EXPECT_THAT(Poll(), testing::ElementsAre(1));
}

INSTANTIATE_TEST_SUITE_P(Providers, CopierGroupTest, testing::Values(0, 1),
                         [](const auto& info) { return info.param == 0 ? "WithGroups" : "Without"; });

TEST_F(CopierTest, OneWithPiecesInFlightIsKeptWhenItIsClosed) {
  char* const a = Alloc(0);
  uint32_t accepted = 0;
  ASSERT_EQ(Submit({{1, here_, a, 8, kHost, kA}}, &accepted), SLIPWAY_OK);
  EXPECT_FALSE(service_.Close(copier_));
  EXPECT_EQ(Poll().size(), 1u);
  EXPECT_TRUE(service_.Close(copier_));
}

TEST_F(CopierTest, StreamsAreOfOneKindAndReachEveryCopier) {
  Copier* const other = *service_.Open(this, Counter::kStagedProviderCopies);
  void* const stream = controls_[0]->stream(provider(0));
  EXPECT_TRUE(service_.After(kA, stream).ok());
  slipway_fake_memory_counters counters{};
  controls_[0]->get_counters(provider(0), &counters);
  EXPECT_EQ(counters.orders, 2u);
  EXPECT_EQ(service_.After(kB, stream).code(), SLIPWAY_E_INVALID) << "a stream of the other's";
  EXPECT_EQ(service_.After(SLIPWAY_MEM_ROCM, nullptr).code(), SLIPWAY_E_INVALID);
  EXPECT_TRUE(service_.Close(other));
}

}  // namespace
}  // namespace slipway
