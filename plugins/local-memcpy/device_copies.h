// Slices of which one side at least is memory that the CPU cannot touch: the host has them copied, once, straight from
// where they are to where they go.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_DEVICE_COPIES_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_DEVICE_COPIES_H_

#include <memory>
#include <vector>

#include "plugins/local-memcpy/progress.h"
#include "slipway/sdk/host_copier.hpp"

namespace slipway::local_memcpy {

// Those of one channel. Ops go through here from Submit() until they are in a `done` list. Thread-safe.
class DeviceCopies {
 public:
  static slipway_status Open(const sdk::Host& host, void* cookie, std::unique_ptr<DeviceCopies>& out, sdk::Error& err);
  explicit DeviceCopies(std::unique_ptr<sdk::HostCopier> copier) : copier_(std::move(copier)) {}

  // Takes all of `ops`.
  void Submit(OpList& ops, OpList& done) SLIPWAY_EXCLUDES(mutex_);
  void Poll(OpList& done) SLIPWAY_EXCLUDES(mutex_);
  // Ends what has not begun as CANCELED: the op with that token, or (NULL) all of them.
  void Cancel(const uint64_t* token, OpList& done) SLIPWAY_EXCLUDES(mutex_);
  bool idle() SLIPWAY_EXCLUDES(mutex_);
  // What has begun and does not end: its memory is given up, so that nobody waits for it for ever.
  void Abandon() SLIPWAY_EXCLUDES(mutex_);

 private:
  void SubmitWaiting(OpList& done) SLIPWAY_REQUIRES(mutex_);
  void End(Op& op, slipway_status status, OpList& done) SLIPWAY_REQUIRES(mutex_);

  Mutex mutex_;
  const std::unique_ptr<sdk::HostCopier> copier_;
  OpList waiting_ SLIPWAY_GUARDED_BY(mutex_), flying_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_DEVICE_COPIES_H_
