// The C++ API over real transports: two engines in this process, which share nothing but the loaded plugins.
#include "slipway/engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <condition_variable>
#include <mutex>
#include <random>
#include <type_traits>
#include <vector>

namespace slipway {
namespace {

using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<Engine> && std::is_nothrow_move_constructible_v<Engine>);
static_assert(!std::is_copy_constructible_v<Segment> && std::is_nothrow_move_constructible_v<Segment>);
static_assert(!std::is_copy_constructible_v<Batch> && std::is_nothrow_move_constructible_v<Batch>);

Options With(const std::string& transport, uint64_t slice_bytes = 0) {
  Options options;
  options.transports.push_back(PluginUse{.name = transport, .plugin = {}, .required = true});
  options.transfer.slice_bytes = slice_bytes;
  return options;
}

std::vector<std::byte> RandomBytes(size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(generator());
  return bytes;
}

// A serving engine with the segment "box", and another that has opened it.
class TwoEngines : public ::testing::TestWithParam<const char*> {
 protected:
  void Connect(size_t box_bytes, uint64_t slice_bytes = 0) {
    box_ = RandomBytes(box_bytes, 1);
    auto serving = Engine::FromOptions(With(GetParam(), slice_bytes));
    ASSERT_TRUE(serving.ok()) << serving.status().message();
    serving_ = std::move(*serving);
    const std::array spans = {slipway_span{box_.data(), box_.size()}};
    const Status published = serving_.Publish("box", spans);
    ASSERT_TRUE(published.ok()) << published.message();
    auto moving = Engine::FromOptions(With(GetParam(), slice_bytes));
    ASSERT_TRUE(moving.ok()) << moving.status().message();
    moving_ = std::move(*moving);
    auto segment = moving_.Open(*serving_.ControlAddress() + "/box");
    ASSERT_TRUE(segment.ok()) << segment.status().message();
    segment_ = std::move(*segment);
  }

  void Write(uint64_t offset, std::span<const std::byte> bytes) {
    const Status status = moving_.Write(segment_, offset, bytes);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  std::vector<std::byte> Read(uint64_t offset, size_t count) {
    std::vector<std::byte> bytes(count);
    const Status status = moving_.Read(segment_, offset, bytes);
    EXPECT_TRUE(status.ok()) << status.message();
    return bytes;
  }

  std::vector<std::byte> box_;  // outlives the engine that publishes it
  Engine serving_, moving_;
  Segment segment_;
};

TEST_P(TwoEngines, MoveEverySliceSizeAtOddOffsets) {
  constexpr size_t kBytes = (33u << 20) + 17;
  for (const uint64_t slice_bytes : {uint64_t{64} << 10, uint64_t{1} << 20, uint64_t{16} << 20}) {
    segment_ = Segment();
    ASSERT_NO_FATAL_FAILURE(Connect(kBytes + 4096, slice_bytes));
    const std::vector<std::byte> bytes = RandomBytes(kBytes, 2);
    for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{4093}}) {
      Write(offset, bytes);
      EXPECT_TRUE(Read(offset, kBytes) == bytes) << slice_bytes << " at " << offset;
    }
  }
}

