#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/control/descriptor.h"

namespace slipway {
namespace {

std::string ReadLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Field 22 of proc(5) stat. The second field is the program's name, which may hold anything: count after its last ')'.
uint64_t StartTime() {
  const std::string stat = ReadLine("/proc/self/stat");
  const size_t close = stat.rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream fields(stat.substr(close + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  uint64_t ticks = 0;
  std::from_chars(field.data(), field.data() + field.size(), ticks);
  return ticks;
}

std::array<unsigned char, 16> RandomBytes() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) bytes.fill(0);
  return bytes;
}

std::string Hex(const unsigned char* bytes, size_t count) {
  constexpr char kHexDigits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += kHexDigits[bytes[i] >> 4];
    out += kHexDigits[bytes[i] & 15];
  }
  return out;
}

}  // namespace

ProcessIdentity CurrentProcess() {
  // The random part is inherited by a forked child; hashed together with pid and start time it still differs there.
  static const std::array<unsigned char, 16> kRandom = RandomBytes();
  ProcessIdentity process;
  process.boot_id = ReadLine("/proc/sys/kernel/random/boot_id");
  process.pid = static_cast<uint64_t>(getpid());
  process.start_time = StartTime();
  std::string seed(reinterpret_cast<const char*>(kRandom.data()), kRandom.size());
  seed += " " + std::to_string(process.pid) + " " + std::to_string(process.start_time);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int digest_bytes = 0;
  if (EVP_Digest(seed.data(), seed.size(), digest.data(), &digest_bytes, EVP_sha256(), nullptr) != 1) return {};
  process.process_nonce = Hex(digest.data(), 16);
  return process;
}

}  // namespace slipway
