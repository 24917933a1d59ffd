// What may be registered, who may use which bytes of a device, and what is refused with which words.
#include <fcntl.h>
#include <sys/wait.h>

#include <cstring>

#include "tests/plugins/cxl/window_file.h"

namespace slipway::test {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

class WindowTest : public CxlTest {
 protected:
  slipway_status Register(void* memory, uint64_t bytes) {
    slipway_mr* mr = nullptr;
    const slipway_status s = a_->TryRegister(memory, bytes, kRemoteAccess, &mr);
    if (s == SLIPWAY_OK) {
      EXPECT_EQ(a_->Deregister(mr), SLIPWAY_OK);
    }
    return s;
  }
  std::string message() const { return a_->error().message; }
};

TEST_F(WindowTest, MappingsOfTheApplicationsOwnCanBeRegistered) {
  a_ = Make(file_.config());
  b_ = Make(file_.config());
  const Mapping mine(file_, 8 * kMiB, 4 * kMiB);
  slipway_mr* const mr = b_->Register(mine.data() + 4096, 2 * kMiB);
  remote_ = a_->Import(a_->Connect(b_->Address()), b_->Export(mr));
  std::vector<char> data = RandomBytes(2 * kMiB, 3);
  ASSERT_EQ(a_->Write(data.data(), data.size(), remote_, 0).status, SLIPWAY_OK);
  EXPECT_EQ(std::memcmp(mine.data() + 4096, data.data(), data.size()), 0);
}

TEST_F(WindowTest, OnlyMemoryThatOthersSeeCanBeRegistered) {
  a_ = Make(file_.config());
  std::vector<char> ordinary(4096);
  EXPECT_EQ(Register(ordinary.data(), ordinary.size()), SLIPWAY_E_UNSUPPORTED);
  EXPECT_THAT(message(), HasSubstr("MAP_SHARED"));
  const Mapping copy(file_, 8 * kMiB, kMiB, MAP_PRIVATE);
  EXPECT_EQ(Register(copy.data(), kMiB), SLIPWAY_E_UNSUPPORTED) << "a private mapping is nobody else's";
  const WindowFile other;
  const Mapping elsewhere(other, 8 * kMiB, kMiB);
  EXPECT_EQ(Register(elsewhere.data(), kMiB), SLIPWAY_E_UNSUPPORTED) << "another file";
  const Mapping mine(file_, 8 * kMiB, kMiB);
  EXPECT_EQ(Register(mine.data() + kMiB - 4096, 8192), SLIPWAY_E_UNSUPPORTED) << "its end is not mapped";
  EXPECT_EQ(Register(mine.data(), kMiB), SLIPWAY_OK);
  slipway_mr* mr = nullptr;
  EXPECT_EQ(a_->TryRegister(ordinary.data(), 4096, SLIPWAY_ACCESS_LOCAL_READ, &mr), SLIPWAY_OK)
      << "for local use nothing is asked";
}

TEST_F(WindowTest, TwoMappingsThatContinueEachOtherAreOnePiece) {
  a_ = Make(file_.config());
  const Mapping room(file_, 8 * kMiB, 4 * kMiB);
  ASSERT_EQ(mprotect(room.data() + kMiB, kMiB, PROT_READ), 0);  // splits the mapping into three
  EXPECT_EQ(Register(room.data(), 4 * kMiB), SLIPWAY_OK);
  void* const swapped =
      mmap(room.data() + kMiB, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_.fd(), 20 * kMiB);
  ASSERT_EQ(swapped, room.data() + kMiB);
  EXPECT_EQ(Register(room.data(), 4 * kMiB), SLIPWAY_E_UNSUPPORTED) << "the middle lies elsewhere in the device";
  EXPECT_EQ(Register(room.data() + kMiB, kMiB), SLIPWAY_OK);
}

TEST_F(WindowTest, WhatTheTransportNeedsItselfIsNobodysSegment) {
  a_ = Make(file_.config());
  const Mapping boards(file_, 0, 12 * kMiB);
  EXPECT_EQ(Register(boards.data(), 12 * kMiB), SLIPWAY_E_INVALID);
  EXPECT_THAT(message(), HasSubstr("first 8 MiB"));
  EXPECT_EQ(Register(boards.data() + WindowFile::kBoards - 1, 2), SLIPWAY_E_INVALID);
  EXPECT_EQ(Register(boards.data() + WindowFile::kBoards, 4 * kMiB), SLIPWAY_OK);
}

TEST_F(WindowTest, ASecondWindowIsAllForSegments) {
  const WindowFile data(8 * kMiB);
  a_ = Make(R"({"windows": [{"device": ")" + file_.path() + R"("}, {"device": ")" + data.path() + R"("}]})");
  const Mapping all(data, 0, 8 * kMiB);
  EXPECT_EQ(Register(all.data(), 8 * kMiB), SLIPWAY_OK);
}

TEST_F(WindowTest, AnInstanceGivesOnlyOfItsOwnPart) {
  a_ = Make(R"({"windows": [{"device": ")" + file_.path() + R"(", "offset": "12MiB", "bytes": "4MiB"}]})");
  const Mapping all(file_, 8 * kMiB, 16 * kMiB);
  EXPECT_EQ(Register(all.data(), 4 * kMiB), SLIPWAY_E_INVALID);
  EXPECT_THAT(message(), HasSubstr("bytes 12582912 to 16777216"));
  EXPECT_EQ(Register(all.data() + 4 * kMiB, 4 * kMiB), SLIPWAY_OK);
  EXPECT_EQ(Register(all.data() + 4 * kMiB, 4 * kMiB + 1), SLIPWAY_E_INVALID);
  void* out = nullptr;
  EXPECT_EQ(extension().allocate(a_->instance(), 6 * kMiB, &out, &a_->error()), SLIPWAY_E_NOMEM)
      << "a window smaller than the segment";
  EXPECT_NE(a_->error().flags & SLIPWAY_ERR_RETRYABLE, 0u);
  EXPECT_EQ(extension().allocate(a_->instance(), 4 * kMiB, &out, &a_->error()), SLIPWAY_OK);
}

TEST_F(WindowTest, MemoryIsHandedOutOnceAndComesBack) {
  a_ = Make(file_.config());
  b_ = Make(file_.config());
  // 32 MiB in units of 2: sixteen, whoever asks.
  std::vector<std::pair<Node*, char*>> taken;
  for (int i = 0; i < 16; ++i) {
    Node& node = i % 3 == 0 ? *a_ : *b_;
    taken.emplace_back(&node, Allocate(node, 2 * kMiB - i));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(taken.back().second) % (2 * kMiB), 0u);
    std::memset(taken.back().second, i + 1, 2 * kMiB);
  }
  for (int i = 0; i < 16; ++i) EXPECT_EQ(taken[i].second[kMiB], i + 1) << "two were given the same memory";
  void* out = nullptr;
  EXPECT_EQ(extension().allocate(a_->instance(), 1, &out, &a_->error()), SLIPWAY_E_NOMEM);
  EXPECT_EQ(extension().release(a_->instance(), taken[0].second), SLIPWAY_OK);
  EXPECT_EQ(extension().release(a_->instance(), taken[0].second), SLIPWAY_E_INVALID);
  EXPECT_EQ(extension().release(a_->instance(), taken[1].second), SLIPWAY_E_INVALID) << "the other instance's";
  EXPECT_EQ(extension().release(a_->instance(), nullptr), SLIPWAY_OK);
  EXPECT_NE(Allocate(*b_, 2 * kMiB), nullptr);
  b_.reset();
  EXPECT_NE(Allocate(*a_, 2 * kMiB), nullptr) << "an instance's memory is free when it is gone";
}

