// Serves this node's store to clients in other processes, one connection a thread.
#ifndef SLIPWAY_CORE_STORE_HOST_H_
#define SLIPWAY_CORE_STORE_HOST_H_

#include <memory>
#include <set>
#include <string>

#include "core/control/channel.h"
#include "core/store/leases.h"
#include "core/store/local_directory.h"
#include "core/store/session.h"

namespace slipway {

struct HostOptions {
  SessionOptions session;
  uint64_t max_clients = 64;
  uint64_t max_message_bytes = 4u << 20;
  uint64_t request_timeout_ns = 5'000'000'000;  // of one message, from first byte to last, and one answer
  uint64_t idle_timeout_ns = 60'000'000'000;    // between two messages
  uint64_t write_grace_ns = 10'000'000'000;     // how long past its time a transfer may still write
};

// Thread-safe.
class StoreHost {
 public:
  StoreHost(std::shared_ptr<LocalDirectory> directory, const HostOptions& options, Counters& counters,
            const Clock& clock);
  ~StoreHost();  // Close()

  // Answers messages until the connection ends, breaks the protocol, or Close. `received`: what arrived already.
  void Serve(Channel& channel, std::string received) SLIPWAY_EXCLUDES(mutex_);
  // Ends every connection, and returns when all have; what their clients held is taken back.
  void Close() SLIPWAY_EXCLUDES(mutex_);

 private:
  bool Enter(Channel& channel) SLIPWAY_EXCLUDES(mutex_);
  void Leave(Channel& channel) SLIPWAY_EXCLUDES(mutex_);
  bool ReadMessage(Channel& channel, std::string* received, std::string* message);

  const std::shared_ptr<LocalDirectory> directory_;
  const HostOptions options_;
  Counters& counters_;
  const Clock& clock_;
  Leases leases_;
  Mutex mutex_;
  CondVar left_;
  bool closed_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::set<Channel*> channels_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_HOST_H_
