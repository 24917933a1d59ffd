#include "core/config/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace slipway {
namespace {

Status Unusable(const std::string& path, const std::string& why) {
  return Status(SLIPWAY_E_CONFIG_FILE, path + ": " + why);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

Status CheckFile(const std::string& path, int fd) {
  struct stat file {};
  if (fstat(fd, &file) != 0) return Unusable(path, "cannot be looked at: " + std::string(std::strerror(errno)));
  if (!S_ISREG(file.st_mode)) return Unusable(path, "is not a regular file, expected one that holds the secret");
  if ((file.st_mode & 077) != 0) {
    std::array<char, 8> mode{};
    std::snprintf(mode.data(), mode.size(), "%03o", static_cast<unsigned>(file.st_mode & 0777));
    return Unusable(path, "others than its owner may use it (mode " + std::string(mode.data()) +
                              "), expected mode 600: run chmod 600 " + path);
  }
  return {};
}

}  // namespace

Result<std::string> ReadSecretFile(const std::string& path) {
  // Opened first and then looked at, so that it is the same file; not blocking, in case it is a pipe.
  const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return Unusable(path, "cannot be read: " + std::string(std::strerror(errno)));
  SLIPWAY_RETURN_IF_ERROR(CheckFile(path, fd.get()));

  std::string secret(kMaxSecretBytes + 3, '\0');  // the newline, and one byte to see that there is more
  size_t length = 0;
  while (length < secret.size()) {
    const ssize_t n = read(fd.get(), secret.data() + length, secret.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unusable(path, "cannot be read: " + std::string(std::strerror(errno)));
    if (n == 0) break;
    length += static_cast<size_t>(n);
  }
  secret.resize(length);
  if (!secret.empty() && secret.back() == '\n') {
    secret.pop_back();
    if (!secret.empty() && secret.back() == '\r') secret.pop_back();
  }
  if (secret.size() < kMinSecretBytes || secret.size() > kMaxSecretBytes) {
    const std::string found = secret.empty()                    ? "no secret"
                              : secret.size() > kMaxSecretBytes ? "more than " + std::to_string(kMaxSecretBytes)
                                                                : std::to_string(secret.size());
    return Status(SLIPWAY_E_CONFIG_VALUE, path + ": found " + found + (secret.empty() ? "" : " bytes") +
                                              ", expected a secret of " + std::to_string(kMinSecretBytes) + " to " +
                                              std::to_string(kMaxSecretBytes) +
                                              " bytes, such as openssl rand -hex 32 gives");
  }
  return secret;
}

}  // namespace slipway
