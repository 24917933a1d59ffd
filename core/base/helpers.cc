#include "core/base/helpers.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <system_error>

namespace slipway {
namespace {

constexpr uint32_t kMost = 3, kProcessorsEach = 4;

}  // namespace

uint32_t Helpers::Fitting() { return std::min(std::thread::hardware_concurrency() / kProcessorsEach, kMost); }

Helpers::~Helpers() {
  leaving_.store(true);
  calls_.fetch_add(1);
  calls_.notify_all();
  for (std::thread& t : threads_) t.join();
}

// Where the system refuses a thread there are fewer.
void Helpers::Start() {
  sigset_t all, before;  // the application's signals are not for these threads
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    threads_.reserve(count_);
    while (threads_.size() < count_) threads_.emplace_back(&Helpers::Help, this, calls_.load());
  } catch (const std::system_error&) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Who is inside before the loop's end is seen there, and who comes after it finds no loop: all of these operations are
// in one order.
void Helpers::Help(uint32_t seen) {
  pthread_setname_np(pthread_self(), "slipway-help");
  for (;;) {
    calls_.wait(seen);
    seen = calls_.load();
    calls_.notify_one();  // waking one is all that the caller has time for
    if (leaving_.load()) return;
    inside_.fetch_add(1);
    if (Loop* const loop = loop_.load()) {
      while (loop->Claim()) loop->part_(loop->taken_.fetch_add(1));
    }
    inside_.fetch_sub(1);
  }
}

void Helpers::Begin(Loop* loop) {
  if (count_ == 0 || loop->parts_ < 2 || taken_.exchange(true)) return;
  loop->helped_ = true;
  if (threads_.empty()) Start();
  loop_.store(loop);
  calls_.fetch_add(1);
  calls_.notify_one();
}

void Helpers::Finish(Loop* loop) {
  for (size_t i = loop->parts_; loop->Claim();) loop->part_(--i);
  if (!loop->helped_) return;
  loop_.store(nullptr);
  while (inside_.load() > 0) std::this_thread::yield();  // until they are done with the parts that they have
  taken_.store(false);
}

}  // namespace slipway
