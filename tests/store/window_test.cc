// Segments in memory that a transport has for them: windows of CXL memory, here an ordinary file that everyone maps.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/store/fixture.h"
#include "tests/store/ways.h"

namespace slipway {
namespace {

class WindowTest : public testing::Test {
 protected:
  static constexpr uint64_t kWindowBytes = 64 * kMiB;

  void SetUp() override {
    const std::filesystem::path plugins = std::getenv("SLIPWAY_TEST_PLUGIN_DIR");
    if (!std::filesystem::exists(plugins / "libslipway-cxl.so")) GTEST_SKIP() << "the cxl plugin was not built";
    ASSERT_GE(fd_, 0);
    ASSERT_EQ(ftruncate(fd_, kWindowBytes), 0);
    Json json = StoreConfiguration(0, {cxl()});
    home_ = MakeStore(json);
    json["store"].erase("bytes");
    json["store"]["connect"] = *home_.ControlAddress();
    json["control"]["listen"] = "";
    client_ = MakeStore(json);
  }
  void TearDown() override {
    client_ = Store();
    home_ = Store();
    close(fd_);
    unlink(path_.c_str());
  }
  Json cxl() const { return Use("cxl", {{"windows", {{{"device", path_}}}}}); }
  bool FileHolds(std::string_view bytes) const {
    std::ostringstream all;
    all << std::ifstream(path_, std::ios::binary).rdbuf();
    return all.str().find(bytes) != std::string::npos;
  }

