#include "plugins/cuda/instance.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "plugins/cuda/queue.h"
#include "plugins/cuda/unpinning.h"

namespace slipway::cuda {
namespace {

// How long destroying waits for copies that were submitted and not polled.
constexpr uint64_t kDrainNs = 2'000'000'000;

struct CudaPin final : sdk::HostPin {};

}  // namespace

CudaInstance::CudaInstance(sdk::Host host, const Config& config, std::shared_ptr<const Driver> driver)
    : sdk::ProviderInstance(host, SLIPWAY_MEM_CUDA),
      config_(config),
      driver_(std::move(driver)),
      ring_(*driver_, host, config_),
      copiers_(*driver_, host, config_, ring_, counters_),
      ipc_(*driver_, devices_) {}

slipway_status CudaInstance::Start(sdk::Error& err) {
  for (int32_t i = 0; i < driver_->device_count(); ++i) {
    devices_.push_back(std::make_unique<Device>(*driver_, i));
    if (const slipway_status s = devices_.back()->Open(err); s != SLIPWAY_OK) return s;
  }
  // One that the process uses already, since making a context on another takes a second and hundreds of megabytes.
  const auto used = std::find_if(devices_.begin(), devices_.end(), [](const auto& d) { return d->Active(); });
  home_ = used != devices_.end() ? used->get() : devices_.front().get();
  Context context = nullptr;
  {
    const ThreadGuard guard(*driver_, nullptr);
    if (const slipway_status s = home_->Use(context, err); s != SLIPWAY_OK) return s;
  }
  if (home_->kernel() == nullptr && host().LogEnabled(SLIPWAY_LOG_INFO)) {
    host().Log(SLIPWAY_LOG_INFO, "cuda: many small pieces are copied without a kernel: " + home_->why_no_kernel());
  }
  std::string why;
  ring_.Open(context, home_->numa_node(), why);
  if (!why.empty()) {
    host().Log(SLIPWAY_LOG_WARNING, "cuda: no pinned ring, so copies to and from pageable memory are slow: " + why +
                                        "; lower \"ring_bytes\" or raise the pin budget");
  }
  try {
    copiers_.Start();
  } catch (const std::system_error& e) {
    return err.FailRetryable(SLIPWAY_E_NOMEM, "the system refuses another thread: lower \"copy_threads\"",
                             "/copy_threads", e.code().value());
  }
  return SLIPWAY_OK;
}

void CudaInstance::Stop() noexcept {
  if (!copiers_.Drain(kDrainNs)) {
    ring_.Abandon();
    host().Log(SLIPWAY_LOG_ERROR,
               "cuda: destroyed with copies that do not end; their memory stays pinned until the process ends");
  }
  copiers_.Stop();
}

slipway_status CudaInstance::Classify(const void* addr, uint64_t, slipway_mem_info& out) {
  const ThreadGuard guard(*driver_, nullptr);
  if (ClassifyAddress(*driver_, addr, out)) out.mem_kind = SLIPWAY_MEM_CUDA;
  return SLIPWAY_OK;
}

slipway_status CudaInstance::OpenQueue(void* cookie, std::unique_ptr<sdk::CopyQueue>& out, sdk::Error& err) {
  auto queue = std::make_unique<CudaQueue>(*this, cookie);
  if (const slipway_status s = queue->Open(err); s != SLIPWAY_OK) return s;
  out = std::move(queue);
  return SLIPWAY_OK;
}

// ---- pinning -----------------------------------------------------------------------------------------------------

slipway_status CudaInstance::PinHost(void* addr, uint64_t length, std::unique_ptr<sdk::HostPin>& out, sdk::Error& err) {
  auto pin = std::make_unique<CudaPin>();
  const ThreadGuard guard(*driver_, home_->context());
  const Result r = driver_->MemHostRegister(addr, length, kHostRegisterPortable | kHostRegisterDevicemap);
  if (r == kSuccess) {
    Count(counters_.pins);
    Count(counters_.pinned_bytes, length);
    pins_.Add(reinterpret_cast<uintptr_t>(addr), length);
    out = std::move(pin);
    return SLIPWAY_OK;
  }
  Count(counters_.pins_refused);
  const std::string why = "cuMemHostRegister: " + driver_->Describe(r) + "; ";
  switch (r) {
    case kErrorHostMemoryAlreadyRegistered:
      return err.Fail(SLIPWAY_E_BUSY, why + "the application has pinned a part of the range itself: leave it to that",
                      {}, r);
    case kErrorOutOfMemory:
    case kErrorOperatingSystem:
    case kErrorNotPermitted:
      return err.FailRetryable(SLIPWAY_E_PIN_LIMIT, why + "pin less, or raise what the system lets this process lock",
                               {}, r);
    case kErrorInvalidValue:
      return err.Fail(SLIPWAY_E_INVALID, why + "the range is not mapped, or of a kind that cannot be pinned", {}, r);
    default:
      return err.Fail(Driver::StatusOf(r), why + "copies go through the ring meanwhile", {}, r);
  }
}

slipway_status CudaInstance::UnpinHost(sdk::HostPin& pin, sdk::Error& err) {
  const ThreadGuard guard(*driver_, home_->context());
  const DeviceAddress delta = RunCache(*driver_, pins_).FindHost(pin.start(), 1).delta;
  Result r = kSuccess;
  const bool idle = Unpinning::Get().Run(pin.start(), pin.length(), delta,
                                         [&] { r = driver_->MemHostUnregister(reinterpret_cast<void*>(pin.start())); });
  if (!idle) return err.FailRetryable(SLIPWAY_E_BUSY, "copies in flight use the memory: unpin it when they are done");
  // Somebody else has unregistered it, or the driver is gone as the process ends: it is not pinned any more.
  if (r != kSuccess && r != kErrorHostMemoryNotRegistered && r != kErrorDeinitialized) {
    return driver_->Fail(err, r, "cuMemHostUnregister");
  }
  pins_.Remove(pin.start());
  counters_.pinned_bytes.fetch_sub(pin.length(), std::memory_order_relaxed);
  return SLIPWAY_OK;
}

// ---- handles -----------------------------------------------------------------------------------------------------

slipway_status CudaInstance::ExportDmabuf(const void* addr, uint64_t length, int& fd, uint64_t& offset,
                                          sdk::Error& err) {
  slipway_mem_info info{};
  const ThreadGuard guard(*driver_, home_->context());
  if (!ClassifyAddress(*driver_, addr, info) || info.base == nullptr) {
    return err.Fail(SLIPWAY_E_INVALID, "export_dmabuf: no memory of a device");
  }
  const auto start = reinterpret_cast<uintptr_t>(addr), base = reinterpret_cast<uintptr_t>(info.base);
  if (length > info.size - (start - base))
    return err.Fail(SLIPWAY_E_RANGE, "export_dmabuf: beyond the allocation's end");
  if (info.device_ordinal < 0 || info.device_ordinal >= device_count() ||
      !device(info.device_ordinal).exports_dmabuf()) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "export_dmabuf: the driver or the kernel has no DMA-BUFs of this device");
  }
  // The driver takes whole pages of the host; an allocation begins and ends at one.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t from = start / page * page, to = (start + length + page - 1) / page * page;
  int handle = -1;
  const Result r = driver_->MemGetHandleForAddressRange(&handle, from, to - from, kRangeHandleDmabuf, 0);
  if (r != kSuccess) return driver_->Fail(err, r, "cuMemGetHandleForAddressRange");
  fcntl(handle, F_SETFD, FD_CLOEXEC);
  fd = handle;
  offset = start - from;
  return SLIPWAY_OK;
}

}  // namespace slipway::cuda
