#include "plugins/local-memcpy/visitors.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

namespace slipway::local_memcpy {
namespace {

constexpr size_t kMostVisitors = 4096;  // each has two descriptors

void Refuse(const Fd& socket, slipway_status status) {
  Welcome welcome;
  welcome.status = status;
  (void)SendPacket(socket.get(), &welcome, sizeof(welcome));
}

}  // namespace

bool Allowed(const Config& config, uid_t user) {
  return user == geteuid() || std::find(config.users.begin(), config.users.end(), user) != config.users.end();
}

size_t Visitors::count() const {
  MutexLock lock(mutex_);
  return visitors_.size();
}

void Visitors::OnConnection(Fd socket, uint64_t id) {
  Credentials peer;
  if (!ReadCredentials(socket.get(), peer)) return;
  if (!Allowed(config_, peer.uid)) {
    host_.Log(SLIPWAY_LOG_WARNING, "a process of user " + std::to_string(peer.uid) +
                                       " was refused: add that number to \"users\" to let it in");
    return Refuse(socket, SLIPWAY_E_ACCESS);
  }
  if (count() >= kMostVisitors) return Refuse(socket, SLIPWAY_E_AGAIN);
  auto visitor = std::make_unique<Visitor>();
  if (peer.pid > 0) {
    visitor->process = OpenProcess(peer.pid);
    if (!visitor->process && errno == ESRCH) return;
  }
  visitor->since_ns = host_.NowNs();
  if (!poller_.Add(socket.get(), id)) return Refuse(socket, SLIPWAY_E_AGAIN);
  visitor->socket = std::move(socket);
  if (visitor->process && !poller_.Add(visitor->process.get(), id + 1)) return poller_.Remove(visitor->socket.get());
  MutexLock lock(mutex_);
  visitors_.emplace(id, std::move(visitor));
}

void Visitors::ShowOut(uint64_t id) {
  std::unique_ptr<Visitor> gone;
  MutexLock lock(mutex_);
  const auto found = visitors_.find(id);
  if (found == visitors_.end()) return;
  gone = std::move(found->second);
  visitors_.erase(found);
  poller_.Remove(gone->socket.get());
  poller_.Remove(gone->process.get());
}

bool Visitors::OnEvent(uint64_t id, uint32_t events) {
  const uint64_t own = id & ~uint64_t{1};
  Visitor* visitor = nullptr;
  {
    MutexLock lock(mutex_);
    const auto found = visitors_.find(own);
    if (found == visitors_.end()) return false;
    visitor = found->second.get();
  }
  bool stays = id == own;  // else its process has ended
  if (stays && (events & EPOLLOUT) != 0 && visitor->unsent) {
    Reply reply = std::move(*visitor->unsent);
    visitor->unsent.reset();
    stays = Send(*visitor, own, std::move(reply));
    if (stays && !visitor->unsent) poller_.Change(visitor->socket.get(), own, EPOLLIN);
  }
  if (stays && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) stays = Read(*visitor, own);
  if (!stays) ShowOut(own);
  return true;
}

bool Visitors::Read(Visitor& visitor, uint64_t id) {
  while (!visitor.unsent) {
    union {
      Message kind;
      char bytes[256];
    } room{};
    static_assert(sizeof(Hello) <= sizeof(room) && sizeof(Ask) <= sizeof(room));
    size_t size = sizeof(room);
    std::array<Fd, kMostFds> fds;
    const Received got = ReceivePacket(visitor.socket.get(), &room, size, fds);
    if (got != Received::kPacket) return got == Received::kNothing;
    if (size == sizeof(Hello) && room.kind == Message::kHello && !visitor.lanes) {
      Hello hello;
      std::memcpy(&hello, room.bytes, sizeof(hello));
      if (!Welcomed(visitor, hello)) return false;
    } else if (size == sizeof(Ask) && room.kind == Message::kAsk && visitor.lanes) {
      Ask ask;
      std::memcpy(&ask, room.bytes, sizeof(ask));
      if (!Send(visitor, id, Find(ask))) return false;
    } else {
      return false;
    }
  }
  return true;
}

bool Visitors::Welcomed(Visitor& visitor, const Hello& hello) {
  Welcome welcome;
  welcome.life = board_.life();
  welcome.probe_address = reinterpret_cast<uint64_t>(probe_.data());
  welcome.probe = probe_;
  const bool ours = hello.endpoint == endpoint_.id && !endpoint_.closed() && welcome.life != 0;
  const Fd file = ours ? NewSharedFile("slipway-lanes", sizeof(Lanes)) : Fd();
  Mapping lanes = file ? Mapping(file.get(), sizeof(Lanes), true) : Mapping();
  if (!lanes) {
    Refuse(visitor.socket, ours ? SLIPWAY_E_AGAIN : SLIPWAY_E_PEER);
    return false;
  }
  {
    MutexLock lock(mutex_);  // who waits for a registration looks at the lanes
    visitor.lanes = std::move(lanes);
  }
  return SendPacket(visitor.socket.get(), &welcome, sizeof(welcome), {board_.fd(), file.get()}) == Sent::kDone;
}

Visitors::Reply Visitors::Find(const Ask& ask) const {
  Reply reply;
  reply.answer.request = ask.request;
  const std::shared_ptr<Grant> grant = endpoint_.Find(ask.registration);
  const uint32_t slot = grant == nullptr ? kNoSlot : grant->slot.load();
  if (slot == kNoSlot || endpoint_.closed()) {
    reply.answer.status = SLIPWAY_E_STALE_REMOTE;
    return reply;
  }
  if (ask.key != grant->key || ask.length != grant->length || ask.access != grant->access) {
    reply.answer.status = SLIPWAY_E_PROTOCOL;
    return reply;
  }
  reply.answer.slot = slot;
  reply.answer.address = reinterpret_cast<uint64_t>(grant->addr);
  reply.writable = (grant->access & SLIPWAY_ACCESS_REMOTE_WRITE) != 0;
  if (grant->reach == Grant::Reach::kPrivate) return reply;
  std::shared_ptr<const SharedBlock> block = shared_.Find(grant->addr, grant->length);
  if (block == nullptr) {
    reply.answer.status = SLIPWAY_E_STALE_REMOTE;  // released although it is registered
    return reply;
  }
  reply.answer.region = 2 * block->id + (reply.writable ? 1 : 0);
  reply.answer.region_bytes = block->mapping.size();
  reply.answer.offset = static_cast<uint64_t>(grant->addr - block->mapping.data());
  reply.answer.address = 0;
  reply.block = std::move(block);
  return reply;
}

bool Visitors::Send(Visitor& visitor, uint64_t id, Reply reply) {
  int fd = -1;
  if (reply.block != nullptr) fd = (reply.writable ? reply.block->file : reply.block->reading).get();
  switch (SendPacket(visitor.socket.get(), &reply.answer, sizeof(reply.answer), {fd, -1})) {
    case Sent::kDone:
      return true;
    case Sent::kBroken:
      return false;
    case Sent::kFull:
      break;
  }
  visitor.unsent = std::move(reply);
  visitor.since_ns = host_.NowNs();
  return poller_.Change(visitor.socket.get(), id, EPOLLOUT);
}

void Visitors::OnTime(uint64_t now_ns) {
  std::vector<uint64_t> late;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, visitor] : visitors_) {
      const bool waits = !visitor->lanes || visitor->unsent.has_value();
      if (waits && now_ns > visitor->since_ns && now_ns - visitor->since_ns > config_.peer_timeout_ms * 1'000'000ull) {
        late.push_back(id);
      }
    }
  }
  for (const uint64_t id : late) ShowOut(id);
}

