// What strangers name by a number: the number is random, so that knowing one says nothing about another.
#ifndef SLIPWAY_SDK_KEY_TABLE_HPP_
#define SLIPWAY_SDK_KEY_TABLE_HPP_

#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

#include "slipway/sdk/mutex.hpp"

namespace slipway::sdk {

// Unguessable, and never 0. Throws std::system_error where the system has no random numbers.
inline uint64_t RandomKey() {
  uint64_t key = 0;
  while (key == 0) {
    if (getrandom(&key, sizeof(key), 0) == sizeof(key)) continue;
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "getrandom");
    key = 0;
  }
  return key;
}

// Shared objects by random key. Who found one keeps it alive, also after it was removed here. Thread-safe. A T has a
// `uint64_t key`, which the table sets.
template <typename T>
class KeyTable {
 public:
  // Gives the object its key. Throws std::bad_alloc, or as RandomKey() does; nothing was added then.
  void Add(const std::shared_ptr<T>& object) {
    MutexLock lock(mutex_);
    do {
      object->key = RandomKey();
    } while (!objects_.try_emplace(object->key, object).second);
  }
  // NULL for a key that is not, or no longer, there.
  std::shared_ptr<T> Find(uint64_t key) const {
    MutexLock lock(mutex_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : found->second;
  }
  // What is not there stays so.
  void Remove(uint64_t key) {
    MutexLock lock(mutex_);
    objects_.erase(key);
  }

 private:
  mutable Mutex mutex_;
  std::map<uint64_t, std::shared_ptr<T>> objects_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_KEY_TABLE_HPP_
