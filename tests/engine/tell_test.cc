// What an engine tells: what it is made of, and why it would do what it would do.
#include "tests/engine/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

TEST(TellTest, DescribeHasEverythingThatIsPromised) {
  const Engine engine = Make(Configuration({Use("fake"), Use("fake-b")}));
  Bytes memory(10'000);
  ASSERT_TRUE(engine.Declare(memory.data(), memory.size()).ok());
  ASSERT_TRUE(Publish(engine, "one", memory).ok());
  const Segment segment = *engine.Open("/one");
  Bytes local(100);
  ASSERT_TRUE(engine.Write(segment, 5, local).ok());
  const Json json = Described(engine);
  EXPECT_EQ(json["name"], "slipway");
  EXPECT_EQ(json["control_address"], *engine.ControlAddress());
  ASSERT_EQ(json["transports"].size(), 2u);
  const Json& fake = json["transports"][0];
  EXPECT_EQ(fake["name"], "fake");
  EXPECT_EQ(fake["state"], "ready");
  EXPECT_TRUE(fake["attributes"].contains("max_slice_bytes"));
  EXPECT_TRUE(fake["capabilities"].is_array());
  EXPECT_THAT(fake["plugin_file"].get<std::string>(), HasSubstr("libslipway-fake.so"));
  EXPECT_EQ(fake["stats"]["bytes_written"], 100);
  ASSERT_EQ(json["memory"]["regions"].size(), 1u);
  EXPECT_EQ(json["memory"]["regions"][0]["length"], 10'000);
  EXPECT_GT(json["memory"]["pinned_bytes"].get<uint64_t>(), 8 * kMiB);
  ASSERT_EQ(json["segments"].size(), 1u);
  EXPECT_EQ(json["segments"][0]["name"], "one");
  EXPECT_EQ(json["links"][0]["state"], "ready");
  EXPECT_EQ(json["counters"]["bytes_written"], 100);
}

TEST(TellTest, ExplainSaysWhoIsChosenAndWhyTheOthersAreNot) {
  if (!MayPin()) GTEST_SKIP() << "declared memory is staged here, too";
  const Engine near = Make(Configuration({Use("fake", {{"mem_kinds", 2}}), Use("fake-b")}));
  const Engine far = Make(Configuration({Use("fake"), Use("fake-b")}));
  Bytes memory(10'000), local(10'000);
  ASSERT_TRUE(Publish(far, "s", memory).ok());
  const Segment segment = Open(near, far, "s");
  ASSERT_TRUE(near.Declare(local.data(), 4000, SLIPWAY_DECLARE_REGISTER_REQUIRED).ok());
  const Result<std::string> text = near.Explain(WriteRequest(segment, 0, local.data(), local.size()));
  ASSERT_TRUE(text.ok()) << text.status().message();
  const Json json = Json::parse(*text);
  EXPECT_EQ(json["chosen"], "fake-b");
  EXPECT_EQ(json["order"].size(), 1u);
  ASSERT_EQ(json["refused"].size(), 1u);
  EXPECT_EQ(json["refused"][0]["transport"], "fake");
  EXPECT_THAT(json["refused"][0]["reason"].get<std::string>(), HasSubstr("kind of local memory"));
  EXPECT_EQ(json["slices"]["total"], 2);
  EXPECT_EQ(json["slices"]["staged_bytes"], 6000);
  EXPECT_EQ(near.Explain(WriteRequest(segment, 9'999, local.data(), 2)).status().code(), SLIPWAY_E_SEGMENT_RANGE);
}

TEST(TellTest, TheOrderOfTransportsIsTheConfiguredOneEveryTime) {
  for (int run = 0; run < 20; ++run) {
    const bool swapped = run % 2 == 1;
    const Engine engine =
        Make(swapped ? Configuration({Use("fake-b"), Use("fake")}) : Configuration({Use("fake"), Use("fake-b")}));
    Bytes memory(100), local(100);
    ASSERT_TRUE(Publish(engine, "s", memory).ok());
    const Segment segment = *engine.Open("/s");
    const Request request = WriteRequest(segment, 0, local.data(), local.size());
    const Json json = Json::parse(*engine.Explain(request));
    ASSERT_EQ(json["order"].size(), 2u);
    EXPECT_EQ(json["order"][0]["transport"], swapped ? "fake-b" : "fake") << run;
    EXPECT_EQ(json["order"][1]["transport"], swapped ? "fake" : "fake-b") << run;
    Result<Batch> batch = engine.Submit({&request, 1});
    ASSERT_TRUE(batch->Wait().ok());
    EXPECT_EQ(batch->result(0)->transport, swapped ? "fake-b" : "fake") << run;
  }
}

TEST(TellTest, APriorityOverridesThePlaceInTheList) {
  Json first = Use("fake"), second = Use("fake-b");
  first["priority"] = 7;
  second["priority"] = 3;
  const Engine engine = Make(Configuration({first, second}));
  Bytes memory(100), local(100);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  const Json json = Json::parse(*engine.Explain(WriteRequest(segment, 0, local.data(), local.size())));
  EXPECT_EQ(json["chosen"], "fake-b");
}

TEST(TellTest, TheOnlyProtocolsInCommonAreOffered) {
  const Engine near = Make(Configuration({Use("fake")}));
  const Engine far = Make(Configuration({Use("fake-b")}));
  Bytes memory(100);
  ASSERT_TRUE(Publish(far, "s", memory).ok());
  const Result<Segment> opened = near.Open(*far.ControlAddress() + "/s", 5'000);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), SLIPWAY_E_NO_ROUTE);
  EXPECT_THAT(opened.status().message(), HasSubstr("fake-b"));
}

TEST(TellTest, ARequestThatFailedSaysWhy) {
  const Engine engine = Make(Configuration({Use("fake", {{"complete_with", "E_TIMEOUT"}})}));
  Bytes memory(100), local(100);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  Result<Batch> batch = engine.Submit({&request, 1});
  ASSERT_TRUE(batch.ok());
  const Status status = batch->Wait();
  EXPECT_EQ(status.code(), SLIPWAY_E_TIMEOUT);
  EXPECT_THAT(status.message(), HasSubstr("fake"));
  EXPECT_EQ(batch->message(0), status.message());
}

}  // namespace
}  // namespace slipway