bool Visitors::waits() const {
  MutexLock lock(mutex_);
  return std::any_of(visitors_.begin(), visitors_.end(),
                     [](const auto& entry) { return !entry.second->lanes || entry.second->unsent.has_value(); });
}

bool Visitors::Uses(uint64_t registration) const {
  MutexLock lock(mutex_);
  for (const auto& [id, visitor] : visitors_) {
    if (!visitor->lanes) continue;
    for (const Lane& lane : reinterpret_cast<const Lanes*>(visitor->lanes.data())->lane) {
      const uint64_t used = lane.registration.load(std::memory_order_seq_cst);
      if (used != 0 && (used == registration || registration == kAny)) return true;
    }
  }
  return false;
}

bool Visitors::WaitFor(uint64_t registration, uint64_t deadline_ns) const {
  for (uint32_t round = 0; Uses(registration); ++round) {
    if (host_.NowNs() > deadline_ns) return false;
    if (round < 64) {
      std::this_thread::yield();  // a piece takes microseconds
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));  // its process may have ended: that is noticed
    }
  }
  return true;
}

void Visitors::Clear() {
  std::vector<uint64_t> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, visitor] : visitors_) all.push_back(id);
  }
  for (const uint64_t id : all) ShowOut(id);
}

}  // namespace slipway::local_memcpy
