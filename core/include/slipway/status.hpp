// Status and Result: how the core and its C++ API report success and failure.
#ifndef SLIPWAY_STATUS_HPP_
#define SLIPWAY_STATUS_HPP_

#include <cassert>
#include <optional>
#include <string>
#include <utility>

#include "slipway/status.h"

namespace slipway {

// A status code with the message of whoever first noticed the failure. Cheap when OK. Value type, not thread-safe.
class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(slipway_status code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status Ok() { return {}; }

  bool ok() const { return code_ == SLIPWAY_OK; }
  slipway_status code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  slipway_status code_ = SLIPWAY_OK;
  std::string message_;
};

// A value, or why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) { assert(!status_.ok()); }

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace slipway

#define SLIPWAY_RETURN_IF_ERROR(expr)                                                              \
  do {                                                                                             \
    if (::slipway::Status slipway_status_ = (expr); !slipway_status_.ok()) return slipway_status_; \
  } while (0)

#endif  // SLIPWAY_STATUS_HPP_
