#include "core/metrics/counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// The value of the sample that begins with `name`, followed by one space.
std::string Sample(const std::string& exposition, const std::string& name) {
  std::istringstream lines(exposition);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + " ", 0) == 0) return line.substr(name.size() + 1);
  }
  return "none";
}

TEST(Counters, StartAtZero) {
  const Counters counters;
  for (const CounterInfo& info : CounterTable()) EXPECT_EQ(counters.Get(info.id), 0u) << info.name;
  for (const HistogramInfo& info : HistogramTable()) EXPECT_EQ(counters.Percentile(info.id, 99), 0u) << info.name;
}

TEST(Counters, NamesAreDistinctWords) {
  std::set<std::string> names;
  const auto add = [&](const std::string& name, const std::string& help) {
    EXPECT_TRUE(names.insert(name).second) << name << " twice";
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos) << name;
    EXPECT_EQ(help.find('\n'), std::string::npos) << name;
    EXPECT_TRUE(!help.empty() && help.back() == '.') << name;
  };
  for (const CounterInfo& info : CounterTable()) add(info.name, info.help);
  for (const HistogramInfo& info : HistogramTable()) add(info.name, info.help);
}

TEST(Counters, EachCountsOnItsOwn) {
  Counters counters;
  for (size_t i = 0; i < kCounters; ++i) counters.Add(static_cast<Counter>(i), i + 1);
  for (size_t i = 0; i < kCounters; ++i) EXPECT_EQ(counters.Get(static_cast<Counter>(i)), i + 1);
}

TEST(Counters, AGaugeFallsAndItsPeakStays) {
  Counters counters;
  counters.AddWithPeak(Counter::kPinNowBytes, Counter::kPinPeakBytes, 100);
  counters.AddWithPeak(Counter::kPinNowBytes, Counter::kPinPeakBytes, 50);
  EXPECT_EQ(counters.Sub(Counter::kPinNowBytes, 120), 30u);
  counters.AddWithPeak(Counter::kPinNowBytes, Counter::kPinPeakBytes, 10);
  EXPECT_EQ(counters.Get(Counter::kPinNowBytes), 40u);
  EXPECT_EQ(counters.Get(Counter::kPinPeakBytes), 150u);
}

TEST(Counters, ThreadsLoseNothing) {
  Counters counters;
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kEach = 20'000;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        counters.Add(Counter::kSlices);
        counters.Observe(Histogram::kRequestBytes, i);
        counters.Raise(Counter::kStagingPeakBytes, t * kEach + i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counters.Get(Counter::kSlices), kThreads * kEach);
  EXPECT_EQ(counters.Observations(Histogram::kRequestBytes), kThreads * kEach);
  EXPECT_EQ(counters.Sum(Histogram::kRequestBytes), kThreads * (kEach * (kEach - 1) / 2));
  EXPECT_EQ(counters.Get(Counter::kStagingPeakBytes), kThreads * kEach - 1);
}

TEST(Counters, PercentilesAreBoundsOfBuckets) {
  Counters counters;
  for (int i = 0; i < 98; ++i) counters.Observe(Histogram::kRequestNs, 1000);  // 10 bits
  counters.Observe(Histogram::kRequestNs, 5000);                               // 13 bits
  counters.Observe(Histogram::kRequestNs, 1'000'000);                          // 20 bits
  EXPECT_EQ(counters.Percentile(Histogram::kRequestNs, 0), 1023u);
  EXPECT_EQ(counters.Percentile(Histogram::kRequestNs, 98), 1023u);
  EXPECT_EQ(counters.Percentile(Histogram::kRequestNs, 99), 8191u);
  EXPECT_EQ(counters.Percentile(Histogram::kRequestNs, 100), (uint64_t{1} << 20) - 1);
}

TEST(Counters, TheEdgesOfTheRangeAreObserved) {
  Counters counters;
  counters.Observe(Histogram::kRequestNs, 0);
  EXPECT_EQ(counters.Percentile(Histogram::kRequestNs, 100), 0u);
  counters.Observe(Histogram::kRequestNs, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(counters.Percentile(Histogram::kRequestNs, 100), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(counters.Observations(Histogram::kRequestNs), 2u);
}

TEST(Counters, JsonHoldsEveryName) {
  Counters counters;
  counters.Add(Counter::kBytesRead, std::numeric_limits<uint64_t>::max());
  counters.Observe(Histogram::kRequestNs, 100);
  const json parsed = json::parse(counters.ToJson());
  ASSERT_EQ(parsed.size(), kCounters + kHistograms);
  for (const CounterInfo& info : CounterTable()) EXPECT_EQ(parsed.at(info.name), counters.Get(info.id)) << info.name;
  const json expected = {{"count", 1}, {"sum", 100}, {"p50", 127}, {"p90", 127}, {"p99", 127}, {"max", 127}};
  EXPECT_EQ(parsed.at("request_ns"), expected);
}

TEST(Counters, PrometheusTellsCountersFromGauges) {
  Counters counters;
  counters.Add(Counter::kRequests, 7);
  counters.Add(Counter::kPinNowBytes, 4096);
  const std::string text = counters.ToPrometheus();
  EXPECT_THAT(text, HasSubstr("# TYPE slipway_requests_total counter\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE slipway_pin_now_bytes gauge\n"));
  EXPECT_EQ(Sample(text, "slipway_requests_total"), "7");
  EXPECT_EQ(Sample(text, "slipway_pin_now_bytes"), "4096");
  EXPECT_THAT(text, Not(HasSubstr("{}")));
}

TEST(Counters, PrometheusBucketsAccumulate) {
  Counters counters;
  counters.Observe(Histogram::kRequestNs, 3);          // below the first bound shown
  counters.Observe(Histogram::kRequestNs, 256);        // 9 bits
  counters.Observe(Histogram::kRequestNs, ~0ull / 2);  // above the last
  const std::string text = counters.ToPrometheus({{"engine", "a"}});
  EXPECT_EQ(Sample(text, R"(slipway_request_ns_bucket{engine="a",le="255"})"), "1");
  EXPECT_EQ(Sample(text, R"(slipway_request_ns_bucket{engine="a",le="511"})"), "2");
  EXPECT_EQ(Sample(text, R"(slipway_request_ns_bucket{engine="a",le="1099511627775"})"), "2");
  EXPECT_EQ(Sample(text, R"(slipway_request_ns_bucket{engine="a",le="+Inf"})"), "3");
  EXPECT_EQ(Sample(text, R"(slipway_request_ns_count{engine="a"})"), "3");
  EXPECT_EQ(Sample(text, R"(slipway_request_ns_sum{engine="a"})"), std::to_string(~0ull / 2 + 259));
}

TEST(Counters, LabelsCannotForgeSamples) {
  Counters counters;
  const std::string text = counters.ToPrometheus({{"engine", "a\"} 1\nslipway_forged 9\\"}, {"0 b{ad", "x"}});
  EXPECT_THAT(text, Not(HasSubstr("\nslipway_forged")));
  EXPECT_EQ(Sample(text, R"(slipway_requests_total{engine="a\"} 1\nslipway_forged 9\\",__b_ad="x"})"), "0");
}

}  // namespace
}  // namespace slipway
