// Local files as memory: one that is read, and one that comes to exist only when it is whole.
#ifndef SLIPWAY_TOOLS_SLIPWAY_LOCAL_FILE_H_
#define SLIPWAY_TOOLS_SLIPWAY_LOCAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "slipway/status.hpp"

namespace slipway::cli {

// A range of mapped memory. Move-only owner; not thread-safe.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // A regular file, whole. An empty one has no memory and is fine. `writable`: stores reach the file.
  static Result<Mapping> OfFile(const std::string& path, bool writable);
  // `length` zero bytes that no file backs, > 0.
  static Result<Mapping> OfMemory(uint64_t length);
  // `length` bytes of `fd`, from its start, for reading and writing; the mapping outlives the descriptor.
  static Result<Mapping> OfDescriptor(int fd, uint64_t length, const std::string& path);

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  Mapping(std::byte* data, uint64_t size) : data_(data), size_(size) {}
  static Result<Mapping> Map(int fd, uint64_t length, int protection, int flags, const std::string& what);

  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

// A file that will be called `path` once it is whole. Until Commit it has no name where the file system can do that
// (O_TMPFILE), otherwise a temporary one beside `path` that is removed on destruction and by SIGINT, SIGTERM and
// SIGHUP. One of these a process, at most.
class TargetFile {
 public:
  // Takes the space for `length` bytes first, so that a full disk is an error here and not a signal later.
  static Result<TargetFile> Create(const std::string& path, uint64_t length);
  TargetFile(TargetFile&& other) noexcept;
  TargetFile& operator=(TargetFile&&) = delete;
  ~TargetFile();

  const Mapping& mapping() const { return mapping_; }
  // Gives the file its name; one that had it before is replaced, and keeps its permissions.
  Status Commit();

 private:
  TargetFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
  std::string temporary_;  // empty: the file has no name yet
  Mapping mapping_;
};

// Makes a mapped file that shrinks under the process a message and exit status instead of a core dump.
void ExplainBusErrors();

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_LOCAL_FILE_H_
