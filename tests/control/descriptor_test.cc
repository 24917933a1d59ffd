#include "core/control/descriptor.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <random>

namespace slipway {
namespace {

using testing::HasSubstr;

SegmentDescriptor Example() {
  SegmentDescriptor out;
  out.name = "models/a.b_c-1";
  out.length = 1 << 20;
  out.readable = out.writable = true;
  out.mem_kind = UINT64_MAX;
  out.instance_id = "00112233445566778899aabbccddeeff";
  out.epoch = "1";
  out.node_name = "n";
  out.process = {"b", 1, UINT64_MAX, "00112233445566778899aabbccddeeff"};
  out.transports = {{"mem", 1, 2, std::string("a\0b", 3), {{0, 4096, ""}, {4096, 4096, std::string(64 << 10, '\xff')}}},
                    {"wire", 0, UINT32_MAX, "", {}}};
  return out;
}

// Replaces the first `from` by `to`.
std::string With(const std::string& from, const std::string& to) {
  std::string text = DescriptorToJson(Example());
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

void ExpectRefused(const std::string& text, const std::string& why) {
  const Result<SegmentDescriptor> result = DescriptorFromJson(text);
  ASSERT_FALSE(result.ok()) << text.substr(0, 500);
  EXPECT_EQ(result.status().code(), SLIPWAY_E_BAD_REPLY);
  EXPECT_THAT(result.status().message(), HasSubstr(why));
}

TEST(DescriptorTest, TravelsUnchanged) {
  const Result<SegmentDescriptor> result = DescriptorFromJson(DescriptorToJson(Example()));
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(*result, Example());
}

TEST(DescriptorTest, KeysOfALaterVersionAreIgnored) {
  EXPECT_TRUE(DescriptorFromJson(With("\"epoch\"", "\"later\":[{}],\"epoch\"")).ok());
}

TEST(DescriptorTest, WrongTypesAreNamed) {
  ExpectRefused("[]", "expected an object");
  ExpectRefused("", "not JSON");
  ExpectRefused(DescriptorToJson(Example()) + '\0', "NUL");
  ExpectRefused(With("\"version\":1", "\"version\":2"), "upgrade");
  ExpectRefused(With("\"length\":1048576", "\"length\":-1"), "/length");
  ExpectRefused(With("\"length\":1048576", "\"length\":1e6"), "/length is of type number");
  ExpectRefused(With("\"length\":1048576", "\"length\":\"1\""), "/length is of type string");
  ExpectRefused(With("\"length\":1048576", "\"length\":18446744073709551616"), "/length");
  ExpectRefused(With("\"readable\":true", "\"readable\":1"), "/readable");
  ExpectRefused(With("\"readable\":true,", ""), "/readable is missing");
  ExpectRefused(With("\"protocol_max\":2", "\"protocol_max\":4294967296"), "/transports/0/protocol_max");
  ExpectRefused(With("\"protocol_min\":1", "\"protocol_min\":3"), "/transports/0/protocol_min");
  ExpectRefused(With("\"pid\":1", "\"pid\":null"), "/process/pid");
  ExpectRefused(With("\"process\":{", "\"process\":[],\"x\":{"), "/process is of type array");
  ExpectRefused(With("\"transports\":[{", "\"transports\":[[],{"), "/transports/0 is of type array");
  ExpectRefused(With("\"registrations\":[{", "\"registrations\":[7,{"),
                "/transports/0/registrations/0 is of type number");
}

TEST(DescriptorTest, WrongStringsAreNamed) {
  ExpectRefused(With("models/a.b_c-1", "a b"), "/name");
  ExpectRefused(With("models/a.b_c-1", ""), "/name");
  ExpectRefused(With("models/a.b_c-1", std::string(256, 'a')), "/name");
  ExpectRefused(With("00112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF"), "/instance_id");
  ExpectRefused(With("\"epoch\":\"1\"", "\"epoch\":\"\""), "/epoch");
  ExpectRefused(With("\"epoch\":\"1\"", "\"epoch\":\"g\""), "/epoch");
  ExpectRefused(With("\"node_name\":\"n\"", "\"node_name\":\"\\n\""), "/node_name");
  ExpectRefused(With("\"boot_id\":\"b\"", "\"boot_id\":\"" + std::string(65, 'b') + "\""), "/process/boot_id");
  ExpectRefused(With("\"protocol\":\"mem\"", "\"protocol\":\"Mem\""), "/transports/0/protocol");
  ExpectRefused(With("YQBi", "YQB"), "/transports/0/address is not base64");
  ExpectRefused(With("YQBi", std::string(8192, 'A')), "/transports/0/address");
}

TEST(DescriptorTest, RegistrationsAreWithinTheSegmentInOrderAndApart) {
  ExpectRefused(With("\"offset\":4096", "\"offset\":4095"), "/transports/0/registrations/1 overlaps");
  ExpectRefused(With("\"offset\":4096", "\"offset\":1044481"), "/transports/0/registrations/1 is empty or reaches");
  ExpectRefused(With("\"offset\":4096", "\"offset\":18446744073709551615"),
                "/transports/0/registrations/1 is empty or reaches");
  ExpectRefused(With("\"length\":4096", "\"length\":0"), "/transports/0/registrations/0 is empty");
  SegmentDescriptor swapped = Example();
  std::swap(swapped.transports[0].registrations[0], swapped.transports[0].registrations[1]);
  ExpectRefused(DescriptorToJson(swapped), "/transports/0/registrations/1 overlaps");
}

TEST(DescriptorTest, CountsAndSizesAreBounded) {
  SegmentDescriptor large = Example();
  large.transports[0].registrations[0].blob.assign((64 << 10) + 1, 'a');
  ExpectRefused(DescriptorToJson(large), "/transports/0/registrations/0/blob");
  large = Example();
  large.transports.resize(33, large.transports[1]);
  ExpectRefused(DescriptorToJson(large), "/transports has 33 elements");
  large.transports.resize(32);
  EXPECT_TRUE(DescriptorFromJson(DescriptorToJson(large)).ok());
  large.transports.resize(1);
  large.transports[0].registrations.clear();
  for (uint64_t i = 0; i < 65536; ++i) large.transports[0].registrations.push_back({i, 1, ""});
  EXPECT_TRUE(DescriptorFromJson(DescriptorToJson(large)).ok());
  large.transports[0].registrations.push_back({65536, 1, ""});
  ExpectRefused(DescriptorToJson(large), "/transports/0/registrations has 65537 elements");
}

TEST(DescriptorTest, NestingIsBounded) {
  ExpectRefused(std::string(5000, '['), "nested deeper");
  ExpectRefused(std::string(1'000'000, '[') + std::string(1'000'000, ']'), "nested deeper");
  ExpectRefused(With("\"epoch\"", "\"x\":" + std::string(40, '[') + std::string(40, ']') + ",\"epoch\""),
                "nested deeper");
}

TEST(DescriptorTest, AThousandBitFlipsNeitherCrashNorPassUnchecked) {
  SegmentDescriptor small = Example();
  small.transports[0].registrations[1].blob = "blob";
  const std::string good = DescriptorToJson(small);
  std::mt19937 random(7);
  for (int i = 0; i < 1000; ++i) {
    std::string text = good;
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) text[random() % text.size()] ^= 1 << (random() % 8);
    const Result<SegmentDescriptor> result = DescriptorFromJson(text);
    if (!result.ok()) continue;
    // What is accepted is a descriptor: it travels unchanged.
    const Result<SegmentDescriptor> again = DescriptorFromJson(DescriptorToJson(*result));
    ASSERT_TRUE(again.ok()) << text;
    EXPECT_EQ(*again, *result);
  }
}

TEST(ProcessIdentityTest, IsTheSameInAProcessAndAnotherInItsChild) {
  const ProcessIdentity mine = CurrentProcess();
  EXPECT_EQ(mine, CurrentProcess());
  EXPECT_EQ(mine.pid, static_cast<uint64_t>(getpid()));
  EXPECT_EQ(mine.boot_id.size(), 36u);
  EXPECT_GT(mine.start_time, 0u);
  EXPECT_EQ(mine.process_nonce.size(), 32u);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string nonce = CurrentProcess().process_nonce;
    _exit(write(ends[1], nonce.data(), nonce.size()) == 32 ? 0 : 1);
  }
  std::array<char, 32> nonce{};
  EXPECT_EQ(read(ends[0], nonce.data(), nonce.size()), 32);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_NE(std::string(nonce.data(), nonce.size()), mine.process_nonce);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace slipway
