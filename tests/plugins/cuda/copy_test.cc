// Bytes arrive, by whatever way they go.
#include <cstring>
#include <random>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

constexpr size_t kBytes = 3 * kMiB;

// Every way: method of many pieces, pinned or not, ring or not; each piece by itself, or in groups.
struct Way {
  const char* name;
  const char* config;
  bool pinned;
  bool groups = false;
};

class CudaCopyTest : public CudaTest, public testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Open(GetParam().config));
    device_ = Device(kBytes);
    other_ = Device(kBytes);
    in_.FillRandom(1);
    in_groups_ = GetParam().groups;
    if (GetParam().pinned) {
      Pin(in_);
      Pin(out_);
    }
  }

  HostBuffer in_{kBytes}, out_{kBytes};
  char *device_ = nullptr, *other_ = nullptr;
};

TEST_P(CudaCopyTest, OnePieceOfEverySizeAndAlignment) {
  for (const size_t length : {1, 3, 16, 255, 4096, 4097, 16384, 65536, 131071, 999983}) {
    for (const size_t offset : {0, 1, 7, 4095}) {
      out_.Fill(0x77);
      Copy({Up(device_ + offset, in_.data() + offset + 1, length)});
      Copy({Across(other_ + 3, device_ + offset, length)});
      Copy({Down(out_.data() + offset, other_ + 3, length)});
      ASSERT_EQ(out_.view(offset, length), in_.view(offset + 1, length)) << length << " bytes at " << offset;
      ASSERT_EQ(out_.view().find_first_not_of('\x77'), out_.view().find_first_not_of('\x77', offset)) << "before";
      ASSERT_EQ(out_.view(offset + length).find_first_not_of('\x77'), std::string_view::npos) << "behind";
    }
  }
}

TEST_P(CudaCopyTest, AllOfItInOnePiece) {
  Copy({Up(device_, in_.data(), kBytes)});
  Copy({Across(other_, device_, kBytes)});
  Copy({Down(out_.data(), other_, kBytes)});
  EXPECT_EQ(out_.view(), in_.view());
}

TEST_P(CudaCopyTest, ThousandsOfPiecesOfManySizesInAnyOrder) {
  std::mt19937_64 random(7);
  std::vector<std::pair<size_t, size_t>> cuts;
  for (size_t at = 0; at < kBytes;) {
    const size_t length = std::min<size_t>(kBytes - at, random() % 8 == 0 ? random() % 20000 : 1 + random() % 700);
    cuts.emplace_back(at, length);
    at += length;
  }
  std::shuffle(cuts.begin(), cuts.end(), random);
  std::vector<slipway_copy> up, across, down;
  for (const auto& [at, length] : cuts) {
    up.push_back(Up(device_ + at, in_.data() + at, length));
    across.push_back(Across(other_ + at, device_ + at, length));
    down.push_back(Down(out_.data() + at, other_ + at, length));
  }
  Copy(up);
  Copy(across);
  Copy(down);
  EXPECT_EQ(out_.view(), in_.view());
}

TEST_P(CudaCopyTest, EqualBlocksScattered) {
  constexpr size_t kBlock = 4 * kKiB, kBlocks = kBytes / kBlock / 2;
  std::vector<slipway_copy> up, down;
  for (size_t i = 0; i < kBlocks; ++i) {
    up.push_back(Up(device_ + 2 * i * kBlock, in_.data() + i * kBlock, kBlock));
    down.push_back(Down(out_.data() + (kBlocks - 1 - i) * kBlock, device_ + 2 * i * kBlock, kBlock));
  }
  // Some that are none of them in between.
  up.insert(up.begin() + 100, Up(other_, in_.data() + 1, 33));
  up.insert(up.begin() + 200, Up(other_ + 64, in_.data() + 5, kBlock));
  Copy(up);
  Copy(down);
  EXPECT_EQ(ReadDevice(other_, 33), in_.view(1, 33));
  EXPECT_EQ(ReadDevice(other_ + 64, kBlock), in_.view(5, kBlock));
  for (size_t i = 0; i < kBlocks; ++i) {
    ASSERT_EQ(out_.view((kBlocks - 1 - i) * kBlock, kBlock), in_.view(i * kBlock, kBlock)) << "block " << i;
  }
}

TEST_P(CudaCopyTest, BothDirectionsInOneSubmission) {
  constexpr size_t kHalf = kBytes / 2;
  WriteDevice(device_, in_, kHalf);
  std::vector<slipway_copy> pieces;
  for (size_t at = 0; at < kHalf; at += 32 * kKiB) {
    pieces.push_back(Down(out_.data() + at, device_ + at, 32 * kKiB));
    pieces.push_back(Up(other_ + at, in_.data() + kHalf + at, 32 * kKiB));
  }
  Copy(pieces);
  EXPECT_EQ(out_.view(0, kHalf), in_.view(0, kHalf));
  EXPECT_EQ(ReadDevice(other_, kHalf), in_.view(kHalf));
}

TEST_P(CudaCopyTest, NothingIsCopiedAtOnce) {
  std::vector<slipway_copy> pieces = {Up(device_, in_.data(), 0), Down(out_.data(), device_, 0),
                                      Across(nullptr, nullptr, 0)};
  Copy(pieces);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, CudaCopyTest,
    testing::Values(
        Way{"Auto", R"("ring_bytes": "1MiB", "ring_chunk_bytes": "128KiB", "copy_threads": 2)", true},
        Way{"AutoPageable", R"("ring_bytes": "1MiB", "ring_chunk_bytes": "128KiB", "copy_threads": 3)", false},
        Way{"Kernel", R"("method": "kernel", "kernel_blocks_up": 1, "kernel_blocks_down": 3)", true},
        Way{"KernelPageable", R"("method": "kernel", "ring_bytes": "256KiB", "ring_chunk_bytes": "64KiB")", false},
        Way{"Batch", R"("method": "batch")", true},
        Way{"BatchPageable",
            R"("method": "batch", "inline_bytes": 0, "ring_bytes": "2MiB", "ring_chunk_bytes": "256KiB")", false},
        Way{"Single", R"("method": "single")", true},
        Way{"SinglePageable", R"("method": "single", "ring_bytes": "512KiB", "ring_chunk_bytes": "256KiB")", false},
        Way{"NoRing", R"("ring_bytes": 0)", true}, Way{"NoRingPageable", R"("ring_bytes": 0)", false},
        Way{"FewInFlight", R"("max_inflight": 3, "ring_bytes": "1MiB", "ring_chunk_bytes": "64KiB")", true},
        Way{"FewInFlightPageable", R"("max_inflight": 3, "ring_bytes": "1MiB", "ring_chunk_bytes": "64KiB")", false},
        Way{"Groups", R"("ring_bytes": "1MiB", "ring_chunk_bytes": "128KiB", "copy_threads": 2)", true, true},
        Way{"GroupsPageable", R"("ring_bytes": "1MiB", "ring_chunk_bytes": "128KiB", "copy_threads": 3)", false, true},
        Way{"GroupsKernel", R"("method": "kernel", "kernel_blocks_up": 1, "kernel_blocks_down": 3)", true, true},
        Way{"GroupsSingle", R"("method": "single")", true, true}, Way{"GroupsNoRing", R"("ring_bytes": 0)", true, true},
        Way{"GroupsFewInFlight", R"("max_inflight": 3, "ring_bytes": "1MiB", "ring_chunk_bytes": "64KiB")", true, true},
        Way{"GroupsFewInFlightPageable", R"("max_inflight": 30, "ring_bytes": "1MiB", "ring_chunk_bytes": "64KiB")",
            false, true}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace slipway::test
