#include "core/control/messages.h"

#include <gmock/gmock.h>

#include <chrono>
#include <random>

namespace slipway {
namespace {

using testing::HasSubstr;

TEST(MessagesTest, OpenRequestTravelsUnchanged) {
  const OpenRequest request{"a/b", {{"mem", 0, UINT32_MAX}, {"wire", 3, 3}}};
  const Result<OpenRequest> read = OpenRequestFromJson(OpenRequestToJson(request));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->segment, request.segment);
  EXPECT_EQ(read->protocols, request.protocols);
}

TEST(MessagesTest, TooManyProtocolsAreRefused) {
  OpenRequest request{"a", std::vector<ProtocolRange>(kMaxProtocols, {"mem", 1, 1})};
  EXPECT_TRUE(OpenRequestFromJson(OpenRequestToJson(request)).ok());
  request.protocols.push_back({"mem", 1, 1});
  const Status status = OpenRequestFromJson(OpenRequestToJson(request)).status();
  EXPECT_EQ(status.code(), SLIPWAY_E_INVALID);
  EXPECT_THAT(status.message(), HasSubstr("/protocols has 65 elements"));
}

TEST(MessagesTest, ListTravelsUnchanged) {
  const std::vector<SegmentSummary> list = {{"a", 1, true, false, 0}, {"b", UINT64_MAX, false, true, UINT64_MAX}};
  const auto read = SegmentListFromJson(SegmentListToJson(list));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, list);
  EXPECT_TRUE(SegmentListFromJson(SegmentListToJson({})).ok());
}

TEST(MessagesTest, WrongListsAreRefused) {
  for (const char* text : {"", "[]", "{}", R"({"version":1})", R"({"version":2,"segments":[]})",
                           R"({"version":1,"segments":[1]})", R"({"version":1,"segments":[{"name":"a"}]})"}) {
    EXPECT_EQ(SegmentListFromJson(text).status().code(), SLIPWAY_E_BAD_REPLY) << text;
  }
}

TEST(MessagesTest, ErrorsTravel) {
  const Status status = ErrorFromJson(ErrorToJson(Status(SLIPWAY_E_NO_ROUTE, "no \"shared\" protocol \xff")));
  EXPECT_EQ(status.code(), SLIPWAY_E_NO_ROUTE);
  EXPECT_THAT(status.message(), HasSubstr("no \"shared\" protocol"));
}

TEST(MessagesTest, APeerCannotReportWhatIsNotItsBusiness) {
  for (const char* name : {"OK", "E_ADDRESS_IN_USE", "E_STUCK", "E_FORKED", "", "E_OOPS"}) {
    const Status status = ErrorFromJson(std::string(R"({"error":{"message":"m","status":")") + name + "\"}}");
    EXPECT_EQ(status.code(), SLIPWAY_E_BAD_REPLY) << name;
  }
  for (const char* text :
       {"", "{}", "null", R"({"error":"E_NO_SEGMENT"})", R"({"error":{"status":1,"message":"m"}})"}) {
    EXPECT_EQ(ErrorFromJson(text).code(), SLIPWAY_E_BAD_REPLY) << text;
  }
}

TEST(MessagesTest, APeersMessageIsShortened) {
  const Status status = ErrorFromJson(ErrorToJson(Status(SLIPWAY_E_NO_SEGMENT, std::string(60'000, 'a'))));
  EXPECT_EQ(status.code(), SLIPWAY_E_NO_SEGMENT);
  EXPECT_EQ(status.message().size(), 1024u);
}

TEST(MessagesTest, ValuesAreCounted) {
  std::string many = "[0";
  for (int i = 0; i < 2'000'000; ++i) many += ",0";
  EXPECT_FALSE(IsBoundedJson(many + "]"));
  EXPECT_TRUE(IsBoundedJson("[0,0]"));
}

// What costs a peer one packet must not cost this side minutes.
TEST(MessagesTest, LongArraysTakeTimeInProportion) {
  std::string empties = "[{}";
  for (int i = 0; i < 500'000; ++i) empties += ",{}";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(IsBoundedJson(empties + "]"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));  // quadratic: an hour
}

// The bodies that a client reads; the descriptor and the request have tests of their own.
template <typename Read>
void ReadWithFlippedBits(const std::string& good, Read read) {
  std::mt19937 random(20240805);
  for (int i = 0; i < 1000; ++i) {
    std::string text = good;
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) {
      text[random() % text.size()] ^= static_cast<char>(1u << (random() % 8));
    }
    read(text);
    read(text.substr(0, random() % text.size()));
  }
}

TEST(MessagesTest, AThousandBitFlipsOfAListNeitherCrashNorPassUnchecked) {
  const std::vector<SegmentSummary> list = {{"a/b", 4096, true, false, 3}, {"weights", UINT64_MAX, false, true, 7}};
  ReadWithFlippedBits(SegmentListToJson(list), [](const std::string& text) {
    const auto read = SegmentListFromJson(text);
    if (!read.ok()) {
      EXPECT_EQ(read.status().code(), SLIPWAY_E_BAD_REPLY) << text;
      return;
    }
    // What is accepted is a list: it travels unchanged.
    const auto again = SegmentListFromJson(SegmentListToJson(*read));
    ASSERT_TRUE(again.ok()) << text;
    EXPECT_EQ(*again, *read);
  });
}

TEST(MessagesTest, AThousandBitFlipsOfAnErrorAreStillAnError) {
  const std::string good = ErrorToJson(Status(SLIPWAY_E_NO_SEGMENT, "no segment \"weights\"; there are: a, b"));
  ReadWithFlippedBits(good, [](const std::string& text) {
    const Status status = ErrorFromJson(text);
    EXPECT_FALSE(status.ok()) << text;
    for (const char c : status.message()) ASSERT_GE(static_cast<unsigned char>(c), 0x20) << text;
  });
}

}  // namespace
}  // namespace slipway
