// Cutting, as the pure function that it is: small cases exhaustively, large ones at random, against a model.
#include "core/transfer/slicer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "core/base/bytes.h"
#include "core/memory/ledger.h"

namespace slipway {
namespace {

// Registrations as lists of byte ranges; several may cover one byte.
class Model final : public LocalCoverage {
 public:
  struct Range {
    uint64_t begin, end;
    uint32_t access;
  };
  void Add(uint64_t begin, uint64_t end, uint32_t access = 3) {
    ranges_.push_back({begin, end, access});
    registrations_.push_back(std::make_unique<Registration>());
  }
  LocalCover CoverAt(uint64_t address, uint64_t length, uint32_t access) const override {
    uint64_t best = 0, next = UINT64_MAX;
    size_t which = 0;
    for (size_t i = 0; i < ranges_.size(); ++i) {
      const Range& r = ranges_[i];
      if ((r.access & access) != access) continue;
      if (r.begin > address) next = std::min(next, r.begin);
      if (r.begin > address || r.end <= address || r.end - address <= best) continue;
      best = r.end - address;
      which = i;
    }
    if (best > 0) return {registrations_[which].get(), std::min(best, length)};
    return {nullptr, std::min(length, next - address)};
  }
  bool Covers(const Registration* registration, uint64_t begin, uint64_t end, uint32_t access) const {
    for (size_t i = 0; i < ranges_.size(); ++i) {
      if (registrations_[i].get() != registration) continue;
      return ranges_[i].begin <= begin && end <= ranges_[i].end && (ranges_[i].access & access) == access;
    }
    return false;
  }
  bool Registered(uint64_t address, uint32_t access) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& r) {
      return r.begin <= address && address < r.end && (r.access & access) == access;
    });
  }

 private:
  std::vector<Range> ranges_;
  std::vector<std::unique_ptr<Registration>> registrations_;
};

struct Case {
  SliceLimits limits;
  std::vector<RemotePiece> pieces;
  Model coverage;
  SliceCursor cursor;
};

bool Aligned(uint64_t v, uint64_t align) { return v % align == 0; }

// Cuts it all and checks every rule for every cut. Returns the status that ended it; OK when all was cut.
slipway_status CutAll(const Case& c, std::vector<SliceCut>* cuts = nullptr) {
  SliceCursor cursor = c.cursor;
  const SliceLimits& l = c.limits;
  uint64_t done = 0;
  while (cursor.remaining > 0) {
    const SliceCursor before = cursor;
    Result<SliceCut> cut = NextSlice(cursor, l, c.pieces, c.coverage);
    EXPECT_EQ(cursor.remaining, before.remaining) << "NextSlice does not advance";
    if (!cut.ok()) return cut.status().code();
    const SliceCut again = *NextSlice(cursor, l, c.pieces, c.coverage);
    EXPECT_EQ(again.length, cut->length) << "the same inputs give the same cut";
    EXPECT_GT(cut->length, 0u);
    EXPECT_LE(cut->length, cursor.remaining);
    EXPECT_LE(cut->length, l.max_bytes);
    EXPECT_LT(cut->piece, c.pieces.size());
    const RemotePiece& piece = c.pieces[cut->piece];
    EXPECT_EQ(piece.offset + cut->piece_offset, cursor.segment_offset);
    EXPECT_LE(cut->piece_offset + cut->length, piece.length) << "crosses a remote registration";
    EXPECT_TRUE(Aligned(cut->piece_offset, l.remote_align));
    EXPECT_TRUE(Aligned(cut->length, l.length_align));
    const uint64_t at = cursor.local_address;
    switch (cut->mode) {
      case SliceMode::kDirect:
        EXPECT_TRUE(l.reaches_local_kind && !l.needs_local_registration);
        EXPECT_TRUE(Aligned(at, l.local_align));
        break;
      case SliceMode::kRegistered:
        EXPECT_TRUE(l.reaches_local_kind && l.needs_local_registration);
        EXPECT_TRUE(Aligned(at, l.local_align));
        EXPECT_TRUE(c.coverage.Covers(cut->registration, at, at + cut->length, cursor.access));
        break;
      case SliceMode::kStaged:
        EXPECT_LE(cut->length, l.staging_chunk_bytes);
        EXPECT_EQ(cut->registration, nullptr);
        break;
    }
    // With no alignment demanded the table holds byte for byte.
    if (std::max({l.local_align, l.remote_align, l.length_align}) == 1 && l.reaches_local_kind) {
      if (!l.needs_local_registration) {
        EXPECT_EQ(cut->mode, SliceMode::kDirect);
      }
      for (uint64_t i = 0; l.needs_local_registration && i < cut->length; ++i) {
        EXPECT_EQ(cut->mode == SliceMode::kRegistered, c.coverage.Registered(at + i, cursor.access)) << at + i;
      }
    }
    if (testing::Test::HasFailure()) return SLIPWAY_E_INTERNAL;
    if (cuts != nullptr) cuts->push_back(*cut);
    done += cut->length;
    cursor.Advance(cut->length);
  }
  EXPECT_EQ(done, c.cursor.remaining);
  return SLIPWAY_OK;
}

