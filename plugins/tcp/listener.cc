#include "plugins/tcp/listener.h"

#include <sys/epoll.h>

#include <cerrno>

#include "plugins/tcp/session.h"
#include "plugins/tcp/transport.h"

namespace slipway::tcp {

int Listener::Start() {
  loop_->Enter(this);
  return loop_->Watch(socket_.fd(), this, EPOLLIN);
}

void Listener::Close() {
  if (!socket_.open()) return;
  loop_->Leave(this);
  loop_->Unwatch(socket_.fd());
  socket_.Close();
}

void Listener::OnEvents(uint32_t) { AcceptAll(); }

void Listener::OnTick(uint64_t) {
  if (starved_) AcceptAll();
}

void Listener::AcceptAll() {
  starved_ = false;
  while (socket_.open()) {
    sockaddr_storage storage{};
    socklen_t len = sizeof(storage);
    Socket s(accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&storage), &len, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!s.open()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      starved_ = true;
      instance_->stats().Add(Counter::accept_errors);
      instance_->LogOnce(SLIPWAY_LOG_ERROR, Counter::accept_errors,
                         "cannot accept a connection: " + ErrnoText(errno) + "; trying again");
      return;
    }
    SocketAddress from;
    FromSockaddr(storage, &from);
    ApplyOptions(s.fd(), instance_->config(), instance_->networks().Near(from));
    instance_->Adopt(std::move(s), from);
  }
}

}  // namespace slipway::tcp
