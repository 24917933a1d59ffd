// Runs the saved inputs, and some made of them, through the fuzz target: with any compiler, in every test run.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  size_t n = 0;
  std::mt19937 random(1);
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    if (bytes.empty()) continue;
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    for (int i = 0; i < 500; ++i) {
      std::string other = bytes;
      for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) {
        other[random() % other.size()] = static_cast<char>(random() % 256);
      }
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(other.data()), other.size());
    }
    ++n;
  }
  std::printf("%zu inputs\n", n);
  return n == 0 ? 1 : 0;
}