Case Simple(uint64_t length, uint64_t max, bool needs_registration = true) {
  Case c;
  c.limits.max_bytes = c.limits.preferred_bytes = max;
  c.limits.staging_chunk_bytes = max;
  c.limits.needs_local_registration = needs_registration;
  c.pieces = {{0, length}};
  c.cursor = {1000, 0, length, SLIPWAY_ACCESS_LOCAL_READ, 0};
  return c;
}

TEST(SlicerTest, EverySmallRequestOverEverySmallRegistration) {
  for (uint64_t length = 1; length <= 8; ++length) {
    for (uint64_t begin = 0; begin <= length + 1; ++begin) {
      for (uint64_t end = begin; end <= length + 2; ++end) {
        for (uint64_t split = 0; split <= length; ++split) {
          for (const uint64_t max : {1u, 2u, 3u, 5u, 100u}) {
            Case c = Simple(length, max);
            if (end > begin) c.coverage.Add(999 + begin, 999 + end);
            c.pieces = split == 0 ? std::vector<RemotePiece>{{0, length + 1}}
                                  : std::vector<RemotePiece>{{0, split}, {split, length + 1 - split}};
            ASSERT_EQ(CutAll(c), SLIPWAY_OK) << "length " << length << " registered " << begin << ".." << end
                                             << " split " << split << " max " << max;
          }
        }
      }
    }
  }
}

TEST(SlicerTest, EverySmallPairOfRegistrations) {
  for (uint64_t a = 0; a < 5; ++a) {
    for (uint64_t b = a + 1; b <= 6; ++b) {
      for (uint64_t x = 0; x < 5; ++x) {
        for (uint64_t y = x + 1; y <= 6; ++y) {
          Case c = Simple(6, 100);
          c.coverage.Add(1000 + a, 1000 + b);
          c.coverage.Add(1000 + x, 1000 + y);
          ASSERT_EQ(CutAll(c), SLIPWAY_OK) << a << ".." << b << " and " << x << ".." << y;
        }
      }
    }
  }
}

