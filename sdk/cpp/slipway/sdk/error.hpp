// Reporting failures across the plugin boundary: filling slipway_error, stopping exceptions, and copying out what a
// caller asked for. For authors who write against the C tables directly, everything here also works on its own.
#ifndef SLIPWAY_SDK_ERROR_HPP_
#define SLIPWAY_SDK_ERROR_HPP_

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "slipway/abi/status.h"

namespace slipway::sdk {

namespace detail {

// Copies what fits and terminates it, without leaving half a UTF-8 sequence at the end.
inline void CopyText(char* out, size_t room, std::string_view text) {
  size_t n = std::min(text.size(), room - 1);
  if (n < text.size()) {
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xc0) == 0x80) --n;
  }
  if (n > 0) std::memcpy(out, text.data(), n);
  out[n] = '\0';
}

}  // namespace detail

// Fills `error`, which may be NULL or of a shorter revision, and returns `code`. `message` says what to do next;
// `where` is a JSON pointer for configuration errors and a device or peer otherwise. Thread-safe, never throws.
inline slipway_status Fail(slipway_error* error, slipway_status code, std::string_view message,
                           std::string_view where = {}, int32_t native = 0, uint32_t flags = 0) noexcept {
  if (error == nullptr) return code;
  if (SLIPWAY_HAS(error, slipway_error, code)) error->code = code;
  if (SLIPWAY_HAS(error, slipway_error, native)) error->native = native;
  if (SLIPWAY_HAS(error, slipway_error, flags)) error->flags = flags;
  if (SLIPWAY_HAS(error, slipway_error, where)) detail::CopyText(error->where, sizeof(error->where), where);
  if (SLIPWAY_HAS(error, slipway_error, message)) detail::CopyText(error->message, sizeof(error->message), message);
  return code;
}

// The caller's error report. Does not own it; lives for one call.
class Error {
 public:
  explicit Error(slipway_error* error) : error_(error) {}

  // Each returns `code`, so that a failure is one line: return err.Fail(SLIPWAY_E_INVALID, "...").
  slipway_status Fail(slipway_status code, std::string_view message, std::string_view where = {}, int32_t native = 0,
                      uint32_t flags = 0) noexcept {
    return sdk::Fail(error_, code, message, where, native, flags);
  }
  // The same call may succeed later (SLIPWAY_ERR_RETRYABLE).
  slipway_status FailRetryable(slipway_status code, std::string_view message, std::string_view where = {},
                               int32_t native = 0) noexcept {
    return sdk::Fail(error_, code, message, where, native, SLIPWAY_ERR_RETRYABLE);
  }
  slipway_error* c_error() const { return error_; }

 private:
  slipway_error* const error_;
};

// Runs `body`, which returns a slipway_status, and turns what it throws into a status and a report.
template <typename Body>
slipway_status Guarded(slipway_error* error, Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return Fail(error, SLIPWAY_E_NOMEM, "out of memory in the plugin", {}, ENOMEM, SLIPWAY_ERR_RETRYABLE);
  } catch (const std::exception& e) {
    return Fail(error, SLIPWAY_E_INTERNAL, e.what());
  } catch (...) {
    return Fail(error, SLIPWAY_E_INTERNAL, "the plugin threw something that is no std::exception");
  }
}

// The two-call length idiom: copies `data` to `buf` where *len says that there is room, sets *len to its size, and
// says E_BUFFER_TOO_SMALL where there is not. `buf` may be NULL when *len is 0.
inline slipway_status CopyOut(std::string_view data, void* buf, size_t* len) noexcept {
  if (len == nullptr || (buf == nullptr && *len != 0)) return SLIPWAY_E_INVALID;
  const size_t room = std::exchange(*len, data.size());
  if (room < data.size()) return SLIPWAY_E_BUFFER_TOO_SMALL;
  if (!data.empty()) std::memcpy(buf, data.data(), data.size());
  return SLIPWAY_OK;
}

// Fills a struct of the caller's from a complete one, as far as the caller's struct_size reaches. False when it does
// not reach past the first field, so that it cannot be one.
template <typename T>
bool CopyToCaller(T* out, const T& full) noexcept {
  if (out->struct_size <= sizeof(uint32_t)) return false;
  const size_t n = std::min<size_t>(out->struct_size, sizeof(T)) - sizeof(uint32_t);
  std::memcpy(reinterpret_cast<char*>(out) + sizeof(uint32_t), reinterpret_cast<const char*>(&full) + sizeof(uint32_t),
              n);
  return true;
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_ERROR_HPP_
