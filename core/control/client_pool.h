// Connections that a client keeps for later requests.
#ifndef SLIPWAY_CORE_CONTROL_CLIENT_POOL_H_
#define SLIPWAY_CORE_CONTROL_CLIENT_POOL_H_

#include <list>
#include <memory>
#include <string>

#include "core/base/clock.h"
#include "core/control/channel.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

// Thread-safe.
class ClientPool {
 public:
  static constexpr size_t kMaxPerNode = 4;
  static constexpr size_t kMaxIdle = 64;
  static constexpr uint64_t kMaxIdleNs = 20'000'000'000;  // well below what servers allow by default

  explicit ClientPool(const Clock& clock) : clock_(clock) {}

  // Null when there is none that is still good.
  std::unique_ptr<Channel> Take(const std::string& node);
  // Closes what exceeds the limits, the longest idle first.
  void Put(const std::string& node, std::unique_ptr<Channel> channel);
  size_t size() const;

 private:
  struct Idle {
    std::string node;
    std::unique_ptr<Channel> channel;
    uint64_t since_ns;
  };

  const Clock& clock_;
  mutable Mutex mutex_;
  std::list<Idle> idle_ SLIPWAY_GUARDED_BY(mutex_);  // the longest idle first
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_CLIENT_POOL_H_
