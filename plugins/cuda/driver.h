// libcuda.so.1, opened when an instance is made and never closed.
#ifndef SLIPWAY_PLUGINS_CUDA_DRIVER_H_
#define SLIPWAY_PLUGINS_CUDA_DRIVER_H_

#include <memory>
#include <string>

#include "plugins/cuda/driver_api.h"
#include "slipway/sdk/error.hpp"

namespace slipway::cuda {

// The driver's entries. Constant after Open(); as thread-safe as the driver is.
class Driver {
 public:
  // Opens `library` and initialises the driver. E_DEVICE with the reason where there is no driver, one that is too old,
  // or no device.
  static slipway_status Open(const std::string& library, std::shared_ptr<const Driver>& out, sdk::Error& err);

  int32_t version() const { return version_; }  // 1000 * major + 10 * minor
  int32_t device_count() const { return device_count_; }
  bool has_batch_copy() const { return MemcpyBatchAsync2 != nullptr || MemcpyBatchAsync != nullptr; }

  // "CUDA_ERROR_X (what it means)".
  std::string Describe(Result r) const;
  // What the result means for an operation.
  static slipway_status StatusOf(Result r);
  // Fills `err` with "WHAT: CUDA_ERROR_X (...)" and `advice`.
  slipway_status Fail(sdk::Error& err, Result r, const char* what, const char* advice = "") const;

#define SLIPWAY_CUDA_MEMBER(member, name, parameters) Result(*member) parameters = nullptr;
  SLIPWAY_CUDA_REQUIRED_ENTRIES(SLIPWAY_CUDA_MEMBER)
  SLIPWAY_CUDA_OPTIONAL_ENTRIES(SLIPWAY_CUDA_MEMBER)
#undef SLIPWAY_CUDA_MEMBER

 private:
  slipway_status Load(const std::string& library, sdk::Error& err);
  slipway_status Start(sdk::Error& err);

  int32_t version_ = 0, device_count_ = 0;
};

// Borrows the calling thread for calls of the driver: what the caller has of it, its current context and its mode of
// stream capture, is as it was when this goes, on every path.
//
// The mode of capture is relaxed meanwhile, since in any other mode calls of ours would invalidate a graph that the
// application captures, on this thread or another.
class ThreadGuard {
 public:
  // NULL: no context is needed.
  ThreadGuard(const Driver& driver, Context context) : driver_(driver) {
    driver_.ThreadExchangeStreamCaptureMode(&mode_);
    Use(context);
  }
  ~ThreadGuard() {
    Leave();
    driver_.ThreadExchangeStreamCaptureMode(&mode_);
  }
  ThreadGuard(const ThreadGuard&) = delete;
  ThreadGuard& operator=(const ThreadGuard&) = delete;

  // Makes another context the current one.
  void Use(Context context) {
    if (context == nullptr || context == current_) return;
    Leave();
    Context before = nullptr;
    if (driver_.CtxGetCurrent(&before) == kSuccess && before == context) return;
    if (driver_.CtxPushCurrent(context) == kSuccess) current_ = context;
  }

 private:
  void Leave() {
    if (current_ == nullptr) return;
    Context ours = nullptr;
    driver_.CtxPopCurrent(&ours);
    current_ = nullptr;
  }

  const Driver& driver_;
  int32_t mode_ = kCaptureModeRelaxed;  // then what the caller had
  Context current_ = nullptr;           // what is pushed
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_DRIVER_H_
