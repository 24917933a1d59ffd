// Which transports may serve a request and in which order: exhaustively over everything that the answer depends on.
#include "core/transfer/route.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "slipway/abi/memory.h"
#include "slipway/abi/transport.h"

namespace slipway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kBoth = SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE;
constexpr uint64_t kEverywhere = kBoth | SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_CROSS_HOST;

RouteFacts Make(std::string_view name, int64_t priority, uint64_t caps = kEverywhere) {
  RouteFacts t;
  t.name = name;
  t.caps = caps;
  t.mem_kinds = SLIPWAY_MEM_HOST;
  t.priority = priority;
  t.bandwidth_bytes_per_s = 1'000'000'000;
  t.latency_ns = 1000;
  return t;
}

RouteQuery Query(uint32_t offered = UINT32_MAX) {
  RouteQuery q;
  q.op = SLIPWAY_OP_WRITE;
  q.length = 4096;
  q.local_kind = SLIPWAY_MEM_HOST;
  q.locality = Locality::kSameProcess;
  q.offered = offered;
  return q;
}

std::vector<int> Order(const std::vector<RouteFacts>& transports, const RouteQuery& query) {
  const RoutePlan plan = PlanRoute(transports, query);
  return {plan.order.begin(), plan.order.begin() + plan.count};
}

TEST(RouteTest, MemoryOutOfReachGoesByWayOfHostMemoryWhereSomebodyCopiesIt) {
  for (uint32_t bits = 0; bits < 16; ++bits) {
    RouteFacts t = Make("t", 0);
    const bool direct = (bits & 1) != 0, host = (bits & 2) != 0, copied = (bits & 4) != 0, pool = (bits & 8) != 0;
    t.mem_kinds = (host ? SLIPWAY_MEM_HOST : SLIPWAY_MEM_ROCM) | (direct ? SLIPWAY_MEM_CUDA : 0);
    t.staged_kinds = copied ? SLIPWAY_MEM_CUDA : 0;
    t.staging_ready = pool;
    RouteQuery query = Query();
    query.local_kind = SLIPWAY_MEM_CUDA;
    const RoutePlan plan = PlanRoute(std::vector{t}, query);
    EXPECT_EQ(plan.count, direct || (host && copied && pool) ? 1u : 0u) << bits;
    EXPECT_EQ(NeedsOnlyStaging(plan), !direct && host && copied && !pool) << bits;
    if (plan.count == 0) {
      EXPECT_EQ(plan.refusal[0], host && copied ? RouteRefusal::kNoStaging : RouteRefusal::kMemoryKind) << bits;
    }
  }
}

