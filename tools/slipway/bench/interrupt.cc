#include "tools/slipway/bench/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>

namespace slipway::cli::bench {
namespace {

// A signal handler reaches nothing but what is static. Also other threads than the one that it interrupts look here.
std::atomic<int> noted_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void Note(int number) { noted_signal = number; }

}  // namespace

void NoteInterrupts() {
  struct sigaction action = {};
  action.sa_handler = Note;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART: waits end
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
}

bool Interrupted() { return noted_signal != 0; }

void EndAsInterrupted() {
  const int number = noted_signal;
  signal(number, SIG_DFL);
  raise(number);
  _exit(128 + number);
}

}  // namespace slipway::cli::bench
