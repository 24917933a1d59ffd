#include "core/config/conflicts.h"

#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ConflictsTest : public ConfigTest {
 protected:
  std::string Conflict(std::string_view json) const { return Refuse(json, SLIPWAY_E_CONFIG_CONFLICT); }
};

TEST_F(ConflictsTest, AStagingBufferFitsThePool) {
  EXPECT_EQ(
      Conflict(R"({"memory": {"staging": {"bytes": "1MiB", "chunk_bytes": "2MiB"}}})"),
      "node.json: /memory/staging/chunk_bytes: found 2MiB, expected at most /memory/staging/bytes, which is 1MiB");
  Accept(R"({"memory": {"staging": {"bytes": "1MiB", "chunk_bytes": "1MiB"}}})");
  Accept(R"({"memory": {"staging": {"bytes": 0, "chunk_bytes": "2MiB"}}})");
}

TEST_F(ConflictsTest, ThePoolFitsTheBudget) {
  EXPECT_THAT(
      Conflict(R"({"memory": {"budget_bytes": "32MiB"}})"),
      AllOf(HasSubstr("/memory/staging/bytes: found 64MiB"), HasSubstr("/memory/budget_bytes, which is 32MiB")));
  Accept(R"({"memory": {"budget_bytes": "64MiB", "pin_policy": "off"}})");
  Accept(R"({"memory": {"budget_bytes": 0}})");
}

TEST_F(ConflictsTest, WhatIsPinnedOnDemandFitsBesideThePool) {
  EXPECT_EQ(
      Conflict(R"({"memory": {"budget_bytes": "65MiB"}})"),
      "node.json: /memory/budget_bytes: found 65MiB, expected at least 66MiB: what is pinned on demand needs room "
      "for two slices beside the pool of /memory/staging/bytes, which is 64MiB; or set /memory/pin_policy to "
      "\"off\"");
  Accept(R"({"memory": {"budget_bytes": "66MiB"}})");
  Accept(R"({"memory": {"budget_bytes": "1MiB", "staging": {"bytes": 0}}})");
}

TEST_F(ConflictsTest, AChunkIsAPowerOfTwoAndTheMarksAreInOrder) {
  EXPECT_EQ(Conflict(R"({"memory": {"cache": {"chunk_bytes": "3MiB"}}})"),
            "node.json: /memory/cache/chunk_bytes: found 3MiB, expected a power of two");
  EXPECT_THAT(Conflict(R"({"memory": {"cache": {"low_watermark_percent": 91}}})"),
              HasSubstr("/memory/cache/low_watermark_percent: found 91, expected at most "
                        "/memory/cache/high_watermark_percent, which is 90"));
  Accept(R"({"memory": {"cache": {"chunk_bytes": "4MiB", "low_watermark_percent": 90}}})");
}

TEST_F(ConflictsTest, ABackoffGrows) {
  EXPECT_THAT(Conflict(R"({"transfer": {"backoff_initial_ms": 11, "backoff_max_ms": 10}})"),
              HasSubstr("/transfer/backoff_initial_ms: found 11, expected at most /transfer/backoff_max_ms"));
  Accept(R"({"transfer": {"backoff_initial_ms": 10, "backoff_max_ms": 10}})");
}

TEST_F(ConflictsTest, ABatchCanBeInFlight) {
  EXPECT_THAT(Conflict(R"({"transfer": {"max_inflight_requests": 10}})"), HasSubstr("/transfer/max_batch_requests"));
  Accept(R"({"transfer": {"max_inflight_requests": 10, "max_batch_requests": 10}})");
}

TEST_F(ConflictsTest, ACertificateAndItsKeyComeTogether) {
  EXPECT_THAT(Conflict(R"({"control": {"tls": {"key_file": "k"}}})"), HasSubstr("/control/tls/key_file: found"));
  EXPECT_THAT(Conflict(R"({"control": {"tls": {"certificate_file": "c"}}})"),
              HasSubstr("/control/tls/certificate_file: found"));
  Accept(R"({"control": {"tls": {"certificate_file": "c", "key_file": "k"}}})");
}

TEST_F(ConflictsTest, OtherMachinesAreLetInOnlyWithASecret) {
  for (const char* listen : {"0.0.0.0:1", ":1", "[::]:1", "example.com:1", "10.0.0.1:1", "128.0.0.1:1", "[fe80::1]:1",
                             "LOCALHOST.example:1", "127.1:1", "0x7f.0.0.1:1", "[::ffff:127.0.0.1]:1"}) {
    const std::string address = "\"listen\": \"" + std::string(listen) + "\"";
    EXPECT_THAT(Conflict("{\"control\": {" + address + "}}"),
                AllOf(HasSubstr("/control/listen: found"), HasSubstr("/control/secret_file")))
        << listen;
    Accept("{\"control\": {" + address + ", \"secret_file\": \"s\"}}");
  }
  for (const char* listen : {"127.0.0.1:1", "127.255.1.2:0", "[::1]:1", "localhost:1", ""}) {
    Accept("{\"control\": {\"listen\": \"" + std::string(listen) + "\"}}");
  }
}

TEST_F(ConflictsTest, NamesAreDistinct) {
  EXPECT_EQ(Conflict(R"({"transports": [{"name": "a"}, {"name": "b"}, {"name": "a", "plugin": "c"}]})"),
            R"(node.json: /transports/2/name: found "a", expected each name once)");
  EXPECT_THAT(Conflict(R"({"memory_providers": [{"name": "a"}, {"name": "a"}]})"),
              HasSubstr("/memory_providers/1/name"));
  Accept(R"({"transports": [{"name": "a"}], "memory_providers": [{"name": "a"}]})");
}

TEST_F(ConflictsTest, AllAreListed) {
  EXPECT_THAT(Conflict(R"({"transfer": {"backoff_max_ms": 1}, "control": {"listen": ":1"}})"), HasSubstr("2 errors"));
}

TEST_F(ConflictsTest, AreNotLookedForWhereAValueIsWrong) {
  const std::string json =
      R"({"transfer": {"backoff_initial_ms": 100, "backoff_max_ms": "x"}, "control": {"listen": ":1"}})";
  const std::string message = Refuse(json, SLIPWAY_E_CONFIG_TYPE);
  EXPECT_EQ(message.find("errors"), std::string::npos) << message;
}

}  // namespace
}  // namespace slipway
