#include <netdb.h>
#include <pthread.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include "core/control/address.h"
#include "core/control/quiet_thread.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {
namespace {

Result<std::vector<Address>> Lookup(const std::string& host, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) {
    return Status(SLIPWAY_E_ADDRESS,
                  "\"" + host + "\" does not resolve: " + gai_strerror(error) + "; check the name, or use an address");
  }
  std::vector<Address> out;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.length = entry->ai_addrlen;
    out.push_back(address);
  }
  freeaddrinfo(list);
  if (out.empty()) return Status(SLIPWAY_E_ADDRESS, "\"" + host + "\" has no address");
  return out;
}

}  // namespace

struct Resolver::State {
  struct Job {
    std::thread thread;
    std::optional<Result<std::vector<Address>>> answer;  // written once, by the thread
    bool abandoned = false;                              // nobody waits: the next caller joins and drops it
  };

  Mutex mutex;
  CondVar changed;
  std::vector<std::shared_ptr<Job>> jobs SLIPWAY_GUARDED_BY(mutex);

  // Takes out of `jobs` what is answered and waited for by nobody.
  std::vector<std::shared_ptr<Job>> TakeDone() SLIPWAY_REQUIRES(mutex) {
    std::vector<std::shared_ptr<Job>> done, rest;
    for (auto& job : jobs) (job->abandoned && job->answer ? done : rest).push_back(job);
    jobs = std::move(rest);
    return done;
  }
};

Resolver::Resolver(const Clock& clock) : clock_(clock), state_(std::make_unique<State>()) {}

Resolver::~Resolver() {
  std::vector<std::shared_ptr<State::Job>> jobs;
  {
    MutexLock lock(state_->mutex);
    jobs.swap(state_->jobs);
  }
  for (auto& job : jobs) job->thread.join();
}

Result<std::vector<Address>> Resolver::Resolve(const std::string& host, uint16_t port, uint64_t deadline_ns) {
  if (IsIpLiteral(host)) return Lookup(host, port, AI_NUMERICHOST);
  auto job = std::make_shared<State::Job>();
  std::vector<std::shared_ptr<State::Job>> done;
  std::optional<Result<std::vector<Address>>> answer;
  {
    MutexLock lock(state_->mutex);
    done = state_->TakeDone();
    if (state_->jobs.size() >= kMaxLookups) {
      return Status(SLIPWAY_E_UNREACHABLE, "\"" + host + "\" cannot be looked up: " + std::to_string(kMaxLookups) +
                                               " look-ups hang already; check the name server, or use an address");
    }
    state_->jobs.push_back(job);
    try {
      job->thread = QuietThread([state = state_.get(), job = job.get(), host, port] {
        std::optional<Result<std::vector<Address>>> found;
        try {
          found = Lookup(host, port, 0);
        } catch (const std::exception& e) {
          found = Status(SLIPWAY_E_NOMEM, "\"" + host + "\" cannot be looked up: out of memory");
        }
        MutexLock guard(state->mutex);
        job->answer = std::move(found);
        state->changed.NotifyAll();
      });
    } catch (const std::system_error&) {
      state_->jobs.pop_back();
      return Status(SLIPWAY_E_NOMEM, "no thread to look up \"" + host + "\": raise the limit of processes (ulimit -u)");
    }
    while (!job->answer) {
      const uint64_t now_ns = clock_.NowNs();
      if (now_ns >= deadline_ns) break;
      (void)state_->changed.WaitFor(state_->mutex,
                                    std::chrono::nanoseconds(std::min<uint64_t>(deadline_ns - now_ns, 500'000'000)));
    }
    answer = job->answer;
    job->abandoned = true;
    if (answer) {
      for (auto& finished : state_->TakeDone()) done.push_back(finished);
    }
  }
  for (auto& finished : done) finished->thread.join();  // they have only their return left to do
  if (answer) return *std::move(answer);
  return Status(SLIPWAY_E_UNREACHABLE,
                "\"" + host + "\" was not looked up in time; check the name server, or use an address");
}

}  // namespace slipway
