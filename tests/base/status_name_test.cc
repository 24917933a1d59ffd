#include "core/base/status_name.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <regex>
#include <set>
#include <string>

namespace slipway {
namespace {

// Every `SLIPWAY_E_X = -n` of a header.
std::set<std::pair<int, std::string>> CodesOf(const std::string& header) {
  std::ifstream in(header);
  EXPECT_TRUE(in) << header;
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::regex definition(R"(SLIPWAY_(E_[A-Z_]+) = (-[0-9]+))");
  std::set<std::pair<int, std::string>> codes;
  for (std::sregex_iterator it(text.begin(), text.end(), definition), end; it != end; ++it) {
    codes.emplace(std::stoi((*it)[2]), (*it)[1]);
  }
  return codes;
}

class StatusHeader : public ::testing::TestWithParam<const char*> {};

TEST_P(StatusHeader, EveryCodeHasItsOwnName) {
  const auto codes = CodesOf(std::string(SLIPWAY_SOURCE_DIR) + GetParam());
  EXPECT_GT(codes.size(), 10u);
  std::set<int> numbers;
  for (const auto& [code, name] : codes) {
    EXPECT_EQ(StatusName(code), name);
    EXPECT_TRUE(numbers.insert(code).second) << name << " has the number of another";
  }
}

INSTANTIATE_TEST_SUITE_P(All, StatusHeader,
                         ::testing::Values("/sdk/include/slipway/abi/status.h", "/core/include/slipway/status.h"));

TEST(StatusName, KnowsSuccessAndWhatIsNone) {
  EXPECT_STREQ(StatusName(SLIPWAY_OK), "OK");
  EXPECT_STREQ(StatusName(SLIPWAY_IN_PROGRESS), "IN_PROGRESS");
  EXPECT_STREQ(StatusName(-99999), "E_UNKNOWN");
  EXPECT_STREQ(StatusName(SLIPWAY_EXISTS), "EXISTS");
  EXPECT_STREQ(StatusName(3), "E_UNKNOWN");
}

TEST(BlastRadius, FollowsTheGroupsOfTheAbi) {
  EXPECT_EQ(BlastRadiusOf(SLIPWAY_OK), BlastRadius::kNone);
  EXPECT_EQ(BlastRadiusOf(SLIPWAY_E_IO), BlastRadius::kOperation);
  EXPECT_EQ(BlastRadiusOf(SLIPWAY_E_PEER), BlastRadius::kPeer);
  EXPECT_EQ(BlastRadiusOf(SLIPWAY_E_ACCESS), BlastRadius::kPeer);
  EXPECT_EQ(BlastRadiusOf(SLIPWAY_E_DEVICE), BlastRadius::kInstance);
  EXPECT_EQ(BlastRadiusOf(-777), BlastRadius::kInstance);
}

TEST(FromPlugin, CarriesWhatThePluginSaid) {
  slipway_error error = EmptyError();
  std::strcpy(error.message, "no such device");
  std::strcpy(error.where, "/device");
  const Status status = FromPlugin(SLIPWAY_E_CONFIG, error, "transport x");
  EXPECT_EQ(status.code(), SLIPWAY_E_CONFIG);
  EXPECT_EQ(status.message(), "transport x: no such device (at /device)");
}

TEST(FromPlugin, NamesTheCodeWhereThePluginSaidNothing) {
  EXPECT_EQ(FromPlugin(SLIPWAY_E_PEER, EmptyError(), "transport x").message(), "transport x: E_PEER");
  EXPECT_TRUE(FromPlugin(SLIPWAY_OK, EmptyError(), "transport x").ok());
}

TEST(FromPlugin, DoesNotTrustStringsToEnd) {
  slipway_error error = EmptyError();
  std::memset(error.message, 'm', sizeof error.message);
  std::memset(error.where, 'w', sizeof error.where);
  const Status status = FromPlugin(SLIPWAY_E_IO, error, "x");
  EXPECT_EQ(status.message(), "x: " + std::string(256, 'm') + " (at " + std::string(64, 'w') + ")");
}

}  // namespace
}  // namespace slipway
