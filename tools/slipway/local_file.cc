#include "tools/slipway/local_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tools/slipway/exit_code.h"

namespace slipway::cli {
namespace {

Status FileError(const std::string& path, const std::string& what, int error) {
  return {SLIPWAY_E_IO, path + ": " + what + ": " + std::strerror(error)};
}

// What a signal handler unlinks: written before its handlers are installed, empty when there is nothing.
std::array<char, PATH_MAX> doomed_path{};

void UnlinkAndDie(int signal_number) {
  if (doomed_path[0] != '\0') unlink(doomed_path.data());
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

Status UnlinkOnSignal(const std::string& path) {
  if (path.size() >= doomed_path.size()) return FileError(path, "cannot be created", ENAMETOOLONG);
  std::memcpy(doomed_path.data(), path.c_str(), path.size() + 1);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, UnlinkAndDie);
  return {};
}

// Takes the room on disk. File systems without preallocation get a file with holes.
Status Reserve(int fd, const std::string& path, uint64_t length) {
  if (length > static_cast<uint64_t>(INT64_MAX)) return FileError(path, "cannot be made that large", EFBIG);
  if (length == 0) return {};
  if (fallocate(fd, 0, 0, static_cast<off_t>(length)) == 0) return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS)
    return FileError(path, "no room for " + std::to_string(length) + " bytes", errno);
  if (ftruncate(fd, static_cast<off_t>(length)) != 0) return FileError(path, "cannot be made that large", errno);
  return {};
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

Result<Mapping> Mapping::Map(int fd, uint64_t length, int protection, int flags, const std::string& what) {
  if (length == 0) return Mapping();
  void* data = mmap(nullptr, length, protection, flags, fd, 0);
  if (data == MAP_FAILED) return FileError(what, "cannot map " + std::to_string(length) + " bytes", errno);
  return Mapping(static_cast<std::byte*>(data), length);
}

Result<Mapping> Mapping::OfFile(const std::string& path, bool writable) {
  const int fd = open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return FileError(path, "cannot be opened", errno);
  struct stat info {};
  Result<Mapping> mapping = Mapping();
  if (fstat(fd, &info) != 0) {
    mapping = FileError(path, "cannot be examined", errno);
  } else if (!S_ISREG(info.st_mode)) {
    mapping = Status(SLIPWAY_E_IO, path + ": not a regular file; only those can be mapped");
  } else {
    const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    mapping = Map(fd, static_cast<uint64_t>(info.st_size), protection, MAP_SHARED, path);
  }
  close(fd);
  return mapping;
}

Result<Mapping> Mapping::OfMemory(uint64_t length) {
  auto mapping = Map(-1, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, "memory");
  if (mapping.ok() && length != 0) madvise(mapping->data(), length, MADV_HUGEPAGE);  // harmless where it is refused
  return mapping;
}

Result<Mapping> Mapping::OfDescriptor(int fd, uint64_t length, const std::string& path) {
  return Map(fd, length, PROT_READ | PROT_WRITE, MAP_SHARED, path);
}

Result<TargetFile> TargetFile::Create(const std::string& path, uint64_t length) {
  struct stat info {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode))
    return Status(SLIPWAY_E_IO, path + ": exists and is not a regular file; name another");
  const std::string folder = FolderOf(path);
  TargetFile target(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666), path);
  if (target.fd_ < 0) {
    if (errno != EOPNOTSUPP && errno != EISDIR) return FileError(folder, "cannot create a file there", errno);
    target.temporary_ = path + ".part-XXXXXX";
    target.fd_ = mkostemp(target.temporary_.data(), O_CLOEXEC);
    if (target.fd_ < 0) {
      target.temporary_.clear();
      return FileError(folder, "cannot create a file there", errno);
    }
    SLIPWAY_RETURN_IF_ERROR(UnlinkOnSignal(target.temporary_));
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(target.fd_, 0666 & ~mask);
  }
  if (exists) fchmod(target.fd_, info.st_mode & 07777);
  SLIPWAY_RETURN_IF_ERROR(Reserve(target.fd_, path, length));
  auto mapping = Mapping::OfDescriptor(target.fd_, length, path);
  if (!mapping.ok()) return mapping.status();
  target.mapping_ = std::move(*mapping);
  return target;
}

TargetFile::TargetFile(TargetFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      mapping_(std::move(other.mapping_)) {}

TargetFile::~TargetFile() {
  if (fd_ >= 0) close(fd_);
  if (temporary_.empty()) return;
  unlink(temporary_.c_str());
  doomed_path[0] = '\0';
}

Status TargetFile::Commit() {
  if (temporary_.empty()) {
    // A nameless file can only take a free name, and then that name replaces the old file's in one step.
    const std::string self = "/proc/self/fd/" + std::to_string(fd_);
    std::string name = path_ + ".part-" + std::to_string(getpid());
    SLIPWAY_RETURN_IF_ERROR(UnlinkOnSignal(name));
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      doomed_path[0] = '\0';
      return FileError(name, "cannot be created", errno);
    }
    temporary_ = std::move(name);
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return FileError(path_, "cannot be replaced", errno);
  temporary_.clear();
  doomed_path[0] = '\0';
  return {};
}

void ExplainBusErrors() {
  struct sigaction action {};
  action.sa_handler = [](int) {
    constexpr char kText[] = "slipway: E_IO: a mapped file became shorter while it was in use (or its disk failed)\n";
    (void)!write(STDERR_FILENO, kText, sizeof(kText) - 1);
    _exit(kExitFile);
  };
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace slipway::cli
