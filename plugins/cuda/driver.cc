#include "plugins/cuda/driver.h"

#include <dlfcn.h>

namespace slipway::cuda {
namespace {

// CUDA 11.4: the oldest whose pointer attributes are all that are asked for here.
constexpr int32_t kOldestVersion = 11040;

std::string VersionText(int32_t v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

}  // namespace

slipway_status Driver::Open(const std::string& library, std::shared_ptr<const Driver>& out, sdk::Error& err) {
  auto driver = std::make_shared<Driver>();
  if (const slipway_status s = driver->Load(library, err); s != SLIPWAY_OK) return s;
  if (const slipway_status s = driver->Start(err); s != SLIPWAY_OK) return s;
  out = std::move(driver);
  return SLIPWAY_OK;
}

// The object stays open: the driver keeps threads and state of the process. RTLD_LOCAL, since the names must not
// interpose anybody's; where another CUDA runtime has opened the same file, this is that same object.
slipway_status Driver::Load(const std::string& library, sdk::Error& err) {
  void* const object = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (object == nullptr) {
    const char* const why = dlerror();
    return err.Fail(SLIPWAY_E_DEVICE, "no CUDA driver: " + std::string(why != nullptr ? why : library) +
                                          ". Install NVIDIA's driver, or leave this provider out");
  }
  std::string missing;
  const auto find = [&](auto& entry, const char* name, bool required) {
    entry = reinterpret_cast<std::remove_reference_t<decltype(entry)>>(dlsym(object, name));
    if (entry == nullptr && required) missing += (missing.empty() ? "" : ", ") + std::string(name);
  };
#define SLIPWAY_CUDA_FIND(member, name, parameters) find(member, name, true);
  SLIPWAY_CUDA_REQUIRED_ENTRIES(SLIPWAY_CUDA_FIND)
#undef SLIPWAY_CUDA_FIND
#define SLIPWAY_CUDA_FIND(member, name, parameters) find(member, name, false);
  SLIPWAY_CUDA_OPTIONAL_ENTRIES(SLIPWAY_CUDA_FIND)
#undef SLIPWAY_CUDA_FIND
  if (missing.empty()) return SLIPWAY_OK;
  return err.Fail(SLIPWAY_E_DEVICE, library + " is too old or no CUDA driver; it lacks " + missing);
}

slipway_status Driver::Start(sdk::Error& err) {
  Result r = Init(0);
  if (r == kSuccess) r = DriverGetVersion(&version_);
  if (r == kSuccess && version_ < kOldestVersion) {
    return err.Fail(SLIPWAY_E_DEVICE, "the CUDA driver is of version " + VersionText(version_) + "; needed is " +
                                          VersionText(kOldestVersion) + ": install a newer one");
  }
  if (r == kSuccess) r = DeviceGetCount(&device_count_);
  if (r == kSuccess && device_count_ <= 0) r = kErrorNoDevice;
  if (r == kSuccess) return SLIPWAY_OK;
  const char* advice = "check nvidia-smi";
  if (r == kErrorNoDevice) advice = "no device is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES";
  if (r == kErrorSystemDriverMismatch)
    advice = "the library is not that of the loaded kernel driver: restart the machine";
  if (r == kErrorStubLibrary) advice = "this is the toolkit's stub for linking, not the driver";
  return err.Fail(SLIPWAY_E_DEVICE, "the CUDA driver does not start: " + Describe(r) + "; " + advice, {}, r);
}

std::string Driver::Describe(Result r) const {
  const char *name = nullptr, *text = nullptr;
  if (GetErrorName(r, &name) != kSuccess || name == nullptr) return "CUDA error " + std::to_string(r);
  if (GetErrorString(r, &text) != kSuccess || text == nullptr) return name;
  return std::string(name) + " (" + text + ")";
}

slipway_status Driver::StatusOf(Result r) {
  switch (r) {
    case kSuccess:
      return SLIPWAY_OK;
    case kErrorInvalidValue:
    case kErrorInvalidHandle:
      return SLIPWAY_E_INVALID;
    case kErrorOutOfMemory:
      return SLIPWAY_E_NOMEM;
    case kErrorNotSupported:
    case kErrorNotPermitted:
      return SLIPWAY_E_UNSUPPORTED;
    default:
      return SLIPWAY_E_DEVICE;
  }
}

slipway_status Driver::Fail(sdk::Error& err, Result r, const char* what, const char* advice) const {
  std::string message = std::string(what) + ": " + Describe(r);
  if (*advice != '\0') message += std::string("; ") + advice;
  const slipway_status s = StatusOf(r);
  return err.Fail(s, message, {}, r, s == SLIPWAY_E_NOMEM ? SLIPWAY_ERR_RETRYABLE : 0);
}

}  // namespace slipway::cuda
