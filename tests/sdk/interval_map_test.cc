// The index of registrations, held against a model that looks at every range every time.
#include "slipway/sdk/interval_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <vector>

namespace {

// Allocations of blocks fail while it is set.
bool g_no_memory = false;

}  // namespace

void* operator new(size_t bytes, std::align_val_t align) {
  const size_t unit = static_cast<size_t>(align);
  void* const memory = g_no_memory ? nullptr : std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace slipway::sdk {
namespace {

constexpr uint32_t kRead = SLIPWAY_ACCESS_REMOTE_READ;
constexpr uint32_t kWrite = SLIPWAY_ACCESS_REMOTE_WRITE;

// A slow index that is obviously right, and the real one beside it.
class IndexTest : public testing::Test {
 protected:
  RegistrationNode* Add(uint64_t start, uint64_t length, uint32_t access = kRead) {
    nodes_.push_back(std::make_unique<RegistrationNode>());
    index_.Insert(*nodes_.back(), start, length, access);
    return nodes_.back().get();
  }
  void Remove(size_t i) {
    index_.Erase(*nodes_[i]);
    nodes_[i] = std::move(nodes_.back());
    nodes_.pop_back();
  }
  void TearDown() override {
    while (!nodes_.empty()) Remove(nodes_.size() - 1);
    EXPECT_TRUE(index_.empty());
  }

  uint64_t PrefixOf(uint64_t addr, uint64_t length, uint32_t access = kRead) {
    return index_.LongestPrefix(addr, length, access).bytes;
  }
  uint64_t ModelPrefix(uint64_t addr, uint64_t length, uint32_t access) const {
    uint64_t best = 0;
    for (const auto& n : nodes_) {
      if (n->Covers(addr, 1, access)) best = std::max(best, std::min(length, n->end() - addr));
    }
    return best;
  }
  RegistrationIndex::Next ModelNext(uint64_t addr, uint32_t access) const {
    RegistrationIndex::Next next;
    for (const auto& n : nodes_) {
      if (n->start() <= addr || (n->access() & access) != access) continue;
      if (!next.found || n->start() < next.start) next = {true, n->start()};
    }
    return next;
  }
  void ExpectLikeModel(uint64_t addr, uint64_t length, uint32_t access) {
    const RegistrationIndex::Prefix got = index_.LongestPrefix(addr, length, access);
    ASSERT_EQ(got.bytes, ModelPrefix(addr, length, access)) << "at " << addr << "+" << length << " for " << access;
    ASSERT_EQ(got.node != nullptr, got.bytes > 0);
    if (got.node != nullptr) {
      ASSERT_TRUE(got.node->Covers(addr, got.bytes, access));
    }
    const RegistrationIndex::Next next = index_.NextStart(addr, access);
    const RegistrationIndex::Next model = ModelNext(addr, access);
    ASSERT_EQ(next.found, model.found) << "after " << addr << " for " << access;
    if (model.found) {
      ASSERT_EQ(next.start, model.start) << "after " << addr << " for " << access;
    }
  }

  RegistrationIndex index_;
  std::vector<std::unique_ptr<RegistrationNode>> nodes_;
};

TEST_F(IndexTest, AnEmptyIndexCoversNothing) {
  EXPECT_EQ(PrefixOf(0, 10), 0u);
  EXPECT_FALSE(index_.NextStart(0, kRead).found);
}

TEST_F(IndexTest, ARangeCoversItselfAndItsPartsAndNothingAround) {
  RegistrationNode* const a = Add(100, 50);
  EXPECT_EQ(PrefixOf(100, 50), 50u);
  EXPECT_EQ(PrefixOf(120, 5), 5u);
  EXPECT_EQ(PrefixOf(120, 100), 30u);
  EXPECT_EQ(PrefixOf(99, 10), 0u);
  EXPECT_EQ(PrefixOf(150, 1), 0u);
  EXPECT_EQ(index_.LongestPrefix(149, 10, kRead).node, a);
  EXPECT_EQ(index_.NextStart(99, kRead).start, 100u);
  EXPECT_FALSE(index_.NextStart(100, kRead).found);
}

TEST_F(IndexTest, TouchingRangesAreNeverOne) {
  Add(100, 50);
  Add(150, 50);
  EXPECT_EQ(PrefixOf(120, 60), 30u);
  EXPECT_EQ(PrefixOf(150, 60), 50u);
}

TEST_F(IndexTest, OfNestedRangesTheFarthestCounts) {
  RegistrationNode* const outer = Add(100, 1000);
  Add(200, 10);
  Add(205, 20);
  EXPECT_EQ(index_.LongestPrefix(207, 500, kRead).node, outer);
  EXPECT_EQ(PrefixOf(207, 500), 500u);
}

TEST_F(IndexTest, TheAccessAskedForIsGrantedByOneRange) {
  Add(100, 100, kRead);
  Add(100, 50, kWrite);
  EXPECT_EQ(PrefixOf(100, 100, kRead), 100u);
  EXPECT_EQ(PrefixOf(100, 100, kWrite), 50u);
  EXPECT_EQ(PrefixOf(100, 100, kRead | kWrite), 0u);
  Add(100, 10, kRead | kWrite);
  EXPECT_EQ(PrefixOf(100, 100, kRead | kWrite), 10u);
}

TEST_F(IndexTest, TheSameRangeTwiceStaysWhenOneGoes) {
  RegistrationNode* const a = Add(100, 10);
  RegistrationNode* const b = Add(100, 10);
  EXPECT_EQ(index_.size(), 2u);
  index_.Erase(*a);
  EXPECT_EQ(index_.LongestPrefix(100, 10, kRead).node, b);
  index_.Erase(*b);
  EXPECT_EQ(PrefixOf(100, 10), 0u);
  nodes_.clear();
}

TEST_F(IndexTest, RangesAtTheEndsOfTheAddressSpace) {
  Add(0, 1);
  Add(UINT64_MAX - 10, 10);
  EXPECT_EQ(PrefixOf(0, 5), 1u);
  EXPECT_EQ(PrefixOf(UINT64_MAX - 1, 1), 1u);
  EXPECT_EQ(index_.NextStart(0, kRead).start, UINT64_MAX - 10);
  EXPECT_FALSE(index_.NextStart(UINT64_MAX, kRead).found);
}

TEST_F(IndexTest, ARangeMayEndWhereTheAddressSpaceDoes) {
  RegistrationNode* const whole = Add(0, UINT64_MAX);
  RegistrationNode* const last = Add(UINT64_MAX - 1, 1, kWrite);
  EXPECT_EQ(index_.LongestPrefix(0, UINT64_MAX, kRead).node, whole);
  EXPECT_EQ(PrefixOf(1, UINT64_MAX), UINT64_MAX - 1);
  EXPECT_EQ(index_.LongestPrefix(UINT64_MAX - 1, 1, kWrite).node, last);
  EXPECT_EQ(PrefixOf(UINT64_MAX, 1), 0u);
  EXPECT_EQ(index_.NextStart(0, kWrite).start, UINT64_MAX - 1);
  EXPECT_FALSE(index_.NextStart(UINT64_MAX - 1, kWrite).found);
}

TEST_F(IndexTest, WithoutMemoryNothingHasChanged) {
  g_no_memory = true;
  RegistrationNode node;
  EXPECT_THROW(index_.Insert(node, 0, 1, kRead), std::bad_alloc);
  EXPECT_FALSE(node.indexed());
  EXPECT_TRUE(index_.empty());
  // What has room for more goes on, and what has not says so, whatever it would have split.
  int refused = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    try {
      Add(i * 7 % 3000, 5);
    } catch (const std::bad_alloc&) {
      ++refused;
      nodes_.pop_back();
      ASSERT_EQ(index_.size(), nodes_.size());
      g_no_memory = false;
      Add(i * 7 % 3000, 5);
      g_no_memory = true;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectLikeModel(i, 3, kRead));
  }
  g_no_memory = false;
  EXPECT_GT(refused, 5);
}

TEST_F(IndexTest, ANodeCanBeInsertedAgain) {
  RegistrationNode* const a = Add(100, 10);
  index_.Erase(*a);
  EXPECT_FALSE(a->indexed());
  index_.Insert(*a, 500, 5, kWrite);
  EXPECT_EQ(PrefixOf(500, 5, kWrite), 5u);
  EXPECT_EQ(PrefixOf(100, 10), 0u);
}

TEST_F(IndexTest, TheOrderIsByStart) {
  for (const uint64_t start : {50, 10, 30, 20, 40, 30}) Add(start, 1);
  std::vector<uint64_t> starts;
  index_.ForEach([&](const RegistrationNode& n) { starts.push_back(n.start()); });
  EXPECT_EQ(starts, (std::vector<uint64_t>{10, 20, 30, 30, 40, 50}));
}

struct Shape {
  const char* name;
  uint64_t first, space, longest;
  size_t most;
};

class IndexPropertyTest : public IndexTest, public testing::WithParamInterface<std::tuple<Shape, uint64_t>> {};

// Any sequence of insertions and removals answers every question as the model does.
TEST_P(IndexPropertyTest, AnswersLikeTheModel) {
  const auto& [shape, seed] = GetParam();
  std::mt19937_64 random(seed);
  const size_t phase = 1000 + 2 * shape.most;  // grows, shrinks, grows and shrinks
  for (size_t step = 0; step < 4 * phase; ++step) {
    const bool grow = nodes_.size() < shape.most && random() % 100 < (step / phase % 2 == 0 ? 90u : 10u);
    if (grow) {
      Add(shape.first + random() % shape.space, 1 + random() % shape.longest, 1 + random() % SLIPWAY_ACCESS_ALL);
    } else if (!nodes_.empty()) {
      Remove(random() % nodes_.size());
    }
    ASSERT_EQ(index_.size(), nodes_.size());
    for (int question = shape.most > 1000 ? 2 : 0; question < 3; ++question) {  // the model is slow with many
      uint64_t addr = shape.first + random() % (shape.space + shape.longest);
      if (!nodes_.empty() && random() % 2 == 0) {  // at the edges, where mistakes are
        const RegistrationNode& n = *nodes_[random() % nodes_.size()];
        addr = (random() % 2 == 0 ? n.start() : n.end()) + random() % 3;
        addr -= addr > 0 ? 1 : 0;
      }
      ASSERT_NO_FATAL_FAILURE(
          ExpectLikeModel(addr, 1 + random() % (2 * shape.longest), 1 + random() % SLIPWAY_ACCESS_ALL))
          << "seed " << seed << " step " << step;
    }
  }
}

// The last two are of three levels.
INSTANTIATE_TEST_SUITE_P(
    Shapes, IndexPropertyTest,
    testing::Combine(testing::Values(Shape{"Crowded", 0, 64, 32, 40}, Shape{"Nested", 0, 1000, 900, 200},
                                     Shape{"Sparse", 0, 1u << 20, 100, 300}, Shape{"Points", 0, 300, 1, 300},
                                     Shape{"Top", UINT64_MAX - 1100, 1000, 100, 200},
                                     Shape{"SameStart", 5, 2, 1000, 1200}, Shape{"Deep", 0, 1u << 16, 100, 1500}),
                     testing::Range<uint64_t>(1, 4)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + std::to_string(std::get<1>(info.param));
    });

enum class Order { kAscending, kDescending, kRandom };

class IndexOrderTest : public IndexTest, public testing::WithParamInterface<std::tuple<Order, Order, uint64_t>> {
 protected:
  static std::vector<uint64_t> Places(Order order, uint64_t count) {
    std::vector<uint64_t> places(count);
    for (uint64_t i = 0; i < count; ++i) places[i] = order == Order::kDescending ? count - 1 - i : i;
    if (order == Order::kRandom) std::shuffle(places.begin(), places.end(), std::mt19937_64(count));
    return places;
  }
};

// Blocks split and merge at their beginning, their end and anywhere, up to the root and down to nothing.
TEST_P(IndexOrderTest, IsFilledAndEmptiedInAnyOrder) {
  const auto& [filling, emptying, length] = GetParam();
  constexpr uint64_t kCount = 3000, kStride = 16;
  std::vector<RegistrationNode*> at(kCount);
  for (const uint64_t i : Places(filling, kCount)) {
    at[i] = Add(i * kStride, length);
    if (i % 8 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(ExpectLikeModel(i * kStride + 3, 100, kRead));
  }
  for (const uint64_t i : Places(emptying, kCount)) {
    index_.Erase(*at[i]);
    at[i] = nullptr;
    const uint64_t addr = i * kStride + 3;
    // The one with the last start reaches farthest.
    uint64_t covered = 0;
    for (uint64_t j = i + 1; j-- > 0 && (i - j) * kStride + 3 < length && covered == 0;) {
      if (at[j] != nullptr) covered = j * kStride + length - addr;
    }
    ASSERT_EQ(PrefixOf(addr, 2 * length), covered) << "at " << i;
  }
  EXPECT_TRUE(index_.empty());
  EXPECT_EQ(index_.any(), nullptr);
  nodes_.clear();
}

INSTANTIATE_TEST_SUITE_P(Orders, IndexOrderTest,
                         testing::Combine(testing::Values(Order::kAscending, Order::kDescending, Order::kRandom),
                                          testing::Values(Order::kAscending, Order::kDescending, Order::kRandom),
                                          testing::Values(16, 1000)));

// Each within the one before: one that starts early ends late.
TEST_F(IndexTest, NestedToAnyDepth) {
  constexpr uint64_t kCount = 2000;
  for (uint64_t i = 0; i < kCount; ++i) Add(i, 2 * (kCount - i));
  for (uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(PrefixOf(kCount, 2 * kCount), kCount - i);
    index_.Erase(*nodes_[i]);
  }
  nodes_.clear();
}

// Ascending insertion is the worst case of an unbalanced tree: this would take minutes. So many fill huge pages, too.
TEST_F(IndexTest, StaysBalancedUnderAscendingInsertion) {
  constexpr uint64_t kCount = 100'000;
  for (uint64_t i = 0; i < kCount; ++i) Add(i * 16, 16);
  for (uint64_t i = 0; i < kCount; i += 7) ASSERT_EQ(PrefixOf(i * 16 + 3, 100), 13u);
  for (uint64_t i = 0; i < kCount; i += 7) ASSERT_EQ(index_.NextStart(i * 16, kRead).found, i + 1 < kCount);
}

}  // namespace
}  // namespace slipway::sdk
