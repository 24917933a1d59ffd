#include "plugins/local-memcpy/neighbour.h"

#include <cerrno>
#include <cstring>

#include "plugins/local-memcpy/process_copy.h"

namespace slipway::local_memcpy {
namespace {

constexpr char kDamaged[] = "the peer sends what is not the protocol of local-memcpy";

}  // namespace

Neighbour::Neighbour(const sdk::Host& host, Poller& poller, uint64_t id, Fd socket, const Credentials& peer,
                     uint64_t timeout_ns)
    : host_(host),
      poller_(poller),
      id_(id),
      socket_(std::move(socket)),
      process_(peer.pid > 0 ? OpenProcess(peer.pid) : Fd()),
      peer_(peer),
      timeout_ns_(timeout_ns),
      begun_ns_(host.NowNs()) {}

Neighbour::~Neighbour() {
  poller_.Remove(socket_.get());
  poller_.Remove(process_.get());
}

slipway_status Neighbour::Begin(uint64_t endpoint, sdk::Error& err) {
  // A child that the peer forked may hold its sockets open when the peer itself is gone.
  if (peer_.pid > 0 && !process_ && errno == ESRCH) return err.Fail(SLIPWAY_E_PEER, "the peer's process has ended");
  Hello hello;
  hello.endpoint = endpoint;
  // Who does not want this process may have closed already; what it said is read all the same.
  (void)SendPacket(socket_.get(), &hello, sizeof(hello));
  const bool watched = poller_.Add(socket_.get(), id_) && (!process_ || poller_.Add(process_.get(), id_ + 1));
  return watched ? SLIPWAY_OK : err.FailRetryable(SLIPWAY_E_NOMEM, "the system watches no more sockets", {}, errno);
}

slipway_status Neighbour::Ready(sdk::Error& err) const {
  MutexLock lock(mutex_);
  if (state_ == State::kHello) return SLIPWAY_IN_PROGRESS;
  if (state_ == State::kFailed) return err.Fail(status_, why_);
  return alive() ? SLIPWAY_OK
                 : err.Fail(SLIPWAY_E_PEER, "the peer's instance was shut down: connect to its new address");
}

slipway_status Neighbour::Ask(const MrBlob& blob, std::shared_ptr<Import>& out, sdk::Error& err) {
  auto import = std::make_shared<Import>();
  import->blob = blob;
  import->neighbour = shared_from_this();
  import->asked_ns = host_.NowNs();
  MutexLock lock(mutex_);
  if (state_ == State::kHello) return err.Fail(SLIPWAY_E_PEER, "not connected yet: wait until peer_ready says OK");
  if (state_ == State::kFailed) return err.Fail(status_, why_);
  if (!alive()) return err.Fail(SLIPWAY_E_PEER, "the peer's instance was shut down: connect to its new address");
  if (blob.reach == Grant::Reach::kNone) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "the registration is for peers in its own process alone");
  }
  if (blob.reach == Grant::Reach::kPrivate && !private_allowed_) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED,
                    "the registration is on private memory of a process that this one may not read (ptrace): allocate "
                    "memory for segments with slipway_memory_allocate, which is shared");
  }
  const uint64_t request = next_request_++;
  asked_.emplace(request, import);
  unsent_.push_back(request);
  if (!Flush()) {
    asked_.erase(request);
    unsent_.clear();
    return err.Fail(SLIPWAY_E_PEER, "the peer closed the connection");
  }
  out = std::move(import);
  return SLIPWAY_OK;
}

bool Neighbour::Flush() {
  while (!unsent_.empty()) {
    const auto found = asked_.find(unsent_.front());
    if (found != asked_.end()) {
      const MrBlob& blob = found->second->blob;
      local_memcpy::Ask ask;
      ask.request = found->first;
      ask.registration = blob.registration;
      ask.length = blob.length;
      ask.access = blob.access;
      ask.key = blob.key;
      const Sent sent = SendPacket(socket_.get(), &ask, sizeof(ask));
      if (sent == Sent::kBroken) return false;
      if (sent == Sent::kFull) return poller_.Change(socket_.get(), id_, EPOLLIN | EPOLLOUT);
    }
    unsent_.pop_front();
  }
  return true;
}

