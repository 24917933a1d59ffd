#include "plugins/local-memcpy/memory.h"

#include <fcntl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace slipway::local_memcpy {
namespace {

// Field 22 of /proc/self/stat: clock ticks between boot and the start of this process. 0 where there is no /proc.
uint64_t StartTime() {
  char text[1024];
  const int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  // The second field is the program's name in parentheses, and may contain anything.
  const char* at = std::strrchr(text, ')');
  for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
  return at == nullptr ? 0 : std::strtoull(at, nullptr, 10);
}

// Which start of the system this is: the same in all of its containers, another on every other host.
Key BootId() {
  Key out{};
  char text[64] = {};
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  const ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  size_t digits = 0;
  for (ssize_t i = 0; i < n && digits < 2 * out.size(); ++i) {
    const char c = text[i];
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0) continue;
    out[digits / 2] = static_cast<unsigned char>(out[digits / 2] << 4 | value);
    ++digits;
  }
  return digits == 2 * out.size() ? out : Key{};
}

// FNV-1a (Fowler, Noll, Vo): notices damage on the way; secrecy is the key's part.
uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

class Writer {
 public:
  explicit Writer(std::string_view magic) : out_(magic) {}
  template <typename T>
  Writer& Put(const T& value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  std::string Finish() {
    Put(Checksum(out_));
    return std::move(out_);
  }

 private:
  std::string out_;
};

// Reads fields of bytes whose length and checksum were found right.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  Reader& Get(T& value) {
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
    return *this;
  }

 private:
  std::string_view bytes_;
};

bool Intact(std::string_view bytes, std::string_view magic, size_t size) {
  if (bytes.size() != size || !bytes.starts_with(magic)) return false;
  uint64_t sum = 0;
  std::memcpy(&sum, bytes.data() + size - sizeof(sum), sizeof(sum));
  return sum == Checksum(bytes.substr(0, size - sizeof(sum)));
}

constexpr std::string_view kAddressMagic = "SLWlmA02";
constexpr std::string_view kMrMagic = "SLWlmM02";

}  // namespace

bool Grant::Revoke(const sdk::Host& host, uint64_t deadline_ns) {
  state_.fetch_or(kRevoked, std::memory_order_acq_rel);
  while ((state_.load(std::memory_order_acquire) & ~kRevoked) != 0) {
    if (host.NowNs() > deadline_ns) {
      Reopen();
      return false;
    }
    std::this_thread::yield();  // a piece of a slice takes microseconds
  }
  return true;
}

uint64_t Endpoint::Add(std::shared_ptr<Grant> grant) {
  MutexLock lock(mutex_);
  grants_[next_registration_] = std::move(grant);
  return next_registration_++;
}
void Endpoint::Remove(uint64_t registration) {
  MutexLock lock(mutex_);
  grants_.erase(registration);
}
std::shared_ptr<Grant> Endpoint::Find(uint64_t registration) const {
  MutexLock lock(mutex_);
  const auto it = grants_.find(registration);
  return it == grants_.end() ? nullptr : it->second;
}

Key RandomKey() {
  Key key;
  for (size_t got = 0; got < key.size();) {
    const ssize_t n = getrandom(key.data() + got, key.size() - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw std::runtime_error("the system has no random numbers (getrandom failed)");
    got += static_cast<size_t>(n);
  }
  return key;
}

Process::Process() : id_{RandomKey(), static_cast<uint64_t>(getpid()), StartTime(), BootId()} {}

Process& Process::Get() {
  // Never destroyed: copying threads and late callers may outlive every static destructor.
  static std::atomic<Process*> current{nullptr};
  Process* seen = current.load(std::memory_order_acquire);
  while (seen == nullptr || seen->fork_guard_.forked()) {
    auto fresh = std::unique_ptr<Process>(new Process);
    if (current.compare_exchange_strong(seen, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  }
  return *seen;
}

std::shared_ptr<Endpoint> Process::Open() {
  const Key random = RandomKey();
  uint64_t id = 0;
  std::memcpy(&id, random.data(), sizeof(id));
  MutexLock lock(mutex_);
  while (id == 0 || endpoints_.contains(id)) ++id;
  return endpoints_[id] = std::make_shared<Endpoint>(id);
}
void Process::Close(const Endpoint& endpoint) {
  MutexLock lock(mutex_);
  endpoints_.erase(endpoint.id);
}
std::shared_ptr<Endpoint> Process::Find(uint64_t endpoint) const {
  MutexLock lock(mutex_);
  const auto it = endpoints_.find(endpoint);
  return it == endpoints_.end() ? nullptr : it->second;
}

std::string Encode(const AddressBlob& b) {
  return Writer(kAddressMagic).Put(b.process).Put(b.endpoint).Put(b.socket).Finish();
}
std::string Encode(const MrBlob& b) {
  return Writer(kMrMagic)
      .Put(b.process)
      .Put(b.endpoint)
      .Put(b.registration)
      .Put(b.length)
      .Put(uint64_t{b.access})
      .Put(static_cast<uint64_t>(b.reach))
      .Put(b.key)
      .Finish();
}
bool Decode(std::string_view bytes, AddressBlob& out) {
  if (!Intact(bytes, kAddressMagic, kAddressBytes)) return false;
  Reader(bytes.substr(kAddressMagic.size())).Get(out.process).Get(out.endpoint).Get(out.socket);
  return true;
}
bool Decode(std::string_view bytes, MrBlob& out) {
  if (!Intact(bytes, kMrMagic, kMrBytes)) return false;
  uint64_t access = 0, reach = 0;
  Reader(bytes.substr(kMrMagic.size()))
      .Get(out.process)
      .Get(out.endpoint)
      .Get(out.registration)
      .Get(out.length)
      .Get(access)
      .Get(reach)
      .Get(out.key);
  out.access = static_cast<uint32_t>(access);
  out.reach = static_cast<Grant::Reach>(reach);
  return out.length > 0 && access <= SLIPWAY_ACCESS_ALL && reach <= static_cast<uint64_t>(Grant::Reach::kShared);
}

}  // namespace slipway::local_memcpy
