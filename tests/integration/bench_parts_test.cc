// The parts of `slipway bench` that are pure: where bytes lie, what others print, what is compared with what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "tools/slipway/bench/child.h"
#include "tools/slipway/bench/layout.h"
#include "tools/slipway/bench/peer_output.h"
#include "tools/slipway/bench/report.h"
#include "tools/slipway/bench/row.h"

namespace slipway::cli::bench {
namespace {

using ::testing::DoubleEq;
using ::testing::HasSubstr;
using ::testing::Not;

// Two memories of which `to` holds what a perfect transfer of `layout` out of `from` leaves.
struct Moved {
  explicit Moved(const Layout& layout, Side destination) : local(layout.Room()), remote(layout.Room()) {
    const bool to_remote = destination == Side::kRemote;
    FillPattern(to_remote ? local.data() : remote.data(), layout.Room(), 7);
    for (uint32_t i = 0; i < layout.slots; ++i) {
      std::byte *const here = &local[layout.LocalAt(i)], *const there = &remote[layout.RemoteAt(i)];
      std::memcpy(to_remote ? there : here, to_remote ? here : there, layout.bytes);
    }
  }
  std::vector<std::byte> local, remote;
};

const Layout kLayouts[] = {
    {.bytes = 64, .slots = 16},
    {.bytes = 100, .slots = 3},
    {.bytes = 1 << 20, .slots = 2},
    {.bytes = 5, .slots = 1},
    {.bytes = 96, .slots = 1000, .scattered = true},
};

TEST(BenchLayout, WhatMovedIsFoundEqual) {
  for (const Layout& layout : kLayouts) {
    EXPECT_FALSE(FindDifference(Moved(layout, Side::kRemote).remote.data(), layout, Side::kRemote, 7));
    EXPECT_FALSE(FindDifference(Moved(layout, Side::kLocal).local.data(), layout, Side::kLocal, 7));
  }
}

TEST(BenchLayout, OneBitAnywhereIsFoundWhereItIs) {
  for (const Layout& layout : kLayouts) {
    Moved moved(layout, Side::kRemote);
    const uint64_t at = layout.RemoteAt(layout.slots - 1) + layout.bytes - 1;
    moved.remote[at] ^= std::byte{4};
    EXPECT_EQ(FindDifference(moved.remote.data(), layout, Side::kRemote, 7), at);
  }
}

TEST(BenchLayout, BytesOfAnEarlierFillAreNoResult) {
  const Layout layout{.bytes = 4096, .slots = 4};
  EXPECT_EQ(FindDifference(Moved(layout, Side::kRemote).remote.data(), layout, Side::kRemote, 8), 0u);
}

TEST(BenchLayout, ExchangedRequestsAreFound) {
  const Layout layout{.bytes = 64, .slots = 2};
  Moved moved(layout, Side::kRemote);
  std::swap_ranges(moved.remote.begin(), moved.remote.begin() + 64, moved.remote.begin() + 64);
  EXPECT_TRUE(FindDifference(moved.remote.data(), layout, Side::kRemote, 7));
}

TEST(BenchLayout, ScatteredPlacesAreAllDifferentAndNoTwoTouchOnBothSides) {
  const Layout layout{.bytes = 4096, .slots = 1000, .scattered = true};
  std::set<uint64_t> local, remote;
  for (uint32_t i = 0; i < layout.slots; ++i) {
    local.insert(layout.LocalAt(i));
    remote.insert(layout.RemoteAt(i));
    EXPECT_LE(layout.LocalAt(i) + layout.bytes, layout.Room());
    EXPECT_LE(layout.RemoteAt(i) + layout.bytes, layout.Room());
    if (i > 0) {
      EXPECT_NE(layout.RemoteAt(i) - layout.RemoteAt(i - 1), layout.bytes);
    }
  }
  EXPECT_EQ(local.size(), layout.slots);
  EXPECT_EQ(remote.size(), layout.slots);
}

TEST(BenchPeers, OutputIsRead) {
  EXPECT_THAT(*ReadIperf(R"({"end": {"sum_received": {"bits_per_second": 8e9}}})"), DoubleEq(1e9));
  EXPECT_THAT(*ReadUcx("iterations,50.0_percentile_lat,avg_lat,overall_lat,avg_bw,overall_bw,avg_mr,overall_mr\n"
                       " 300,0.381,25.481,14.5,38.96,69.57,39,70\n"),
              DoubleEq(14.5e-6));
  EXPECT_THAT(*ReadFabtests("bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec\n"
                            "64k     100     =100     6.2m        0.01s    5000.00      13.11       0.08\n"),
              DoubleEq(13.11e-6));
  EXPECT_THAT(*ReadPerftest(" #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]\n"
                            " 65536      1000           120.00             100.00               0.0016\n",
                            65536),
              DoubleEq(100.0 * (1 << 20)));
  const auto rdma = ReadRdmaDevice("rxe0\n0000:0000:0000:0000:0000:ffff:0a07:0001\n");
  EXPECT_EQ(rdma->device, "rxe0");
  EXPECT_EQ(rdma->address, "10.7.0.1");
}

TEST(BenchPeers, WhatIsSomethingElseIsRefusedAndShown) {
  const std::string text = "error: no route to anywhere";
  for (const Status& status : {ReadIperf(text).status(), ReadUcx(text).status(), ReadFabtests(text).status(),
                               ReadPerftest(text, 65536).status()}) {
    EXPECT_EQ(status.code(), SLIPWAY_E_BAD_REPLY);
    EXPECT_THAT(status.message(), HasSubstr("no route"));
  }
  EXPECT_THAT(ReadIperf(R"({"error": "unable to connect"})").status().message(), HasSubstr("unable to connect"));
  EXPECT_FALSE(ReadIperf(R"({"end": {"sum_received": {"bits_per_second": 0}}})").ok());
  EXPECT_FALSE(ReadRdmaDevice("").ok());
  EXPECT_FALSE(ReadRdmaDevice("rxe0\n").ok());
}

TEST(BenchChild, OutputIsReadToItsEndAndTheStatusTold) {
  auto child = Child::Start({"sh", "-c", "echo one; echo two >&2; exit 3"});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(*child->ReadLine(30), "one");
  const auto ending = child->Finish(30);
  ASSERT_TRUE(ending.ok());
  EXPECT_EQ(ending->exit_status, 3);
  EXPECT_EQ(ending->output, "two\n");
}

TEST(BenchChild, AProgramThatIsNotThereIsMissed) {
  EXPECT_TRUE(IsInstalled("sh"));
  EXPECT_FALSE(IsInstalled("no-program-has-this-name"));
}

TEST(BenchChild, WaitsAreBounded) {
  auto child = Child::Start({"sh", "-c", "read never"});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->ReadLine(0).status().code(), SLIPWAY_E_TIMEOUT);
  EXPECT_EQ(child->Finish(0).status().code(), SLIPWAY_E_TIMEOUT);
}

Row Own(const char* medium, uint64_t bytes, Shape shape, std::vector<Sample> samples) {
  Row row{.who = "slipway", .path = "p", .medium = medium, .bytes = bytes, .shape = shape};
  row.samples = std::move(samples);
  return row;
}

TEST(BenchRows, RatiosAreTakenRoundByRound) {
  const Row own = Own("memory", 4096, kSingle, {{.seconds = 1}, {.seconds = 2}, {.seconds = 4}});
  Row other{.who = "memcpy", .medium = "memory", .operation = "any", .bytes = 4096, .compares_with = kSingle};
  other.samples = {{.seconds = 2}, {.seconds = 2}, {.seconds = 2}};
  ASSERT_TRUE(Comparable(own, other));
  const Spread ratio = SpeedRatio(own, other);
  EXPECT_THAT(ratio.median, DoubleEq(1));
  EXPECT_THAT(ratio.low, DoubleEq(0.5));
  EXPECT_THAT(ratio.high, DoubleEq(2));
}

TEST(BenchRows, OnlyLikeIsComparedWithLike) {
  const std::vector<Sample> samples = {{.seconds = 1}};
  Row other{.who = "x", .medium = "tcp", .operation = "read", .bytes = 4096, .compares_with = kBatch};
  other.samples = samples;
  Row own = Own("tcp", 4096, kBatch, samples);
  EXPECT_FALSE(Comparable(own, other)) << "a write with a read";
  own.operation = "read";
  EXPECT_TRUE(Comparable(own, other));
  own.shape = kSingle;
  EXPECT_FALSE(Comparable(own, other)) << "one with many at once";
  own.shape = kBatch;
  own.bytes = 64;
  EXPECT_FALSE(Comparable(own, other)) << "another size";
  other.from_bytes = 64;
  EXPECT_TRUE(Comparable(own, other));
  own.streams = 4;
  EXPECT_FALSE(Comparable(own, other)) << "other streams";
  own = Own("verbs", 4096, kBatch, samples);
  own.operation = "read";
  EXPECT_FALSE(Comparable(own, other)) << "another medium";
}

TEST(BenchReport, AHostileNameEndsNoScriptAndTouchesNoTerminal) {
  Report report;
  report.rows.push_back(Own("tcp", 64, kSingle, {{.seconds = 1e-6}}));
  report.skipped.push_back({"</script><script>alert(1)//", "\x1b[2J"});
  EXPECT_THAT(ReportAsPage(report), Not(HasSubstr("</script><script>alert")));
  EXPECT_THAT(ReportAsText(report), Not(HasSubstr("\x1b")));
}

TEST(BenchReport, AFailureIsSaidInEveryForm) {
  Report report;
  report.rows.push_back(Own("tcp", 64, kSingle, {}));
  report.rows[0].failure = Status(SLIPWAY_E_INTERNAL, "WRONG DATA: somewhere");
  report.rows[0].wrong_data = true;
  EXPECT_EQ(report.failures(), 1u);
  EXPECT_THAT(ReportAsJson(report), HasSubstr(R"("ok":false)"));
  for (const std::string& text : {ReportAsJson(report), ReportAsText(report), ReportAsPage(report)})
    EXPECT_THAT(text, HasSubstr("WRONG DATA: somewhere"));
}

}  // namespace
}  // namespace slipway::cli::bench