bool Neighbour::waits() const {
  MutexLock lock(mutex_);
  return state_ == State::kHello || !asked_.empty();
}

// Everything that is pending ends with `status`.
bool Neighbour::Fail(slipway_status status, const std::string& why) {
  failed_.store(true, std::memory_order_release);
  MutexLock lock(mutex_);
  if (state_ == State::kFailed) return false;
  state_ = State::kFailed;
  status_ = status;
  why_ = why;
  // Level-triggered: what is not taken out would go on being told.
  poller_.Remove(socket_.get());
  poller_.Remove(process_.get());
  const bool any = !asked_.empty();
  for (auto& [request, import] : asked_) {
    import->why = SLIPWAY_E_PEER;
    import->state.store(Import::kRefused, std::memory_order_release);
  }
  asked_.clear();
  unsent_.clear();
  return any;
}

bool Neighbour::OnTime(uint64_t now_ns) {
  {
    MutexLock lock(mutex_);
    const uint64_t since = state_ == State::kHello ? begun_ns_
                           : asked_.empty()        ? now_ns
                                                   : asked_.begin()->second->asked_ns;
    if (state_ == State::kFailed || now_ns < since || now_ns - since <= timeout_ns_) return false;
  }
  return Fail(SLIPWAY_E_PEER, "the peer did not answer within " + std::to_string(timeout_ns_ / 1'000'000) +
                                  " ms (peer_timeout_ms): is its process stopped?");
}

bool Neighbour::OnWritable() {
  {
    MutexLock lock(mutex_);
    if (Flush()) {
      if (unsent_.empty()) poller_.Change(socket_.get(), id_, EPOLLIN);
      return false;
    }
  }
  return OnEnded();
}

bool Neighbour::OnReadable() {
  bool any = false;
  for (;;) {
    union {
      Message kind;
      char bytes[256];
    } room{};
    static_assert(sizeof(Welcome) <= sizeof(room) && sizeof(Answer) <= sizeof(room));
    size_t size = sizeof(room);
    std::array<Fd, kMostFds> fds;
    switch (ReceivePacket(socket_.get(), &room, size, fds)) {
      case Received::kNothing:
        return any;
      case Received::kBroken:
        return OnEnded() || any;
      case Received::kPacket:
        break;
    }
    if (size == sizeof(Welcome) && room.kind == Message::kWelcome) {
      Welcome welcome;
      std::memcpy(&welcome, room.bytes, sizeof(welcome));
      any |= TakeWelcome(welcome, fds);
    } else if (size == sizeof(Answer) && room.kind == Message::kAnswer) {
      Answer answer;
      std::memcpy(&answer, room.bytes, sizeof(answer));
      any |= TakeAnswer(answer, fds[0]);
    } else {
      return Fail(SLIPWAY_E_PROTOCOL, kDamaged) || any;
    }
    if (failed_.load(std::memory_order_relaxed)) return any;
  }
}

// The kernel is asked whether private memory may be read, and the answer proves that the process is the right one: in
// another PID namespace the number may be anybody's.
void Neighbour::TryPrivate(const Welcome& welcome) {
  Key found{};
  uint64_t moved = 0;
  int32_t native = 0;
  if (peer_.pid <= 0) return;
  const slipway_status s = ReadProcess(peer_.pid, welcome.probe_address, found.data(), found.size(), moved, native);
  private_allowed_ = s == SLIPWAY_OK && found == welcome.probe;
}

