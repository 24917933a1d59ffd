// The saved inputs of the fuzz targets.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/control/targets.h"

namespace slipway {
namespace {

using Target = void (*)(const uint8_t* data, size_t size);

size_t RunAll(const std::string& folder, Target target) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(SLIPWAY_CORPUS_DIR) + "/" + folder)) {
    SCOPED_TRACE(entry.path());
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    // A copy of exactly the size, so that reading past the end is seen.
    const std::vector<uint8_t> data(text.begin(), text.end());
    target(data.data(), data.size());
    ++files;
  }
  return files;
}

TEST(Corpus, OfOpenRequestsRuns) { EXPECT_GT(RunAll("open_request", FuzzOpenRequest), 10u); }
TEST(Corpus, OfDescriptorsRuns) { EXPECT_GT(RunAll("descriptor", FuzzDescriptor), 10u); }
TEST(Corpus, OfRepliesRuns) { EXPECT_GE(RunAll("reply", FuzzReply), 5u); }
TEST(Corpus, OfHeadsRuns) { EXPECT_GE(RunAll("head", FuzzHead), 10u); }

}  // namespace
}  // namespace slipway
