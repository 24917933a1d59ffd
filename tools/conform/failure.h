// How a case ends early. A case never throws: what is wrong with a plugin is written down at once, and the process
// ends, because unwinding through a broken plugin's objects may hang or crash and then hide the reason.
#ifndef SLIPWAY_TOOLS_CONFORM_FAILURE_H_
#define SLIPWAY_TOOLS_CONFORM_FAILURE_H_

#include <string>

#include "slipway/abi/status.h"

namespace slipway::conform {

// printf into a string.
std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));

// [any] End the case as failed or skipped, with a reason for a person. `cap` names the capability that is missing.
[[noreturn]] void Fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void Skip(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Fails unless `ok`.
void Require(bool ok, const char* format, ...) __attribute__((format(printf, 2, 3)));

// [any] What a report says of a case that crashes or hangs after this. Kept short; the last one counts.
void Note(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Where the two above go: set once, before any case runs. `end` must not return.
struct Sink {
  void (*end)(const char* status, const std::string& reason);
  void (*note)(const std::string& text);
};
void SetSink(const Sink& sink);

// "E_CONFIG (-9)".
std::string StatusName(slipway_status status);

// An error report of the caller's, ready to be passed on.
class Report {
 public:
  Report();
  slipway_error* c() { return &error_; }
  const slipway_error& get() const { return error_; }
  // Whether SLIPWAY_ERR_RETRYABLE is set.
  bool retryable() const { return (error_.flags & SLIPWAY_ERR_RETRYABLE) != 0; }
  // The status with the report's message and place.
  std::string Say(slipway_status status) const;

 private:
  slipway_error error_;
};

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_FAILURE_H_
