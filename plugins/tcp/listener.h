// A listening socket: takes connections in, within the bounds, and hands each to a loop.
#ifndef SLIPWAY_PLUGINS_TCP_LISTENER_H_
#define SLIPWAY_PLUGINS_TCP_LISTENER_H_

#include "plugins/tcp/endpoint.h"
#include "plugins/tcp/progress.h"

namespace slipway::tcp {

class TcpInstance;

// Everything but the constructor runs on its loop's thread.
class Listener : public Pollable {
 public:
  Listener(TcpInstance* instance, IoLoop* loop, Socket socket)
      : instance_(instance), loop_(loop), socket_(std::move(socket)) {}

  int Start();  // 0, or errno
  void Close();

  void OnEvents(uint32_t events) override;
  // Descriptors may have run out earlier, of which no event tells that it is over.
  void OnTick(uint64_t now_ns) override;

 private:
  void AcceptAll();

  TcpInstance* const instance_;
  IoLoop* const loop_;
  Socket socket_;
  bool starved_ = false;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_LISTENER_H_
