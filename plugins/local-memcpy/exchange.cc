#include "plugins/local-memcpy/exchange.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

namespace slipway::local_memcpy {
namespace {

// Ids of what is polled: even ones are sockets, and the odd one after each is the process at the other end.
constexpr uint64_t kListenerId = 0, kBellId = 2, kFirstId = 4;
constexpr uint64_t kLeaveNs = 1'000'000'000;  // how long peers may take to end their copies
constexpr int kLookMs = 50;                   // how often, while somebody has to answer

}  // namespace

Exchange::Exchange(const Config& config, const sdk::Host& host, const Endpoint& endpoint, const SharedMemory& shared,
                   std::unique_ptr<OwnBoard> board, std::function<void()> resolved)
    : config_(config),
      host_(host),
      board_(std::move(board)),
      visitors_(config, host, endpoint, shared, *board_, poller_),
      resolved_(std::move(resolved)),
      next_id_(kFirstId) {}

bool Exchange::Possible(std::string& why) {
  const bool board = OwnBoard::Make() != nullptr;
  if (!board || !ListenAs(RandomKey())) {
    why = std::string("the system refuses ") + (board ? "a local socket" : "sealed shared memory") + " (" +
          std::strerror(errno) + ")";
    return false;
  }
  return true;
}

std::unique_ptr<Exchange> Exchange::Make(const Config& config, const sdk::Host& host, const Endpoint& endpoint,
                                         const SharedMemory& shared, std::function<void()> resolved, std::string& why) {
  const auto refused = [&](const char* what) {
    why = std::string("the system refuses ") + what + " (" + std::strerror(errno) + ")";
    return nullptr;
  };
  std::unique_ptr<OwnBoard> board = OwnBoard::Make();
  if (board == nullptr) return refused("sealed shared memory");
  std::unique_ptr<Exchange> made(new Exchange(config, host, endpoint, shared, std::move(board), std::move(resolved)));
  made->listener_ = ListenAs(made->name_);
  if (!made->listener_) return refused("a local socket");
  made->bell_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->poller_.ok() || !made->bell_ || !made->poller_.Add(made->listener_.get(), kListenerId) ||
      !made->poller_.Add(made->bell_.get(), kBellId)) {
    return refused("another descriptor");
  }
  return made;
}

void Exchange::Start() {
  // The application's signals are not for this thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    thread_ = std::thread(&Exchange::Run, this);
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started_.wait(false);  // from here on the board says that this instance lives
}

void Exchange::Stop() {
  Close();
  if (thread_.joinable() && !visitors_.WaitForAll(host_.NowNs() + kLeaveNs)) {
    host_.Log(SLIPWAY_LOG_ERROR,
              "a peer's process does not end its copy (is it stopped?): memory that it was given may still change");
  }
  stopping_.store(true);
  Ring();
  if (thread_.joinable()) thread_.join();
  visitors_.Clear();
  std::map<uint64_t, std::shared_ptr<Neighbour>> gone;
  {
    MutexLock lock(mutex_);
    gone.swap(neighbours_);
  }
  for (const auto& [id, neighbour] : gone) neighbour->Close();
}

void Exchange::Ring() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(bell_.get(), &one, sizeof(one));
}

slipway_status Exchange::Connect(const AddressBlob& address, std::shared_ptr<Neighbour>& out, sdk::Error& err) {
  Fd socket = ConnectTo(address.socket);
  if (!socket) {
    return err.Fail(
        SLIPWAY_E_PEER,
        "no such instance on this host: it was shut down, or lives in another network namespace (container)", {},
        errno);
  }
  Credentials peer;
  if (!ReadCredentials(socket.get(), peer)) return err.Fail(SLIPWAY_E_PEER, "the peer has no credentials", {}, errno);
  if (!Allowed(config_, peer.uid)) {
    return err.Fail(SLIPWAY_E_ACCESS, "the peer's process belongs to user " + std::to_string(peer.uid) +
                                          ": add that number to \"users\" to trust it");
  }
  auto neighbour = std::make_shared<Neighbour>(host_, poller_, next_id_.fetch_add(2), std::move(socket), peer,
                                               config_.peer_timeout_ms * 1'000'000ull);
  {
    MutexLock lock(mutex_);
    neighbours_.emplace(neighbour->id(), neighbour);
  }
  const slipway_status s = neighbour->Begin(address.endpoint, err);
  if (s != SLIPWAY_OK) {
    Disconnect(neighbour);
    return s;
  }
  Ring();  // its answer is waited for from now on
  out = std::move(neighbour);
  return SLIPWAY_OK;
}