TEST(RouteTest, OneTransportIsAllowedExactlyWhenEveryConditionHolds) {
  int allowed = 0;
  for (uint32_t bits = 0; bits < 64; ++bits) {
    for (const Locality locality : {Locality::kSameProcess, Locality::kSameHost, Locality::kOtherHost}) {
      for (const uint32_t op : {SLIPWAY_OP_READ, SLIPWAY_OP_WRITE}) {
        for (const bool offered : {false, true}) {
          for (const bool paused : {false, true}) {
            RouteFacts t = Make("t", 0, 0);
            t.caps = (bits & 1 ? SLIPWAY_CAP_READ : 0) | (bits & 2 ? SLIPWAY_CAP_WRITE : 0) |
                     (bits & 4 ? SLIPWAY_CAP_CROSS_PROCESS : 0) | (bits & 8 ? SLIPWAY_CAP_CROSS_HOST : 0);
            t.failed = (bits & 16) != 0;
            t.mem_kinds = bits & 32 ? SLIPWAY_MEM_HOST : SLIPWAY_MEM_CUDA;
            RouteQuery q = Query(offered ? 1 : 0);
            q.op = op;
            q.locality = locality;
            q.paused = paused ? 1 : 0;
            const RoutePlan plan = PlanRoute({&t, 1}, q);
            const bool reaches = locality == Locality::kSameProcess ||
                                 (locality == Locality::kSameHost && (bits & 4)) ||
                                 (locality == Locality::kOtherHost && (bits & 4) && (bits & 8));
            const bool does = op == SLIPWAY_OP_READ ? bits & 1 : bits & 2;
            const bool expected = reaches && does && offered && !(bits & 16) && (bits & 32);
            ASSERT_EQ(plan.count, expected ? 1u : 0u) << bits;
            ASSERT_EQ(plan.refusal[0] == RouteRefusal::kNone, expected);
            // The reason is one that is true.
            switch (plan.refusal[0]) {
              case RouteRefusal::kNone:
                ++allowed;
                break;
              case RouteRefusal::kFailed:
                ASSERT_TRUE(t.failed);
                break;
              case RouteRefusal::kNotOffered:
                ASSERT_FALSE(offered);
                break;
              case RouteRefusal::kOtherProcess:
                ASSERT_TRUE(locality != Locality::kSameProcess && !(bits & 4));
                break;
              case RouteRefusal::kOtherHost:
                ASSERT_TRUE(locality == Locality::kOtherHost && !(bits & 8));
                break;
              case RouteRefusal::kNoRead:
                ASSERT_TRUE(op == SLIPWAY_OP_READ && !(bits & 1));
                break;
              case RouteRefusal::kNoWrite:
                ASSERT_TRUE(op == SLIPWAY_OP_WRITE && !(bits & 2));
                break;
              case RouteRefusal::kMemoryKind:
                ASSERT_FALSE(bits & 32);
                break;
              case RouteRefusal::kNoStaging:
                FAIL() << "nobody copies here";
                break;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(allowed, 0);
}

TEST(RouteTest, ThePlanIsAPermutationOfWhatIsAllowedInARepeatableOrder) {
  for (uint32_t paused = 0; paused < 16; ++paused) {
    for (uint32_t offered = 0; offered < 16; ++offered) {
      for (const bool fastest : {false, true}) {
        std::vector<RouteFacts> t = {Make("a", 1), Make("b", 0), Make("c", 0), Make("d", 2)};
        t[0].latency_ns = 1;
        t[2].latency_ns = 5;
        RouteQuery q = Query(offered);
        q.paused = paused;
        q.fastest = fastest;
        const std::vector<int> order = Order(t, q);
        ASSERT_EQ(order, Order(t, q));
        ASSERT_EQ(order.size(), static_cast<size_t>(std::popcount(offered)));
        for (size_t i = 0; i + 1 < order.size(); ++i) {
          const int one = order[i], two = order[i + 1];
          const bool one_paused = paused >> one & 1, two_paused = paused >> two & 1;
          ASSERT_LE(one_paused, two_paused) << "paused transports come last";
          if (one_paused != two_paused) continue;
          if (!fastest) {
            ASSERT_LE(t[one].priority, t[two].priority);
          }
          if (fastest || t[one].priority == t[two].priority) {
            ASSERT_LE(EstimateNs(t[one], q.length), EstimateNs(t[two], q.length));
          }
        }
      }
    }
  }
}

TEST(RouteTest, EqualTransportsKeepTheirConfiguredOrder) {
  const std::vector<RouteFacts> t = {Make("a", 0), Make("b", 0), Make("c", 0)};
  EXPECT_THAT(Order(t, Query()), ElementsAre(0, 1, 2));
}

TEST(RouteTest, TheFastestDependsOnTheLength) {
  std::vector<RouteFacts> t = {Make("near", 0), Make("wide", 1)};
  t[0].latency_ns = 100;
  t[0].bandwidth_bytes_per_s = 100'000'000;
  t[1].latency_ns = 10'000;
  t[1].bandwidth_bytes_per_s = 10'000'000'000;
  RouteQuery q = Query();
  q.fastest = true;
  q.length = 64;
  EXPECT_THAT(Order(t, q), ElementsAre(0, 1));
  q.length = 1 << 30;
  EXPECT_THAT(Order(t, q), ElementsAre(1, 0));
}

TEST(RouteTest, AnEstimateGrowsWithTheLengthWhateverAPluginClaims) {
  for (const uint64_t bandwidth : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40, UINT64_MAX}) {
    for (const uint64_t latency : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
      RouteFacts t = Make("t", 0);
      t.bandwidth_bytes_per_s = bandwidth;
      t.latency_ns = latency;
      uint64_t last = 0;
      for (int bits = 0; bits < 64; ++bits) {
        const uint64_t estimate = EstimateNs(t, uint64_t{1} << bits);
        EXPECT_GE(estimate, last) << bandwidth << " B/s, " << latency << " ns, 2^" << bits << " bytes";
        last = estimate;
      }
    }
  }
}

TEST(RouteTest, ThirtyTwoTransportsAreOrderedAndMoreAreCutOff) {
  std::vector<RouteFacts> t;
  for (int i = 0; i < 40; ++i) t.push_back(Make("t", 100 - i));
  const std::vector<int> order = Order(t, Query());
  ASSERT_EQ(order.size(), 32u);
  EXPECT_EQ(order.front(), 31);
  EXPECT_EQ(order.back(), 0);
}

TEST(RouteTest, RefusalsAreToldForEachTransport) {
  std::vector<RouteFacts> t = {Make("a", 0), Make("b", 0, kBoth), Make("c", 0)};
  t[2].mem_kinds = SLIPWAY_MEM_CUDA;
  RouteQuery q = Query(0b110);
  q.locality = Locality::kSameHost;
  const RoutePlan plan = PlanRoute(t, q);
  EXPECT_EQ(plan.count, 0u);
  const std::string text = DescribeRefusals(t, plan);
  EXPECT_THAT(text, HasSubstr("a: the target does not offer"));
  EXPECT_THAT(text, HasSubstr("b: works only within one process"));
  EXPECT_THAT(text, HasSubstr("c: does not reach this kind"));
  EXPECT_THAT(DescribeRefusals({}, RoutePlan{}), HasSubstr("\"transports\""));
}

}  // namespace
}  // namespace slipway