  std::string path_ = testing::TempDir() + "slipway-window-XXXXXX";
  const int fd_ = mkstemp(path_.data());
  Store home_, client_;
};

TEST_F(WindowTest, ValuesLieInTheWindowAndPeersTakeThemFromThere) {
  ASSERT_TRUE(home_.MountSegment("w", {.length = 16 * kMiB, .transport = "cxl"}).ok());
  const Bytes ours = Pattern(100'000, 1), theirs = Pattern(100'000, 2);
  CopyCounts before = CountsOf(home_);
  ASSERT_TRUE(home_.Put("ours", ours).ok());
  EXPECT_EQ((CountsOf(home_) - before).store, 1u) << "straight into the window";
  before = CountsOf(client_);
  ASSERT_TRUE(client_.Put("theirs", theirs).ok());
  EXPECT_EQ((CountsOf(client_) - before).staged_bytes, 0u);
  EXPECT_EQ((CountsOf(client_) - before).store, 0u);
  EXPECT_TRUE(FileHolds(AsText(ours)) && FileHolds(AsText(theirs)));
  for (const Store* store : {&home_, &client_}) {
    EXPECT_EQ(Read(*store, "ours"), AsText(ours));
    EXPECT_EQ(Read(*store, "theirs"), AsText(theirs));
  }
  EXPECT_FALSE(home_.GetBuffer("theirs")->is_copy());
  ASSERT_TRUE(home_.UnmountSegment("w", 10'000).ok());
  EXPECT_EQ(Read(client_, "ours"), "[E_NOT_FOUND]");
}

TEST_F(WindowTest, TheConfigurationNamesTheTransportToo) {
  Json json = StoreConfiguration(0, {cxl()});
  json["store"]["segments"] = {{{"name", "w"}, {"bytes", "4MiB"}, {"transport", "cxl"}}};
  const Store store = MakeStore(json);
  const Bytes value = Pattern(50'000, 4);
  ASSERT_TRUE(store.Put("k", value).ok());
  EXPECT_TRUE(FileHolds(AsText(value)));
  for (const Json& wrong : {Json{{"name", "w"}, {"bytes", "4MiB"}, {"transport", "tcp"}},
                            Json{{"name", "w"}, {"bytes", "4MiB"}, {"transport", "cxl"}, {"file", path_}},
                            Json{{"name", "w"}, {"transport", "cxl"}}}) {
    json["store"]["segments"] = {wrong};
    EXPECT_EQ(Store::FromJson(json.dump()).status().code(), SLIPWAY_E_CONFIG_CONFLICT) << wrong;
  }
  json["store"]["segments"] = {{{"name", "w"}, {"bytes", "1GiB"}, {"transport", "cxl"}}};
  const Status large = Store::FromJson(json.dump()).status();
  EXPECT_EQ(large.code(), SLIPWAY_E_NOMEM);
  EXPECT_THAT(large.message(), testing::HasSubstr("store.segments"));
}

TEST_F(WindowTest, WhatIsUnmountedIsGivenBack) {
  for (int round = 0; round < 5; ++round) {
    const Status status = home_.MountSegment("w", {.length = 40 * kMiB, .transport = "cxl"});
    ASSERT_TRUE(status.ok()) << round << ": " << status.message();
    EXPECT_EQ(home_.MountSegment("more", {.length = 40 * kMiB, .transport = "cxl"}).code(), SLIPWAY_E_NOMEM);
    EXPECT_EQ(home_.MountSegment("w", {.length = 4 * kMiB, .transport = "cxl"}).code(), SLIPWAY_E_SEGMENT_EXISTS);
    ASSERT_TRUE(client_.Put("k", "value").ok());
    EXPECT_EQ(Read(home_, "k"), "value");
    ASSERT_TRUE(home_.UnmountSegment("w", 10'000).ok());
  }
}

TEST_F(WindowTest, WhereTheMemoryComesFromIsSaidOnceAndHasToBeThere) {
  EXPECT_EQ(home_.MountSegment("w", {.length = kMiB, .transport = "tcp"}).code(), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(home_.MountSegment("w", {.length = 0, .transport = "cxl"}).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(home_.MountSegment("w", {.length = kMiB, .file = path_, .transport = "cxl"}).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(home_.MountSegment("w", {.length = kMiB, .address = this, .transport = "cxl"}).code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(client_.MountSegment("w", {.length = kMiB, .transport = "cxl"}).code(), SLIPWAY_E_UNSUPPORTED);
  ASSERT_TRUE(home_.MountSegment("w", {.length = kMiB, .transport = "cxl"}).ok());
}

// The other transport that has memory for segments.
TEST_F(WindowTest, SharedMemoryOfThisHostIsSuchAWindowToo) {
  const Store store = MakeStore(StoreConfiguration(0, {Use("local-memcpy")}));
  ASSERT_TRUE(store.MountSegment("w", {.length = kMiB, .transport = "local-memcpy"}).ok());
  ASSERT_TRUE(store.Put("k", "value").ok());
  EXPECT_EQ(Read(store, "k"), "value");
}

TEST_F(WindowTest, MemoryThatTheEngineAllocatedCanBeMountedByItsAddress) {
  const Result<Engine> engine = Engine::FromJson(StoreConfiguration(0, {cxl()}).dump());
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  Result<Memory> memory = engine->Allocate(4 * kMiB, {.transport = "cxl"});
  ASSERT_TRUE(memory.ok()) << memory.status().message();
  {
    const Result<Store> store = Store::Open(*engine);
    ASSERT_TRUE(store.ok()) << store.status().message();
    ASSERT_TRUE(store->MountSegment("w", {.length = memory->size(), .address = memory->data()}).ok());
    const Bytes value = Pattern(50'000, 3);
    ASSERT_TRUE(store->Put("k", value).ok());
    EXPECT_TRUE(FileHolds(AsText(value)));
    EXPECT_EQ(memory->Free().code(), SLIPWAY_E_REGION_BUSY);
    ASSERT_TRUE(store->UnmountSegment("w", 10'000).ok());
  }
  EXPECT_TRUE(memory->Free().ok());
}

// File-backed segments keep what is written in the file.
TEST_F(WindowTest, ASegmentMayLieInAFileOfItsOwn) {
  const std::string file = path_ + "-segment";
  const Store store = MakeStore(StoreConfiguration(0, {Use("local-memcpy")}));
  ASSERT_TRUE(store.MountSegment("f", {.length = kMiB, .file = file}).ok());
  EXPECT_EQ(std::filesystem::file_size(file), kMiB);
  ASSERT_TRUE(store.Put("k", "what a segment in a file holds").ok());
  ASSERT_TRUE(store.UnmountSegment("f", 10'000).ok());
  std::ostringstream all;
  all << std::ifstream(file, std::ios::binary).rdbuf();
  EXPECT_NE(all.str().find("what a segment in a file holds"), std::string::npos);
  unlink(file.c_str());
}

}  // namespace
}  // namespace slipway
