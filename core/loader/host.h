// The table of functions that the core lends to one instance of a plugin.
#ifndef SLIPWAY_CORE_LOADER_HOST_H_
#define SLIPWAY_CORE_LOADER_HOST_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "slipway/abi/host.h"

namespace slipway {

class CopyService;
class HostPins;

// What stands behind the table. Every function is called from any thread, must not block, and must not throw.
class HostServices {
 public:
  virtual ~HostServices() = default;
  virtual LogLevel log_level() const = 0;
  virtual void Log(LogLevel level, std::string_view message) = 0;
  virtual uint64_t NowNs() const = 0;
  virtual bool PinCharge(uint64_t bytes) = 0;  // false: over the budget, nothing was charged
  virtual void PinUncharge(uint64_t bytes) = 0;
  virtual void Wake(void* channel_cookie) = 0;
  virtual const void* GetExtension(std::string_view /*id*/) { return nullptr; }
  // Behind the extension "slipway.copy/1", where that is offered.
  virtual CopyService* Copies() { return nullptr; }
  virtual HostPins* Pins() { return nullptr; }  // null: nothing is pinned for transports
};

// The services of an engine that has a logger and a clock, for one instance: messages begin with its name. Pinning is
// unlimited and waking does nothing, until a derived class says otherwise. Borrows the logger and the clock.
class BasicHostServices : public HostServices {
 public:
  BasicHostServices(std::string instance_name, Logger& logger, const Clock& clock)
      : prefix_(std::move(instance_name) + ": "), logger_(logger), clock_(clock) {}
  LogLevel log_level() const override { return logger_.level(); }
  void Log(LogLevel level, std::string_view message) override;
  uint64_t NowNs() const override { return clock_.NowNs(); }
  bool PinCharge(uint64_t /*bytes*/) override { return true; }
  void PinUncharge(uint64_t /*bytes*/) override {}
  void Wake(void* /*channel_cookie*/) override {}

 private:
  const std::string prefix_;
  Logger& logger_;
  const Clock& clock_;
};

// Must outlive every instance that was created with its table, and so must the services. Thread-safe.
class HostTable {
 public:
  explicit HostTable(HostServices& services);
  HostTable(const HostTable&) = delete;
  HostTable& operator=(const HostTable&) = delete;

  const slipway_host* table() const { return &table_; }

 private:
  slipway_host table_;
};

// What slipway_host.alloc and dealloc do; also for the core's own buffers. Memory is zeroed, `align` is a power of two.
// `numa` -1: anywhere; otherwise the pages of larger allocations come from near that node where the system has it. NULL
// when there is no memory. FreeNear is told the same size.
void* AllocNear(size_t size, size_t align, int32_t numa);
void FreeNear(void* p, size_t size);

}  // namespace slipway

#endif  // SLIPWAY_CORE_LOADER_HOST_H_