void Exchange::Disconnect(const std::shared_ptr<Neighbour>& neighbour) {
  {
    MutexLock lock(mutex_);
    neighbours_.erase(neighbour->id());
  }
  neighbour->Close();
}

slipway_status Exchange::Ask(Neighbour& neighbour, const MrBlob& blob, std::shared_ptr<Import>& out, sdk::Error& err) {
  const slipway_status s = neighbour.Ask(blob, out, err);
  if (s == SLIPWAY_OK) Ring();
  if (s == SLIPWAY_E_UNSUPPORTED && !told_.exchange(true)) {
    host_.Log(SLIPWAY_LOG_WARNING,
              "private memory of process " + std::to_string(neighbour.pid()) +
                  " may not be copied from here (ptrace is forbidden): other transports do it. Memory of "
                  "slipway_memory_allocate is shared and needs no such right. Said once.");
  }
  return s;
}

bool Exchange::Revoke(uint32_t slot, uint64_t registration, uint64_t deadline_ns) {
  board_->Shut(slot);
  if (!visitors_.WaitFor(registration, deadline_ns)) {
    board_->Reopen(slot, registration);
    return false;
  }
  board_->Free(slot);
  return true;
}

bool Exchange::Waits() const {
  if (visitors_.waits()) return true;
  MutexLock lock(mutex_);
  for (const auto& [id, neighbour] : neighbours_) {
    if (neighbour->waits()) return true;
  }
  return false;
}

void Exchange::Run() {
  pthread_setname_np(pthread_self(), "slipway-peers");
  board_->Begin();
  started_.store(true);
  started_.notify_all();
  std::array<epoll_event, 32> events;
  while (!stopping_.load()) {
    const bool waits = Waits();
    const int n = epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), waits ? kLookMs : -1);
    for (int i = 0; i < n; ++i) OnEvent(events[static_cast<size_t>(i)].data.u64, events[static_cast<size_t>(i)].events);
    if (waits) OnTime();
  }
  board_->Leave();
}

void Exchange::OnEvent(uint64_t id, uint32_t events) {
  if (id == kBellId) {
    uint64_t ignored = 0;
    [[maybe_unused]] const ssize_t n = read(bell_.get(), &ignored, sizeof(ignored));
    return;
  }
  if (id == kListenerId) {
    if (Fd socket = Accept(listener_.get())) {
      visitors_.OnConnection(std::move(socket), next_id_.fetch_add(2));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // nothing else makes the listener quiet
    }
    return;
  }
  std::shared_ptr<Neighbour> neighbour;
  {
    MutexLock lock(mutex_);
    const auto found = neighbours_.find(id & ~uint64_t{1});
    if (found != neighbours_.end()) neighbour = found->second;
  }
  if (neighbour == nullptr) {
    visitors_.OnEvent(id, events);
    return;
  }
  bool any = false;
  if ((id & 1) != 0) {
    any = neighbour->OnEnded();
  } else {
    if ((events & EPOLLOUT) != 0) any |= neighbour->OnWritable();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) any |= neighbour->OnReadable();
  }
  if (any) resolved_();
}

void Exchange::OnTime() {
  const uint64_t now_ns = host_.NowNs();
  visitors_.OnTime(now_ns);
  std::vector<std::shared_ptr<Neighbour>> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, neighbour] : neighbours_) all.push_back(neighbour);
  }
  bool any = false;
  for (const auto& neighbour : all) any |= neighbour->OnTime(now_ns);
  if (any) resolved_();
}

}  // namespace slipway::local_memcpy
