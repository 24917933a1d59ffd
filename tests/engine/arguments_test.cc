// The C API given what no caller should give it.
#include <cstring>

#include "tests/engine/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class ArgumentsTest : public testing::Test {
 protected:
  ArgumentsTest() : memory_(4096), local_(4096) {
    engine_ = Make(Configuration({Use("fake")}));
    EXPECT_TRUE(Publish(engine_, "s", memory_).ok());
    segment_ = *engine_.Open("/s");
    failure_.struct_size = sizeof failure_;
  }
  Request Good() { return WriteRequest(segment_, 0, local_.data(), 16); }
  slipway_status Submit(const Request& request, const slipway_submit_options* options = nullptr) {
    slipway_batch* batch = nullptr;
    const slipway_status status = slipway_submit(engine_.get(), &request, 1, options, &batch, &failure_);
    EXPECT_EQ(batch != nullptr, status == SLIPWAY_OK);
    Batch owned(batch);
    return status;
  }

  Bytes memory_, local_;
  Engine engine_;
  Segment segment_;
  slipway_failure failure_{};
};

TEST_F(ArgumentsTest, NullIsRefusedEverywhere) {
  slipway_engine* engine = nullptr;
  slipway_segment* segment = nullptr;
  slipway_batch* batch = nullptr;
  size_t len = 0;
  const Request request = Good();
  const slipway_span span = {memory_.data(), 16};
  EXPECT_EQ(slipway_engine_create_from_json(nullptr, 2, &engine, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_engine_create_from_json("{}", 2, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_engine_create_from_file(nullptr, &engine, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_engine_describe(nullptr, nullptr, &len), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_engine_describe(engine_.get(), nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_engine_control_address(nullptr, nullptr, &len), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_memory_declare(nullptr, local_.data(), 16, 0, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_memory_declare(engine_.get(), nullptr, 16, 0, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_memory_undeclare(nullptr, local_.data(), 16, 0, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_publish(engine_.get(), nullptr, &span, 1, 4, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_publish(engine_.get(), "x", nullptr, 1, 4, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_publish(engine_.get(), "x", nullptr, 0, 4, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_withdraw(engine_.get(), nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_open(engine_.get(), nullptr, 0, &segment, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_open(engine_.get(), "/s", 0, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_segment_length(nullptr), 0u);
  EXPECT_EQ(slipway_submit(engine_.get(), nullptr, 1, nullptr, &batch, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_submit(engine_.get(), nullptr, 0, nullptr, &batch, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_submit(engine_.get(), &request, 1, nullptr, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_batch_poll(nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_batch_wait(nullptr, 0), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_batch_cancel(nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(slipway_batch_fd(nullptr), -1);
  EXPECT_EQ(slipway_explain(engine_.get(), nullptr, nullptr, &len, nullptr), SLIPWAY_E_INVALID);
  slipway_engine_destroy(nullptr);
  slipway_segment_close(nullptr);
}

TEST_F(ArgumentsTest, ReservedFieldsAreReserved) {
  Request request = Good();
  request.flags = 1;
  EXPECT_EQ(Submit(request), SLIPWAY_E_INVALID);
  EXPECT_THAT(failure_.message, HasSubstr("request 0: flags"));
  request = Good();
  request.reserved = 1;
  EXPECT_EQ(Submit(request), SLIPWAY_E_INVALID);
  request = Good();
  request.op = 3;
  EXPECT_EQ(Submit(request), SLIPWAY_E_INVALID);
  EXPECT_EQ(Submit(Good()), SLIPWAY_OK);
}

TEST_F(ArgumentsTest, OptionsOfAnOlderCallerAreReadAsFarAsTheyGo) {
  slipway_submit_options options{};
  options.struct_size = 8;
  options.priority = SLIPWAY_PRIORITY_BULK;
  options.timeout_ms = 1;  // beyond what the size covers
  EXPECT_EQ(Submit(Good(), &options), SLIPWAY_OK);
  options.struct_size = sizeof options;
  options.timeout_ms = 10'000;
  for (const uint32_t bad : {3u, 255u, 256u, UINT32_MAX}) {
    options.priority = bad;
    EXPECT_EQ(Submit(Good(), &options), SLIPWAY_E_INVALID) << bad;
  }
}

TEST_F(ArgumentsTest, ASegmentOfAnotherEngineIsRefused) {
  const Engine other = Make(Configuration({Use("fake")}));
  const Segment theirs = Open(other, engine_, "s");
  Request request = Good();
  request.segment = theirs.get();
  EXPECT_EQ(Submit(request), SLIPWAY_E_INVALID);
  EXPECT_THAT(failure_.message, HasSubstr("another engine"));
}

TEST_F(ArgumentsTest, TextsSayHowMuchRoomTheyNeed) {
  size_t need = 0;
  ASSERT_EQ(slipway_engine_control_address(engine_.get(), nullptr, &need), SLIPWAY_E_BUFFER_TOO_SMALL);
  ASSERT_GT(need, 10u);
  std::string text(need + 8, '#');
  size_t len = need - 1;
  EXPECT_EQ(slipway_engine_control_address(engine_.get(), text.data(), &len), SLIPWAY_E_BUFFER_TOO_SMALL);
  len = need;
  ASSERT_EQ(slipway_engine_control_address(engine_.get(), text.data(), &len), SLIPWAY_OK);
  EXPECT_EQ(len, need - 1);
  EXPECT_EQ(text[len], '\0');
  EXPECT_EQ(text.substr(need), "########") << "wrote beyond its room";
}

TEST_F(ArgumentsTest, AFailureReportOfASmallerCallerIsNotOverrun) {
  struct {
    uint32_t struct_size;
    slipway_status code;
    char message[16];
    char beyond[16];
  } small{};
  std::memset(small.beyond, '#', sizeof small.beyond);
  small.struct_size = 24;
  const slipway_status status =
      slipway_segment_withdraw(engine_.get(), "no-such", reinterpret_cast<slipway_failure*>(&small));
  EXPECT_EQ(status, SLIPWAY_E_NO_SEGMENT);
  EXPECT_EQ(small.code, SLIPWAY_E_NO_SEGMENT);
  EXPECT_EQ(std::memchr(small.message, 0, sizeof small.message) != nullptr, true);
  EXPECT_EQ(std::string(small.beyond, sizeof small.beyond), std::string(16, '#'));
}

TEST_F(ArgumentsTest, ResultsOfRequestsThatAreNotThereAreOutOfRange) {
  const Request request = Good();
  Result<Batch> batch = engine_.Submit({&request, 1});
  ASSERT_TRUE(batch->Wait().ok());
  slipway_request_result result{};
  EXPECT_EQ(slipway_batch_result(batch->get(), 0, &result), SLIPWAY_E_INVALID) << "without its size";
  result.struct_size = sizeof result;
  EXPECT_EQ(slipway_batch_result(batch->get(), 1, &result), SLIPWAY_E_RANGE);
  EXPECT_EQ(slipway_batch_result(batch->get(), SIZE_MAX, &result), SLIPWAY_E_RANGE);
  EXPECT_EQ(slipway_batch_result(batch->get(), 0, &result), SLIPWAY_OK);
  EXPECT_EQ(result.bytes, 16u);
  size_t len = 0;
  EXPECT_EQ(slipway_batch_message(batch->get(), 1, nullptr, &len), SLIPWAY_E_RANGE);
}

TEST_F(ArgumentsTest, SegmentsAreNamedAndBoundedStrictly) {
  slipway_span span = {memory_.data(), 16};
  for (const char* name : {"", "a b", "a\n", "\xff", "a?b", "a%2f"}) {
    EXPECT_EQ(engine_.Publish(name, {&span, 1}).code(), SLIPWAY_E_INVALID) << name;
  }
  EXPECT_EQ(engine_.Publish(std::string(256, 'a'), {&span, 1}).code(), SLIPWAY_E_INVALID);
  EXPECT_TRUE(engine_.Publish(std::string(255, 'a'), {&span, 1}).ok());
  EXPECT_EQ(engine_.Publish("s", {&span, 1}).code(), SLIPWAY_E_SEGMENT_EXISTS);
  EXPECT_EQ(engine_.Publish("x", {&span, 1}, 0).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Publish("x", {&span, 1}, SLIPWAY_ACCESS_ALL).code(), SLIPWAY_E_INVALID);
  span.length = 0;
  EXPECT_EQ(engine_.Publish("x", {&span, 1}).code(), SLIPWAY_E_INVALID);
  span.length = UINT64_MAX;
  EXPECT_EQ(engine_.Publish("x", {&span, 1}).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Open("").status().code(), SLIPWAY_E_ADDRESS);
  EXPECT_EQ(engine_.Open("/").status().code(), SLIPWAY_E_NO_SEGMENT);
  EXPECT_EQ(engine_.Open("/none").status().code(), SLIPWAY_E_NO_SEGMENT);
  EXPECT_EQ(engine_.Open("127.0.0.1:1/s", 2'000).status().code(), SLIPWAY_E_UNREACHABLE);
  EXPECT_EQ(engine_.Open("127.0.0.1:99999/s", 2'000).status().code(), SLIPWAY_E_ADDRESS);
}

TEST_F(ArgumentsTest, DeclaresOfNonsenseAreRefused) {
  EXPECT_EQ(engine_.Declare(local_.data(), 0).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Declare(local_.data(), UINT64_MAX).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Declare(local_.data(), 16, 3).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Declare(local_.data(), 16, 8).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(engine_.Undeclare(local_.data(), 16).code(), SLIPWAY_E_NOT_DECLARED);
}

TEST(ConfigurationTest, TextThatIsNoConfigurationIsRefusedWithItsPlace) {
  EXPECT_EQ(Engine::FromJson("").status().code(), SLIPWAY_E_CONFIG_SYNTAX);
  EXPECT_EQ(Engine::FromJson("{").status().code(), SLIPWAY_E_CONFIG_SYNTAX);
  EXPECT_EQ(Engine::FromJson("{\"nmae\": \"x\"}").status().code(), SLIPWAY_E_CONFIG_KEY);
  const Status refused = Engine::FromJson(R"({"transfer": {"spin_us": -1}})").status();
  EXPECT_EQ(refused.code(), SLIPWAY_E_CONFIG_VALUE);
  EXPECT_THAT(refused.message(), HasSubstr("/transfer/spin_us"));
  EXPECT_EQ(Engine::FromFile("/no/such/file.json").status().code(), SLIPWAY_E_CONFIG_FILE);
}

}  // namespace
}  // namespace slipway