TEST_P(TwoEngines, ABatchTellsHowEachRequestWent) {
  ASSERT_NO_FATAL_FAILURE(Connect(100'000));
  std::vector<std::byte> out = RandomBytes(50'000, 3), in(50'000);
  const std::array requests = {WriteRequest(segment_, 0, out.data(), out.size()),
                               ReadRequest(segment_, 50'000, in.data(), in.size()),
                               ReadRequest(segment_, 0, nullptr, 0)};
  auto batch = moving_.Submit(requests, {.priority = Priority::kSmall, .timeout_ms = 30'000});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  const Status status = batch->Wait();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(batch->Poll().ok());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto result = batch->result(i);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->status, SLIPWAY_OK);
    EXPECT_EQ(result->bytes, requests[i].length);
    EXPECT_EQ(batch->message(i), "");
  }
  EXPECT_EQ(batch->result(0)->transport, GetParam());
  EXPECT_FALSE(batch->result(requests.size()).ok());
  EXPECT_TRUE(std::equal(out.begin(), out.end(), box_.begin()));
  EXPECT_TRUE(std::equal(in.begin(), in.end(), box_.begin() + 50'000));
}

TEST_P(TwoEngines, ABatchIsHandedToItsCallback) {
  ASSERT_NO_FATAL_FAILURE(Connect(4096));
  std::vector<std::byte> in(4096);
  std::mutex mutex;
  std::condition_variable done;
  Batch handed;
  const Request request = ReadRequest(segment_, 0, in.data(), in.size());
  const Status status = moving_.SubmitThen({&request, 1}, {}, [&](Batch batch) {
    const std::lock_guard lock(mutex);
    handed = std::move(batch);
    done.notify_one();
  });
  ASSERT_TRUE(status.ok()) << status.message();
  std::unique_lock lock(mutex);
  ASSERT_TRUE(done.wait_for(lock, std::chrono::seconds(30), [&] { return static_cast<bool>(handed); }));
  EXPECT_TRUE(handed.Poll().ok());
  EXPECT_EQ(handed.result(0)->bytes, 4096u);
  EXPECT_TRUE(in == box_);
}

TEST_P(TwoEngines, ARefusedSubmissionDropsItsCallback) {
  ASSERT_NO_FATAL_FAILURE(Connect(4096));
  std::byte one{};
  auto alive = std::make_shared<int>(0);
  const Request beyond = WriteRequest(segment_, 4096, &one, 1);
  const Status status = moving_.SubmitThen({&beyond, 1}, {}, [alive](const Batch&) { FAIL(); });
  EXPECT_EQ(status.code(), SLIPWAY_E_SEGMENT_RANGE);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_P(TwoEngines, ABatchThatIsDroppedInProgressIsCancelledFirst) {
  ASSERT_NO_FATAL_FAILURE(Connect(32u << 20));
  for (int i = 0; i < 10; ++i) {
    std::vector<std::byte> in(box_.size());
    const Request request = ReadRequest(segment_, 0, in.data(), in.size());
    auto batch = moving_.Submit({&request, 1});
    ASSERT_TRUE(batch.ok()) << batch.status().message();
  }  // the memory goes after the batch: nothing may still write to it, as the sanitizers would say
  EXPECT_EQ(Read(7, 1).front(), box_[7]);
}

TEST_P(TwoEngines, DeclaredMemoryIsTakenBack) {
  ASSERT_NO_FATAL_FAILURE(Connect(8192));
  std::vector<std::byte> local(8192);
  ASSERT_TRUE(moving_.Declare(local.data(), local.size()).ok());
  EXPECT_TRUE(moving_.Read(segment_, 0, local).ok());
  EXPECT_TRUE(moving_.Undeclare(local.data(), local.size(), 1000).ok());
  EXPECT_EQ(moving_.Undeclare(local.data(), local.size()).code(), SLIPWAY_E_NOT_DECLARED);
  EXPECT_TRUE(local == box_);
}

TEST_P(TwoEngines, AWithdrawnSegmentIsNotReachable) {
  ASSERT_NO_FATAL_FAILURE(Connect(8192));
  ASSERT_EQ(Read(0, 8192), box_);
  ASSERT_TRUE(serving_.Withdraw("box").ok());
  std::vector<std::byte> local(8192);
  EXPECT_FALSE(moving_.Read(segment_, 0, local, 5'000).ok());
  EXPECT_EQ(moving_.Open(*serving_.ControlAddress() + "/box").status().code(), SLIPWAY_E_NO_SEGMENT);
  EXPECT_EQ(serving_.Withdraw("box").code(), SLIPWAY_E_NO_SEGMENT);
}

TEST_P(TwoEngines, ExplainNamesTheTransport) {
  ASSERT_NO_FATAL_FAILURE(Connect(8192));
  std::byte local[16];
  const auto text = moving_.Explain(ReadRequest(segment_, 0, local, sizeof(local)));
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_THAT(*text, HasSubstr(GetParam()));
  EXPECT_FALSE(moving_.Explain(ReadRequest(segment_, 8192, local, 1)).ok());
}

INSTANTIATE_TEST_SUITE_P(Transports, TwoEngines, ::testing::Values("local-memcpy", "tcp"), [](const auto& info) {
  std::string name = info.param;
  std::erase(name, '-');
  return name;
});

TEST(Engines, SayWhyTheyCannotBeMade) {
  const auto unknown = Engine::FromJson(R"({"transprots": []})");
  EXPECT_EQ(unknown.status().code(), SLIPWAY_E_CONFIG_KEY);
  EXPECT_THAT(unknown.status().message(), HasSubstr("transprots"));
  EXPECT_EQ(Engine::FromJson("").status().code(), SLIPWAY_E_CONFIG_SYNTAX);
  EXPECT_EQ(Engine::FromFile("none.json").status().code(), SLIPWAY_E_CONFIG_FILE);
  EXPECT_EQ(Engine::FromOptions(With("no-such-plugin")).status().code(), SLIPWAY_E_PLUGIN_NOT_FOUND);
}

TEST(Engines, EmptyOnesAndMovedOnesAreHarmless) {
  Engine first;
  EXPECT_FALSE(first);
  auto made = Engine::FromJson("{}");
  ASSERT_TRUE(made.ok()) << made.status().message();
  first = std::move(*made);
  EXPECT_TRUE(first);
  const Engine second = std::move(first);
  EXPECT_THAT(*second.ControlAddress(), HasSubstr("127.0.0.1:"));
  EXPECT_THAT(*second.Describe(), HasSubstr("{"));
  const Batch no_batch;
  const Segment no_segment;
  EXPECT_FALSE(no_batch);
  EXPECT_FALSE(no_segment);
}

TEST(Engines, ReachTheirOwnSegmentsByNameAlone) {
  auto engine = Engine::FromOptions(With("local-memcpy"));
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  std::array<std::byte, 64> first{}, second{};
  const std::array spans = {slipway_span{first.data(), 64}, slipway_span{second.data(), 64}};
  ASSERT_TRUE(engine->Publish("pair", spans).ok());
  const auto segment = engine->Open("/pair");
  ASSERT_TRUE(segment.ok()) << segment.status().message();
  EXPECT_EQ(segment->length(), 128u);
  const std::vector<std::byte> bytes = RandomBytes(128, 5);
  const Status status = engine->Write(*segment, 0, bytes);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(std::equal(first.begin(), first.end(), bytes.begin()));
  EXPECT_TRUE(std::equal(second.begin(), second.end(), bytes.begin() + 64)) << "spans follow one another";
}

}  // namespace
}  // namespace slipway
