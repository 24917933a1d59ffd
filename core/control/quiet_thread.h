// Threads of a library inside somebody else's process.
#ifndef SLIPWAY_CORE_CONTROL_QUIET_THREAD_H_
#define SLIPWAY_CORE_CONTROL_QUIET_THREAD_H_

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace slipway {

// A thread that takes none of the application's signals: their handlers expect the application's own threads.
// Throws std::system_error where the system has no thread to give.
template <typename Function>
std::thread QuietThread(Function&& function) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  try {
    std::thread thread(std::forward<Function>(function));
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    return thread;
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    throw;
  }
}

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_QUIET_THREAD_H_
