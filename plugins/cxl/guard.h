// Touching memory that may be taken away: a device that is unbound, or a bad page, raises SIGBUS, which ends the access
// here and not the application.
//
// The signal's handler is the process's. It is installed while an instance is alive, looks only at threads that are
// inside Guarded(), and passes everything else on to whoever handled the signal before.
#ifndef SLIPWAY_PLUGINS_CXL_GUARD_H_
#define SLIPWAY_PLUGINS_CXL_GUARD_H_

#include <setjmp.h>
#include <signal.h>

#include <atomic>
#include <type_traits>

namespace slipway::cxl {

// Keeps the handler installed. Thread-safe.
class FaultHandler {
 public:
  FaultHandler();
  ~FaultHandler();
  FaultHandler(const FaultHandler&) = delete;
  FaultHandler& operator=(const FaultHandler&) = delete;
};

// Where an access failed, and how the system calls it (BUS_ADRERR, BUS_MCEERR_AR...).
struct Fault {
  const void* address = nullptr;
  int code = 0;
};

namespace detail {

struct FaultFrame {
  sigjmp_buf escape;
  FaultFrame* outer;
  Fault fault;
  sigset_t mask;  // of the thread, when it failed
};
FaultFrame* EnterFrame(FaultFrame* frame);  // returns the one before
void LeaveFrame(FaultFrame* frame);
// After the jump out of the handler, in which more signals may have been blocked.
void RestoreMask(const FaultFrame& frame);

}  // namespace detail

// Runs `body`; false when memory it touched was not there, with `fault` set. What body leaves undone stays so: it must
// hold no lock and own nothing that needs a destructor.
template <typename Body>
[[nodiscard]] bool Guarded(Fault& fault, const Body& body) {
  detail::FaultFrame frame;
  frame.outer = detail::EnterFrame(&frame);
  if (sigsetjmp(frame.escape, 0) == 0) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    body();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    detail::LeaveFrame(frame.outer);
    return true;
  }
  detail::LeaveFrame(frame.outer);
  detail::RestoreMask(frame);
  fault = frame.fault;
  return false;
}

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_GUARD_H_
