#include "core/engine/equal_requests.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace slipway {
namespace {

slipway_segment* SegmentAt(uintptr_t at) { return reinterpret_cast<slipway_segment*>(at); }

class EqualRequestsTest : public testing::TestWithParam<bool> {
 protected:
  static constexpr uint64_t kLength = 4096, kLocal = uint64_t{1} << 40, kRoom = 100 * kLength;

  EqualRequestsTest() {
    equal_.op = 2;
    equal_.local = kLocal;
    equal_.local_room = equal_.offset_room = kRoom;
    equal_.length = kLength;
    equal_.segment = SegmentAt(0x1000);
    for (uint64_t i = 0; i < 50; ++i) {
      requests_.push_back(
          {2, 0, reinterpret_cast<void*>(kLocal + 2 * i * kLength), kLength, SegmentAt(0x1000), kRoom - i, 0});
    }
  }
  size_t Count() const {
    return (GetParam() ? CountEqual : CountEqualPlainly)(requests_.data(), requests_.size(), equal_);
  }

  EqualRequests equal_;
  std::vector<slipway_request> requests_;
};

TEST_P(EqualRequestsTest, AllThatAreSoAreCountedButForAFewAtTheEnd) {
  EXPECT_LE(Count(), requests_.size());
  EXPECT_GE(Count() + 8, requests_.size());
  requests_.clear();
  EXPECT_EQ(Count(), 0u);
}

TEST_P(EqualRequestsTest, OneThatIsNotEndsIt) {
  const std::function<void(slipway_request&)> spoils[] = {
      [](slipway_request& r) { r.op = 1; },
      [](slipway_request& r) { r.op = 3; },
      [](slipway_request& r) { r.flags = 1; },
      [](slipway_request& r) { r.flags = UINT32_MAX; },
      [](slipway_request& r) { r.reserved = 1; },
      [](slipway_request& r) { r.reserved = UINT64_MAX; },
      [](slipway_request& r) { r.length = kLength - 1; },
      [](slipway_request& r) { r.length = kLength + 1; },
      [](slipway_request& r) { r.segment = nullptr; },
      [](slipway_request& r) { r.segment = SegmentAt(0x1008); },
      [](slipway_request& r) { r.offset = kRoom + 1; },
      [](slipway_request& r) { r.offset = UINT64_MAX; },
      [](slipway_request& r) { r.local = reinterpret_cast<void*>(kLocal - 1); },
      [](slipway_request& r) { r.local = reinterpret_cast<void*>(kLocal + kRoom + 1); },
      [](slipway_request& r) { r.local = nullptr; },
      [](slipway_request& r) { r.local = reinterpret_cast<void*>(UINTPTR_MAX); }};
  for (const size_t which : {size_t{0}, size_t{1}, size_t{7}, size_t{20}, size_t{39}}) {
    for (const auto& spoil : spoils) {
      const slipway_request good = requests_[which];
      spoil(requests_[which]);
      EXPECT_LE(Count(), which);
      EXPECT_GE(Count() + 8, which);
      requests_[which] = good;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, EqualRequestsTest, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Best" : "Plain"; });

}  // namespace
}  // namespace slipway