bool Neighbour::TakeWelcome(const Welcome& welcome, std::array<Fd, kMostFds>& fds) {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kHello) {
      lock.Unlock();
      return Fail(SLIPWAY_E_PROTOCOL, kDamaged);
    }
  }
  if (welcome.status != SLIPWAY_OK) {
    return welcome.status == SLIPWAY_E_ACCESS
               ? Fail(SLIPWAY_E_ACCESS,
                      "the peer belongs to another user and does not let this one in (its key \"users\")")
               : Fail(SLIPWAY_E_PEER, "the peer takes no more connections, or another instance answered");
  }
  if (welcome.life == 0 || !IsSharedFile(fds[0].get(), sizeof(Board)) || !IsSharedFile(fds[1].get(), sizeof(Lanes))) {
    return Fail(SLIPWAY_E_PROTOCOL, kDamaged);
  }
  board_mapping_ = Mapping(fds[0].get(), sizeof(Board), false);
  lanes_mapping_ = Mapping(fds[1].get(), sizeof(Lanes), true);
  if (!board_mapping_ || !lanes_mapping_) return Fail(SLIPWAY_E_PEER, "there is no room to map the peer's board");
  life_ = welcome.life;
  TryPrivate(welcome);
  MutexLock lock(mutex_);
  lanes_ = reinterpret_cast<Lanes*>(lanes_mapping_.data());
  board_ = reinterpret_cast<const Board*>(board_mapping_.data());
  state_ = State::kReady;
  return false;
}

// Every number is a stranger's.
slipway_status Neighbour::Reach(const Answer& answer, const Fd& file, Import& import) {
  if (answer.status != SLIPWAY_OK) {
    return answer.status == SLIPWAY_E_STALE_REMOTE ? SLIPWAY_E_STALE_REMOTE : SLIPWAY_E_PROTOCOL;
  }
  const uint64_t length = import.blob.length;
  if (answer.slot >= kSlots) return SLIPWAY_E_PROTOCOL;
  import.slot = answer.slot;
  if (answer.region == 0) {
    if (!private_allowed_) return SLIPWAY_E_UNSUPPORTED;
    if (answer.address == 0 || length > UINT64_MAX - answer.address) return SLIPWAY_E_PROTOCOL;
    import.address = answer.address;
    return SLIPWAY_OK;
  }
  if (length > answer.region_bytes || answer.offset > answer.region_bytes - length) return SLIPWAY_E_PROTOCOL;
  const bool writable = (import.blob.access & SLIPWAY_ACCESS_REMOTE_WRITE) != 0;
  std::weak_ptr<const Mapping>& known = mappings_[{answer.region, writable}];
  std::shared_ptr<const Mapping> mapping = known.lock();
  if (mapping == nullptr) {
    if (!IsSharedFile(file.get(), answer.region_bytes)) return SLIPWAY_E_PROTOCOL;
    mapping = std::make_shared<const Mapping>(file.get(), answer.region_bytes, writable, uint64_t{2} << 20);
    if (!*mapping) return SLIPWAY_E_NOMEM;
    known = mapping;
  }
  if (mapping->size() != answer.region_bytes) return SLIPWAY_E_PROTOCOL;
  import.base = mapping->data() + answer.offset;
  import.mapping = std::move(mapping);
  return SLIPWAY_OK;
}

bool Neighbour::TakeAnswer(const Answer& answer, const Fd& file) {
  MutexLock lock(mutex_);
  const auto found = asked_.find(answer.request);
  if (state_ != State::kReady || found == asked_.end()) {
    lock.Unlock();
    return Fail(SLIPWAY_E_PROTOCOL, kDamaged);
  }
  const std::shared_ptr<Import> import = std::move(found->second);
  asked_.erase(found);
  import->why = Reach(answer, file, *import);
  const Import::State state = import->why != SLIPWAY_OK ? Import::kRefused
                              : import->base != nullptr ? Import::kMapped
                                                        : Import::kPrivate;
  import->state.store(state, std::memory_order_release);
  return true;
}

}  // namespace slipway::local_memcpy
