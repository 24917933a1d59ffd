// One connection from a peer, as target: its requests are checked, applied to registered memory and answered in order.
#ifndef SLIPWAY_PLUGINS_TCP_SESSION_H_
#define SLIPWAY_PLUGINS_TCP_SESSION_H_

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "plugins/tcp/endpoint.h"
#include "plugins/tcp/memory.h"
#include "plugins/tcp/progress.h"
#include "plugins/tcp/receive.h"
#include "plugins/tcp/splice.h"

namespace slipway::tcp {

class TcpInstance;

// Lives on one loop, which owns it; everything here runs on that loop's thread.
class Session : public Pollable {
 public:
  Session(TcpInstance* instance, IoLoop* loop, Socket socket, std::string peer_name);
  ~Session() override;

  // Ends the connection and has the loop delete the session. `counter` and `why` say what for, once a kind in the log.
  void Close(Counter counter, const std::string& why, slipway_status tell);

  bool greeted() const { return greeted_; }
  uint64_t accepted_ns() const { return accepted_ns_; }
  // Whether an access to this registration is under way.
  bool Uses(const Registration* r) const;

  void OnEvents(uint32_t events) override;
  bool Look() override;
  void OnAdopted() override;
  void OnScheduled() override;
  void OnTick(uint64_t now_ns) override;

  // For Receive().
  bool OnFrame(const Frame& frame);
  uint8_t* BodyBegin();
  static bool BodyDetours() { return false; }
  bool BodyEnd(uint64_t n);

 private:
  // An answer that waits its turn.
  struct Answer {
    Frame frame;
    Registration* registration = nullptr;  // held until the body is sent
    const uint8_t* body = nullptr;
    bool lent = false;    // the body's pages are lent, until READ_DONE
    uint64_t number = 0;  // of those that are lent

    uint64_t bytes() const { return kHeaderBytes + (body != nullptr ? frame.length : 0); }
  };
  // A body that was sent, and whose pages the peer has not taken the bytes from yet.
  struct Lent {
    uint64_t id;
    Registration* registration;
  };
  enum class SendResult { kMore, kBlocked };

  bool OnHello(const Frame& frame);
  bool OnRequest(const Frame& frame);
  bool OnReadDone(uint64_t id);
  bool Push(Op op, uint64_t id, slipway_status status, uint64_t length, Registration* r, const uint8_t* body);
  bool Refuse(Counter counter, const std::string& why);
  void ReceiveAll();
  void SendAll();
  SendResult SendFrames();
  SendResult SendLent();
  void Advance(uint64_t sent);
  bool MayLend(uint64_t length) const;
  bool unsent() const { return first_ != last_ || pipe_.held() != 0; }
  Answer& At(uint64_t i) { return answers_[i % answers_.size()]; }
  void ReleaseAll();

  TcpInstance* const instance_;
  IoLoop* const loop_;
  Socket socket_;
  const std::string peer_name_;
  ReceiveState rx_;
  const uint64_t accepted_ns_;
  bool greeted_ = false;
  bool closed_ = false;
  bool more_ = false;                       // a budget ended first
  bool broken_ = false;                     // reset: nothing of it is applied any more
  bool lending_ = false;                    // the peer may be lent pages
  uint64_t received_ns_ = 0, sent_ns_ = 0;  // when bytes last moved, or became due

  // The write whose body is arriving.
  Frame write_;
  slipway_status write_status_ = SLIPWAY_OK;
  Registration* write_to_ = nullptr;
  uint8_t* body_to_ = nullptr;  // NULL: the body is dropped

  // A ring: answers from first_ on to last_ wait; sent_part_ bytes of the first are gone.
  std::vector<Answer> answers_;  // sized by the window, once greeted
  uint64_t first_ = 0, last_ = 0;
  uint64_t sent_part_ = 0;
  SplicePipe pipe_;
  uint64_t lent_in_all_ = 0;
  std::vector<uint8_t> headers_;  // of answers that are lent, by number; never are more lent than there is room for
  std::deque<Lent> lent_;         // by ascending id, at most as many as the window

  Counter refusal_ = Counter::protocol_errors;
  std::string refused_;
  slipway_status tell_ = SLIPWAY_E_PROTOCOL;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_SESSION_H_
