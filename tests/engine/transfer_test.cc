// Data through two engines, over every transport.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <tuple>

#include "tests/engine/fixture.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class EveryTransportTest : public testing::TestWithParam<std::tuple<std::string, uint64_t>> {
 protected:
  void SetUp() override {
    const auto [name, slice_bytes] = GetParam();
    if (name != "fake" && !Built(name)) GTEST_SKIP() << name << " is not built";
    Json json = Configuration({Use(name)});
    json["transfer"]["slice_bytes"] = slice_bytes;
    near_ = Make(json);
    far_ = Make(json);
  }
  Engine near_, far_;
};

TEST_P(EveryTransportTest, MovesOddRangesAcrossSpansBothWays) {
  const auto [name, slice_bytes] = GetParam();
  const size_t total = 5 * kMiB + 13;
  Bytes first(1 * kMiB + 1), second(3), third(total - first.size() - second.size());
  const std::vector<slipway_span> spans = {
      {first.data(), first.size()}, {second.data(), second.size()}, {third.data(), third.size()}};
  ASSERT_TRUE(far_.Publish("weights/layer.0", spans).ok());
  const Segment segment = Open(near_, far_, "weights/layer.0");
  ASSERT_EQ(segment.length(), total);
  Bytes source = Pattern(total, 1), back(total);
  ASSERT_TRUE(near_.Declare(source.data(), total / 2).ok());  // the rest is staged where that is needed
  const std::vector<Request> writes = {WriteRequest(segment, 0, source.data(), 7),
                                       WriteRequest(segment, 7, source.data() + 7, total - 7)};
  Result<Batch> batch = near_.Submit(writes);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok()) << batch->Wait().message();
  const RequestResult result = *batch->result(1);
  EXPECT_EQ(result.transport, name);
  EXPECT_EQ(result.bytes, total - 7);
  EXPECT_GE(result.slices, (total - 7) / slice_bytes);
  EXPECT_EQ(std::memcmp(first.data(), source.data(), first.size()), 0);
  EXPECT_EQ(std::memcmp(second.data(), source.data() + first.size(), second.size()), 0);
  EXPECT_EQ(std::memcmp(third.data(), source.data() + first.size() + second.size(), third.size()), 0);
  const Status read = near_.Read(segment, 3, std::span(back).subspan(3, total - 4));
  ASSERT_TRUE(read.ok()) << read.message();
  EXPECT_TRUE(std::equal(back.begin() + 3, back.end() - 1, source.begin() + 3));
  EXPECT_EQ(back.back(), std::byte{0}) << "not a byte more than was asked for";
  EXPECT_TRUE(near_.Undeclare(source.data(), total / 2, 5'000).ok());
  EXPECT_TRUE(far_.Withdraw("weights/layer.0").ok());  // the engine lives on, its memory does not
}

TEST_P(EveryTransportTest, AWithdrawnSegmentIsStaleAndANewOneOfItsNameIsAnother) {
  Bytes memory(64 * 1024), local = Pattern(64 * 1024, 2);
  ASSERT_TRUE(Publish(far_, "s", memory).ok());
  const Segment old = Open(near_, far_, "s");
  ASSERT_TRUE(near_.Write(old, 0, local).ok());
  ASSERT_TRUE(far_.Withdraw("s").ok());
  Bytes before = memory;
  EXPECT_EQ(near_.Write(old, 1, std::span(local).subspan(1)).code(), SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(near_.Open(*far_.ControlAddress() + "/s", 5'000).status().code(), SLIPWAY_E_NO_SEGMENT);
  ASSERT_TRUE(Publish(far_, "s", memory).ok());
  EXPECT_EQ(near_.Write(old, 1, std::span(local).subspan(1)).code(), SLIPWAY_E_STALE_REMOTE) << "of an earlier epoch";
  EXPECT_EQ(memory, before) << "no byte through the old name";
  const Segment now = Open(near_, far_, "s");
  EXPECT_TRUE(near_.Write(now, 1, std::span(local).subspan(1)).ok());
  EXPECT_TRUE(far_.Withdraw("s").ok());
}

TEST_P(EveryTransportTest, ASegmentMayBeOfAnyOfOnesOwn) {
  Bytes memory(100'000), local = Pattern(100'000, 3);
  ASSERT_TRUE(Publish(near_, "mine", memory).ok());
  Result<Segment> segment = near_.Open("/mine");
  ASSERT_TRUE(segment.ok()) << segment.status().message();
  const Status written = near_.Write(*segment, 0, local);
  ASSERT_TRUE(written.ok()) << written.message();
  EXPECT_EQ(memory, local);
  EXPECT_TRUE(near_.Withdraw("mine").ok());
}

INSTANTIATE_TEST_SUITE_P(All, EveryTransportTest,
                         testing::Combine(testing::Values("local-memcpy", "tcp", "fake"),
                                          testing::Values(64u << 10, 1u << 20, 16u << 20)),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param) + "_" + std::to_string(std::get<1>(info.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(EngineTransferTest, AccessThatWasNotPublishedIsRefusedHere) {
  const Engine engine = Make(Configuration({Use("fake")}));
  Bytes memory(4096), local(4096);
  ASSERT_TRUE(Publish(engine, "ro", memory, SLIPWAY_ACCESS_REMOTE_READ).ok());
  const Segment segment = *engine.Open("/ro");
  const Status refused = engine.Write(segment, 0, local);
  EXPECT_EQ(refused.code(), SLIPWAY_E_SEGMENT_ACCESS);
  EXPECT_THAT(refused.message(), HasSubstr("\"ro\""));
  EXPECT_TRUE(engine.Read(segment, 0, local).ok());
}

TEST(EngineTransferTest, UndeclaringWaitsForWhatIsInFlight) {
  if (!MayPin()) GTEST_SKIP() << "what must be registered cannot be declared here";
  const Engine engine = Make(Configuration({Use("fake", {{"tag", "undeclare"}})}));
  Bytes memory(4096), local(4096);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  ASSERT_TRUE(engine.Declare(local.data(), local.size(), SLIPWAY_DECLARE_REGISTER_REQUIRED).ok());
  slipway_instance* fake = FakeControl().find("undeclare");
  FakeControl().set_hold(fake, 1);
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  Result<Batch> batch = engine.Submit({&request, 1});
  ASSERT_TRUE(batch.ok());
  const Status busy = engine.Undeclare(local.data(), local.size(), 20);
  EXPECT_EQ(busy.code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_NE(busy.message(), "");
  FakeControl().set_hold(fake, 0);
  EXPECT_TRUE(engine.Undeclare(local.data(), local.size(), 20'000).ok());
  EXPECT_TRUE(batch->Wait().ok());
  EXPECT_EQ(engine.Undeclare(local.data(), local.size()).code(), SLIPWAY_E_NOT_DECLARED);
  EXPECT_EQ(engine.Undeclare(memory.data(), memory.size()).code(), SLIPWAY_E_NOT_DECLARED);
  EXPECT_EQ(FakeCounters("undeclare").violations, 0u);
}

TEST(EngineTransferTest, APublishedRegionIsNotUndeclared) {
  const Engine engine = Make(Configuration({Use("fake")}));
  Bytes memory(8192);
  ASSERT_TRUE(engine.Declare(memory.data(), memory.size()).ok());
  const slipway_span inside = {memory.data() + 100, 100};
  ASSERT_TRUE(engine.Publish("part", {&inside, 1}).ok());
  const Status busy = engine.Undeclare(memory.data(), memory.size());
  EXPECT_EQ(busy.code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_THAT(busy.message(), HasSubstr("\"part\""));
  EXPECT_TRUE(engine.Withdraw("part").ok());
  EXPECT_TRUE(engine.Undeclare(memory.data(), memory.size()).ok());
}

TEST(EngineTransferTest, WithPinningOffEverythingIsStagedAndNothingBeyondThePoolIsPinned) {
  Json json = Configuration({Use("fake", {{"tag", "unpinned"}})});
  json["memory"]["pin_policy"] = "off";
  const Engine engine = Make(json);
  Bytes memory(3 * kMiB), local = Pattern(3 * kMiB, 5);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  ASSERT_TRUE(engine.Declare(local.data(), local.size()).ok());
  const uint64_t registrations = FakeCounters("unpinned").registrations_now;
  EXPECT_EQ(registrations, 2u) << "the pool and the segment";
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  Result<Batch> batch = engine.Submit({&request, 1});
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(batch->result(0)->staged_slices, batch->result(0)->slices);
  EXPECT_EQ(memory, local);
  EXPECT_EQ(engine.Declare(local.data(), 1, SLIPWAY_DECLARE_REGISTER_REQUIRED).code(), SLIPWAY_E_CONFIG_CONFLICT);
}

TEST(EngineTransferTest, FailsOverBetweenTransportsOfTheConfiguration) {
  const Json json = Configuration({Use("fake", {{"tag", "bad"}, {"complete_with", "E_TIMEOUT"}}), Use("fake-b")});
  const Engine near = Make(json);
  const Engine far = Make(Configuration({Use("fake"), Use("fake-b")}));
  Bytes memory(kMiB), local = Pattern(kMiB, 6);
  ASSERT_TRUE(Publish(far, "s", memory).ok());
  const Segment segment = Open(near, far, "s");
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  Result<Batch> batch = near.Submit({&request, 1});
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(batch->result(0)->transport, "fake-b");
  EXPECT_GE(batch->result(0)->retries, 1u);
  EXPECT_EQ(memory, local);
  EXPECT_GE(Described(near)["counters"]["failovers"].get<uint64_t>(), 1u);
}

TEST(EngineTransferTest, CallbacksOfTheCppApiOwnTheirBatch) {
  const Engine engine = Make(Configuration({Use("fake")}));
  Bytes memory(4096), local = Pattern(4096, 7);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  std::atomic<int> calls{0}, ok{0};
  for (int i = 0; i < 100; ++i) {
    const Request request = WriteRequest(segment, 0, local.data(), local.size());
    ASSERT_TRUE(engine
                    .SubmitThen({&request, 1}, {},
                                [&](Batch batch) {
                                  ok += batch.Poll().ok();
                                  ++calls;
                                })
                    .ok());
  }
  EXPECT_TRUE(test::WaitUntil([&] { return calls == 100; }));
  EXPECT_EQ(ok, 100);
}

TEST(EngineTransferTest, PagesThatContinueOneAnotherAreFewSlicesAndArriveWhole) {
  const Engine engine = Make(Configuration({Use("fake", {{"tag", "pages"}, {"needs_local_reg", false}})}));
  constexpr uint64_t kPage = 4096, kPages = 1000;
  Bytes memory(kPage * kPages), local = Pattern(kPage * kPages, 11);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  std::vector<Request> requests;
  for (uint64_t at = 0; at < local.size(); at += kPage) {
    requests.push_back(WriteRequest(segment, at, local.data() + at, kPage));
  }
  const uint64_t before = FakeCounters("pages").slices_accepted;
  Result<Batch> batch = engine.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(memory, local);
  EXPECT_LE(FakeCounters("pages").slices_accepted - before, kPages / 16 + 2);
  for (size_t i = 0; i < kPages; ++i) {
    const RequestResult result = *batch->result(i);
    ASSERT_EQ(result.status, SLIPWAY_OK);
    ASSERT_EQ(result.bytes, kPage);
    ASSERT_EQ(result.slices, 1u);
    ASSERT_EQ(result.transport, "fake");
  }
  EXPECT_EQ(Described(engine)["counters"]["requests_inflight"], 0);
  // One in the middle of what goes as one that does not belong there.
  std::fill(memory.begin(), memory.end(), std::byte{0});
  Bytes expected = local;
  const auto page = [&](uint64_t i) { return expected.begin() + static_cast<ptrdiff_t>(i * kPage); };
  std::swap(requests[3].local, requests[5].local);
  std::swap_ranges(page(3), page(4), page(5));
  std::swap(requests[100].offset, requests[103].offset);
  std::swap_ranges(page(100), page(101), page(103));
  requests[200].length = 100;
  std::fill(page(200) + 100, page(201), std::byte{0});
  requests[300].length = 0;
  std::fill(page(300), page(301), std::byte{0});
  Bytes back(kPage);
  requests[400] = ReadRequest(segment, 999 * kPage + 1, back.data(), 8);
  std::fill(page(400), page(401), std::byte{0});
  batch = engine.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(memory, expected);
  for (size_t i = 0; i < kPages; ++i) ASSERT_EQ(batch->result(i)->bytes, requests[i].length) << i;
  requests[500].flags = 1;
  EXPECT_EQ(engine.Submit(requests).status().code(), SLIPWAY_E_INVALID);
}

}  // namespace
}  // namespace slipway
