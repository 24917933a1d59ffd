#include "plugins/rdma-verbs/memory.h"

#include <sys/resource.h>

#include <cerrno>

namespace slipway::rdma {
namespace {

constexpr uint64_t kOwnBits = (uint64_t{1} << 30) - 1;

bool BoundByMemlock(uint64_t bytes) {
  rlimit limit{};
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur / 2;
}

slipway_status Refused(int error, const slipway_range& range, const std::string& device, sdk::Error& err) {
  const std::string what = "cannot register " + std::to_string(range.length) + " bytes: ";
  switch (error) {
    case ENOMEM:
    case EAGAIN:
      if (BoundByMemlock(range.length)) {
        return err.FailRetryable(SLIPWAY_E_PIN_LIMIT,
                                 what +
                                     "RLIMIT_MEMLOCK does not let this process pin so much (ulimit -l); raise it, "
                                     "or give it CAP_IPC_LOCK",
                                 device, error);
      }
      return err.FailRetryable(SLIPWAY_E_NOMEM, what + "no memory, or RLIMIT_MEMLOCK (ulimit -l) is reached", device,
                               error);
    case EFAULT:
      return err.Fail(SLIPWAY_E_INVALID, what + "the range is not mapped, or not for this access", device, error);
    case EOPNOTSUPP:
      return err.Fail(SLIPWAY_E_UNSUPPORTED, what + "the driver cannot register this kind of memory", device, error);
    default:
      return err.Fail(SLIPWAY_E_IO, what + ErrnoText(error), device, error);
  }
}

}  // namespace

unsigned VerbsAccess(uint32_t access, const Config& config) {
  unsigned out = 0;
  if (access & (SLIPWAY_ACCESS_LOCAL_WRITE | SLIPWAY_ACCESS_REMOTE_WRITE)) out |= IBV_ACCESS_LOCAL_WRITE;
  if (access & SLIPWAY_ACCESS_REMOTE_READ) out |= IBV_ACCESS_REMOTE_READ;
  if (access & SLIPWAY_ACCESS_REMOTE_WRITE) out |= IBV_ACCESS_REMOTE_WRITE;
  if (config.on_demand_paging) out |= IBV_ACCESS_ON_DEMAND;
  if (config.relaxed_ordering) out |= IBV_ACCESS_RELAXED_ORDERING;  // kernels drop it where the device has it not
  return out;
}

Registration::Registration(const Devices& devices, const slipway_range& range)
    : devices_(devices), address_(reinterpret_cast<uintptr_t>(range.addr)) {}

Registration::~Registration() { Release(); }

slipway_status Registration::Make(const Devices& devices, const Config& config, const slipway_range& range,
                                  std::unique_ptr<sdk::Registration>& out, sdk::Error& err) {
  std::unique_ptr<Registration> made(new Registration(devices, range));
  const slipway_status s = made->Register(config, range, err);
  if (s == SLIPWAY_OK) out = std::move(made);
  return s;
}

slipway_status Registration::Register(const Config& config, const slipway_range& range, sdk::Error& err) {
  const bool dmabuf = range.dmabuf_fd >= 0;
  if (!dmabuf && range.mem_kind != SLIPWAY_MEM_HOST) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "memory that is not the host's is registered by its DMA-BUF, and none came");
  }
  uint64_t random = 0;
  if (!RandomBytes(&random, sizeof(random))) {
    return err.FailRetryable(SLIPWAY_E_IO, "the system has no random numbers to give", {}, errno);
  }
  // Drivers that page on demand want the memory's own addresses.
  wire_base_ = config.on_demand_paging
                   ? address_
                   : (random >> 1 & ~kOwnBits) | ((dmabuf ? range.dmabuf_offset : address_) & kOwnBits);
  const unsigned access = VerbsAccess(range.access, config);
  for (size_t i = 0; i < devices_.size(); ++i) {
    const Verbs& v = devices_[i]->verbs();
    regions_[i] = dmabuf ? v.reg_dmabuf_mr(devices_[i]->pd(), range.dmabuf_offset, range.length, wire_base_,
                                           range.dmabuf_fd, static_cast<int>(access & ~IBV_ACCESS_ON_DEMAND))
                         : v.reg_mr_iova2(devices_[i]->pd(), range.addr, range.length, wire_base_, access);
    if (regions_[i] != nullptr) continue;
    const int error = errno;
    Release();
    return Refused(error, range, devices_[i]->name(), err);
  }
  return SLIPWAY_OK;
}

slipway_status Registration::Release() {
  slipway_status status = SLIPWAY_OK;
  for (size_t i = 0; i < devices_.size(); ++i) {
    if (regions_[i] == nullptr) continue;
    if (devices_[i]->verbs().dereg_mr(regions_[i]) == 0) {
      regions_[i] = nullptr;
    } else {
      status = SLIPWAY_E_BUSY;
    }
  }
  return status;
}

std::vector<uint32_t> Registration::rkeys() const {
  std::vector<uint32_t> out;
  for (size_t i = 0; i < devices_.size(); ++i) out.push_back(regions_[i]->rkey);
  return out;
}

}  // namespace slipway::rdma