TEST_F(WindowTest, BytesThatAnybodyLockedAreLeftAlone) {
  a_ = Make(file_.config());
  const int fd = open(file_.path().c_str(), O_RDWR | O_CLOEXEC);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_start = WindowFile::kBoards;
  lock.l_len = 5 * kMiB;
  ASSERT_EQ(fcntl(fd, F_OFD_SETLK, &lock), 0);
  std::strcpy(Allocate(*a_, 1), "here");
  close(fd);
  const Mapping all(file_, 0, 16 * kMiB);
  EXPECT_STREQ(all.data() + 14 * kMiB, "here");
}

TEST_F(WindowTest, AFileWithSomebodysDataIsNotTouched) {
  const Mapping all(file_, 0, 8 * kMiB);
  std::strcpy(all.data(), "important");
  EXPECT_THAT(Refusal(file_.config(), SLIPWAY_E_CONFIG), HasSubstr("must be zero"));
  EXPECT_STREQ(all.data(), "important");
  std::memset(all.data(), 0, 16);
  EXPECT_NE(Make(file_.config()), nullptr);
  EXPECT_NE(Make(file_.config()), nullptr) << "what instances leave is no obstacle to others";
}

TEST_F(WindowTest, WindowsThatCannotBeAreRefusedWithReasons) {
  const WindowFile small(2 * kMiB), odd(WindowFile::kBoards + 100);
  EXPECT_THAT(Refusal(small.config(), SLIPWAY_E_CONFIG), HasSubstr("8 MiB"));
  EXPECT_THAT(Refusal(odd.config(), SLIPWAY_E_DEVICE), HasSubstr("multiple of 4096"));
  EXPECT_THAT(Refusal(file_.config(R"("persistent": true)"), SLIPWAY_E_CONFIG), HasSubstr("ordinary file"));
  EXPECT_EQ(where_, "/persistent");
  const std::string window = "{\"device\": \"" + file_.path() + "\"}";
  EXPECT_THAT(Refusal("{\"windows\": [" + window + ", " + window + "]}", SLIPWAY_E_CONFIG), HasSubstr("twice"));
  EXPECT_EQ(where_, "/windows/1/device");
  EXPECT_THAT(Refusal(R"({"windows": [{"device": "dax77.0"}]})", SLIPWAY_E_DEVICE), HasSubstr("daxctl list"));
  Refusal("{}", SLIPWAY_E_CONFIG);
  EXPECT_EQ(where_, "/windows");
  Refusal(R"({"windows": [{"device": "x", "offfset": 1}]})", SLIPWAY_E_CONFIG);
  EXPECT_EQ(where_, "/windows/0/offfset");
}

TEST_F(WindowTest, ADeviceTakesSoManyInstancesAndNoMore) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (uint32_t i = 0; i < cxl::kBoards; ++i) nodes.push_back(Make(file_.config()));
  EXPECT_THAT(Refusal(file_.config(), SLIPWAY_E_BUSY), HasSubstr("in use by 128 instances"));
  nodes.pop_back();
  EXPECT_NE(Make(file_.config()), nullptr);
}

TEST_F(WindowTest, AnOrdinaryFileIsSaidLoudly) {
  a_ = Make(file_.config());
  EXPECT_THAT(a_->attrs().device, HasSubstr("ORDINARY FILE, NOT CXL"));
  EXPECT_THAT(host_.log(), testing::Contains(HasSubstr("no CXL memory")));
}

}  // namespace
}  // namespace slipway::test
