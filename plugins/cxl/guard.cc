#include "plugins/cxl/guard.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "slipway/sdk/mutex.hpp"

namespace slipway::cxl {
namespace {

// Read by the handler, which may allocate nothing: so it must not be the first access of a thread that makes its copy.
__attribute__((tls_model("initial-exec"))) thread_local detail::FaultFrame* current_frame = nullptr;
__attribute__((tls_model("initial-exec"))) thread_local bool unblocked = false;

__attribute__((tls_model("initial-exec"))) thread_local bool passing_on = false;

Mutex handler_mutex;
uint32_t handler_users SLIPWAY_GUARDED_BY(handler_mutex) = 0;
// Read by the handler, written before it is installed. Where somebody put a handler over this one that passes on to it,
// and this one was then put over that, they would call each other for ever: then the second call goes to `oldest`.
struct sigaction previous, oldest;
bool left_below = false, layered = false;

void PassOn(const struct sigaction& to, int number, siginfo_t* info, void* context) {
  if ((to.sa_flags & SA_SIGINFO) != 0) {
    to.sa_sigaction(number, info, context);
  } else if (to.sa_handler != SIG_DFL && to.sa_handler != SIG_IGN) {
    to.sa_handler(number);
  } else {
    signal(number, SIG_DFL);
    if (info->si_code <= 0) raise(number);  // sent by somebody; else the access happens again, and ends the process
  }
}

void Handle(int number, siginfo_t* info, void* context) {
  if (detail::FaultFrame* const frame = current_frame; frame != nullptr && info->si_code > 0) {
    frame->fault = {info->si_addr, info->si_code};
    frame->mask = static_cast<const ucontext_t*>(context)->uc_sigmask;
    siglongjmp(frame->escape, 1);
  }
  if (passing_on) return PassOn(oldest, number, info, context);
  passing_on = layered;
  PassOn(previous, number, info, context);
  passing_on = false;
}

bool IsMine(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == Handle;
}

}  // namespace

namespace detail {

FaultFrame* EnterFrame(FaultFrame* frame) {
  if (!unblocked) {
    // A fault while its signal is blocked ends the process at once.
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
    unblocked = true;
  }
  passing_on = false;  // a handler that was passed on to may have jumped away
  FaultFrame* const outer = current_frame;
  current_frame = frame;
  return outer;
}
void LeaveFrame(FaultFrame* frame) { current_frame = frame; }
void RestoreMask(const FaultFrame& frame) { pthread_sigmask(SIG_SETMASK, &frame.mask, nullptr); }

}  // namespace detail

FaultHandler::FaultHandler() {
  MutexLock lock(handler_mutex);
  if (handler_users++ > 0) return;
  struct sigaction now = {};
  sigaction(SIGBUS, nullptr, &now);
  if (IsMine(now)) return;  // it could not be taken away before
  layered = left_below;
  if (!layered) oldest = now;
  previous = now;
  struct sigaction mine = {};
  mine.sa_sigaction = Handle;
  // The handler does not return where it catches, so the signal must not stay blocked.
  mine.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&mine.sa_mask);
  sigaction(SIGBUS, &mine, nullptr);
}

FaultHandler::~FaultHandler() {
  MutexLock lock(handler_mutex);
  if (--handler_users > 0) return;
  struct sigaction now = {};
  sigaction(SIGBUS, nullptr, &now);
  // Where somebody put a handler on top that may pass on to this one, it stays; the plugin's code is never unloaded.
  if (IsMine(now)) {
    sigaction(SIGBUS, &previous, nullptr);
  } else {
    left_below = true;
  }
}

}  // namespace slipway::cxl