TEST(SlicerTest, EverySmallAlignmentIsMetOrRefused) {
  int cut = 0, refused = 0;
  for (const uint32_t local : {1u, 2u, 4u}) {
    for (const uint32_t remote : {1u, 2u, 4u}) {
      for (const uint32_t unit : {1u, 2u, 4u}) {
        for (uint64_t at = 0; at < 4; ++at) {
          for (uint64_t offset = 0; offset < 4; ++offset) {
            for (uint64_t length = 1; length <= 9; ++length) {
              for (const bool needs : {false, true}) {
                Case c = Simple(16, 6, needs);
                c.limits.local_align = local;
                c.limits.remote_align = remote;
                c.limits.length_align = unit;
                c.coverage.Add(1000, 1005);
                c.pieces = {{0, 8}, {8, 8}};
                c.cursor = {1000 + at, offset, length, SLIPWAY_ACCESS_LOCAL_READ, 0};
                const slipway_status status = CutAll(c);
                ASSERT_THAT(status, testing::AnyOf(SLIPWAY_OK, SLIPWAY_E_INVALID));
                ++(status == SLIPWAY_OK ? cut : refused);
                const bool meets = Aligned(offset, remote) && Aligned(length, unit);
                // A request in one remote piece that meets the remote side's demands can always be cut.
                if (meets && offset + length <= 8 && Aligned(length, std::max({local, remote, unit}))) {
                  ASSERT_EQ(status, SLIPWAY_OK)
                      << local << remote << unit << " " << at << " " << offset << " " << length;
                }
                if (!meets) {
                  ASSERT_EQ(status, SLIPWAY_E_INVALID);
                }
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GT(cut, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(SlicerTest, TwoTouchingRegistrationsAreTwoSlices) {
  Case c = Simple(100, 1000);
  c.coverage.Add(1000, 1040);
  c.coverage.Add(1040, 1100);
  std::vector<SliceCut> cuts;
  ASSERT_EQ(CutAll(c, &cuts), SLIPWAY_OK);
  ASSERT_EQ(cuts.size(), 2u);
  EXPECT_EQ(cuts[0].length, 40u);
}

TEST(SlicerTest, AShortTailIsTakenAlongWhereTheLimitAllowsIt) {
  std::vector<SliceCut> cuts;
  Case c = Simple(1200, 2000, false);
  c.limits.preferred_bytes = 1000;
  ASSERT_EQ(CutAll(c, &cuts), SLIPWAY_OK);
  EXPECT_EQ(cuts.size(), 1u);
  cuts.clear();
  c = Simple(1300, 2000, false);
  c.limits.preferred_bytes = 1000;
  ASSERT_EQ(CutAll(c, &cuts), SLIPWAY_OK);
  EXPECT_EQ(cuts.size(), 2u);
  cuts.clear();
  c = Simple(1200, 1000, false);
  ASSERT_EQ(CutAll(c, &cuts), SLIPWAY_OK);
  EXPECT_EQ(cuts.size(), 2u);
}

TEST(SlicerTest, KindsOfMemoryThatAreNotReachedAreStaged) {
  Case c = Simple(100, 40, false);
  c.limits.reaches_local_kind = false;
  std::vector<SliceCut> cuts;
  ASSERT_EQ(CutAll(c, &cuts), SLIPWAY_OK);
  for (const SliceCut& cut : cuts) EXPECT_EQ(cut.mode, SliceMode::kStaged);
}

TEST(SlicerTest, WithoutStagingOnlyWhatNeedsItIsRefused) {
  Case c = Simple(100, 1000);
  c.limits.staging_chunk_bytes = 0;
  c.coverage.Add(1000, 1100);
  EXPECT_EQ(CutAll(c), SLIPWAY_OK);
  c.cursor.remaining = 50;
  c.cursor.local_address = 1060;
  EXPECT_EQ(CutAll(c), SLIPWAY_E_STAGING_NOT_CONFIGURED);
}

TEST(SlicerTest, HolesAndEndsOfTheRemoteSideAreOutOfRange) {
  Case c = Simple(10, 1000, false);
  c.pieces = {{0, 4}, {6, 10}};
  EXPECT_EQ(CutAll(c), SLIPWAY_E_SEGMENT_RANGE);
  c.pieces = {};
  EXPECT_EQ(CutAll(c), SLIPWAY_E_SEGMENT_RANGE);
  c.pieces = {{4, 100}};
  EXPECT_EQ(CutAll(c), SLIPWAY_E_SEGMENT_RANGE);
}

TEST(SlicerTest, AWrongHintIsOnlySlower) {
  Case c = Simple(100, 10, false);
  c.pieces.clear();
  for (uint64_t i = 0; i < 50; ++i) c.pieces.push_back({2 * i, 2});
  for (const uint32_t hint : {0u, 1u, 25u, 49u, 50u, UINT32_MAX}) {
    c.cursor.piece_hint = hint;
    c.cursor.segment_offset = 40;
    c.cursor.remaining = 60;
    EXPECT_EQ(CutAll(c), SLIPWAY_OK) << hint;
  }
}

TEST(SlicerTest, RequestsAtTheEndOfTheAddressSpace) {
  Case c = Simple(4096, 1000);
  c.cursor.local_address = UINT64_MAX - 4096;
  c.coverage.Add(UINT64_MAX - 4096, UINT64_MAX - 100);
  EXPECT_EQ(CutAll(c), SLIPWAY_OK);
  c.pieces = {{UINT64_MAX - 5000, 4500}};
  c.cursor.segment_offset = UINT64_MAX - 5000;
  EXPECT_EQ(CutAll(c), SLIPWAY_OK);
}

class SlicerPropertyTest : public testing::TestWithParam<uint32_t> {};

TEST_P(SlicerPropertyTest, PiecesCoverTheRequestAndBreakNoRule) {
  std::mt19937 random(GetParam());
  const auto pick = [&](uint64_t limit) { return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random); };
  int cut = 0;
  for (int round = 0; round < 300; ++round) {
    const bool aligned = pick(3) == 0;
    const auto align = [&] { return aligned ? uint32_t{1} << pick(5) : 1u; };
    Case c;
    c.limits.local_align = align();
    c.limits.remote_align = align();
    c.limits.length_align = align();
    const uint64_t unit = std::max({c.limits.local_align, c.limits.remote_align, c.limits.length_align});
    c.limits.max_bytes = unit + pick(500);
    c.limits.preferred_bytes = 1 + pick(c.limits.max_bytes);
    c.limits.staging_chunk_bytes = unit + pick(300);
    c.limits.needs_local_registration = pick(4) != 0;
    c.limits.reaches_local_kind = pick(8) != 0;
    uint64_t length = 0;
    for (uint64_t i = 0, n = 1 + pick(6); i < n; ++i) {
      const uint64_t piece = aligned ? unit * (1 + pick(20)) : 1 + pick(400);
      c.pieces.push_back({length, piece});
      length += piece;
    }
    for (uint64_t i = 0, n = pick(6); i < n; ++i) {
      const uint64_t begin = 5'000 + pick(length + 50);
      c.coverage.Add(begin, begin + 1 + pick(length), static_cast<uint32_t>(1 + pick(3)));
    }
    const uint64_t offset = RoundDown(pick(length), c.limits.remote_align);
    c.cursor = {RoundDown(5'000 + pick(50), c.limits.local_align), offset,
                std::max<uint64_t>(RoundDown(1 + pick(length - offset), unit), unit),
                static_cast<uint32_t>(1 + pick(2)), static_cast<uint32_t>(pick(8))};
    if (c.cursor.remaining > length - offset) continue;
    const slipway_status status = CutAll(c);
    ASSERT_FALSE(HasFailure()) << "round " << round;
    if (!aligned) {
      ASSERT_EQ(status, SLIPWAY_OK) << "round " << round;
    }
    cut += status == SLIPWAY_OK;
  }
  EXPECT_GT(cut, 150);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SlicerPropertyTest, testing::Range(0u, 20u));

}  // namespace
}  // namespace slipway
