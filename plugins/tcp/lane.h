// One connection to a peer, as initiator: a bounded queue of requests, sent in order and answered in order.
//
// Four parties touch it. Submitters put requests into the queue and send while the socket takes them; whoever holds
// the right to send (`sending_`) sends for everybody. The lane's io thread connects, receives, and ends the lane.
// Pollers receive instead of it while only short answers are due and it has left the lane to them (direct.h).
// Cancellers mark requests. The queue's lock is held for bookkeeping only, never across a system call.
#ifndef SLIPWAY_PLUGINS_TCP_LANE_H_
#define SLIPWAY_PLUGINS_TCP_LANE_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "plugins/tcp/channel.h"
#include "plugins/tcp/endpoint.h"
#include "plugins/tcp/progress.h"
#include "plugins/tcp/receive.h"
#include "plugins/tcp/splice.h"
#include "plugins/tcp/stats.h"

namespace slipway::tcp {

class TcpPeer;
class TcpInstance;

// A slice on its way.
struct Request {
  TcpChannel* channel = nullptr;
  sdk::InUse* remote = nullptr;
  sdk::InUse* mr = nullptr;  // may be NULL
  uint64_t token = 0;
  uint8_t* local = nullptr;
  uint64_t length = 0, offset = 0, registration = 0;
  Key key{};
  bool write = false;
  // By the lane:
  bool completed = false;  // its completion is queued; local memory is not touched any more
  bool skipped = false;    // never sent: canceled before
  bool joined = false;     // its body is part of the frame of the request before
  bool answered = false;
  bool canceled = false;
  slipway_status status = SLIPWAY_OK;  // once answered
};

class Lane : public Pollable {
 public:
  Lane(TcpPeer* peer, IoLoop* loop, uint32_t index, uint32_t capacity);
  ~Lane() override;

  // [any] Takes a request into the queue. False: it is full, or the lane has ended (then *ended).
  bool Enqueue(const Request& request, bool* ended) SLIPWAY_EXCLUDES(mutex_);
  // [any] Sends what is queued, at most about `budget` bytes of it on this thread. Bodies to be spliced are left to the
  // loop.
  void Send(uint64_t budget, bool on_loop = false) SLIPWAY_EXCLUDES(mutex_);
  // [any] The same for a submitter or poller, unless so much is under way that the loop does it better.
  void SendInline(uint64_t budget) SLIPWAY_EXCLUDES(mutex_);
  // [any] True: a request of this channel with this token was here and not completed.
  bool Cancel(const TcpChannel* channel, uint64_t token, WakeSet* wakes) SLIPWAY_EXCLUDES(mutex_);

  // [loop] Tries the addresses from number `first_address` on.
  void Connect(size_t first_address);
  // [loop] Closes the connection and completes everything on it. Idempotent.
  void End(slipway_status status) SLIPWAY_EXCLUDES(mutex_);

  IoLoop* loop() const { return loop_; }
  uint32_t index() const { return index_; }
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  int socket_fd() const { return socket_.fd(); }
  uint64_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }

  void OnEvents(uint32_t events) override;
  void OnScheduled() override;
  void OnTick(uint64_t now_ns) override;

  // [any, by DirectLanes alone] Receives what has come, a little at a time. False: the connection is at its end, or a
  // frame was not acceptable; the loop, which was told, sees to it.
  bool ReceiveDirect(const TcpChannel* poller) SLIPWAY_EXCLUDES(mutex_);

  // For Receive(): by whoever receives.
  bool OnFrame(const Frame& frame) SLIPWAY_EXCLUDES(mutex_);
  uint8_t* BodyBegin() SLIPWAY_EXCLUDES(mutex_);
  bool BodyDetours() const { return body_detours_; }
  bool BodyEnd(uint64_t n) SLIPWAY_EXCLUDES(mutex_);

 private:
  static constexpr uint64_t kShortRun = 4;

  enum class State { kIdle, kConnecting, kHello, kReady, kEnded };
  enum class SendResult { kMore, kNothing, kWouldBlock, kBudget };
  struct Batch;

  // Connecting, on the loop's thread.
  void TryNextAddress();
  void AttemptFailed(const std::string& why, int error, slipway_status status);
  void OnConnected();
  bool OnHelloAck(const Frame& frame);

  // Receiving: by the loop, or in ReceiveDirect.
  void ReceiveAll();
  void OnConnectionLost(Received r);
  void LeaveToPollers() SLIPWAY_EXCLUDES(mutex_);
  void TakeBack();
  bool NothingLarge() SLIPWAY_EXCLUDES(mutex_);
  bool OnAnswer(const Frame& frame) SLIPWAY_EXCLUDES(mutex_);
  bool OnPong(const Frame& frame) SLIPWAY_EXCLUDES(mutex_);
  bool Refuse(slipway_status status, const std::string& why);

  // Sending, by whoever holds sending_.
  SendResult SendSome(uint64_t* budget, bool on_loop) SLIPWAY_EXCLUDES(mutex_);
  SendResult Sent(uint64_t sent, uint64_t wanted, int error) SLIPWAY_EXCLUDES(mutex_);
  SendResult SendPiped(Batch* batch, uint64_t* budget) SLIPWAY_EXCLUDES(mutex_);
  void Gather(Batch* batch, uint64_t budget, bool on_loop) SLIPWAY_REQUIRES(mutex_);
  void GatherControl(Batch* batch) SLIPWAY_REQUIRES(mutex_);
  void Advance(uint64_t sent, WakeSet* wakes) SLIPWAY_REQUIRES(mutex_);
  void BeginFrame(uint64_t index) SLIPWAY_REQUIRES(mutex_);
  bool MidFrame() const SLIPWAY_REQUIRES(mutex_);
  bool ControlUnsent() const SLIPWAY_REQUIRES(mutex_);
  bool AnyUnsent() const SLIPWAY_REQUIRES(mutex_) { return ControlUnsent() || sent_ != tail_; }
  bool MayBeSent(uint64_t index) const SLIPWAY_REQUIRES(mutex_);
  uint64_t BodyLeft(uint64_t index, uint64_t part) const SLIPWAY_REQUIRES(mutex_);
  uint64_t FrameBytes(const Request& r) const { return (r.joined ? 0 : kHeaderBytes) + (r.write ? r.length : 0); }
  Frame FrameOf(uint64_t index) const SLIPWAY_REQUIRES(mutex_);

  Request& At(uint64_t index) SLIPWAY_REQUIRES(mutex_) { return ring_[index & mask_]; }
  const Request& At(uint64_t index) const SLIPWAY_REQUIRES(mutex_) { return ring_[index & mask_]; }
  void Complete(Request* r, slipway_status status, WakeSet* wakes) SLIPWAY_REQUIRES(mutex_);
  void PopAnswered(WakeSet* wakes) SLIPWAY_REQUIRES(mutex_);
  void SkipCanceled(WakeSet* wakes) SLIPWAY_REQUIRES(mutex_);
  bool CancelOverdue(uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  uint64_t handed_out() const SLIPWAY_REQUIRES(mutex_);
  bool LeftToLoop() SLIPWAY_EXCLUDES(mutex_);

  // Constant after construction.
  TcpPeer* const peer_;
  TcpInstance* const instance_;
  IoLoop* const loop_;
  const uint32_t index_;
  const uint32_t mask_;

  std::atomic<bool> ready_{false};         // connected and greeted
  std::atomic<bool> splicing_{false};      // the peer may be lent pages
  std::atomic<bool> sending_{false};       // somebody holds the right to send
  std::atomic<bool> wanted_{false};        // there may be something to send that the holder has not seen
  std::atomic<uint64_t> progress_ns_{0};   // when bytes last moved, or work began
  std::atomic<uint64_t> queued_bytes_{0};  // bodies not answered yet, for choosing a lane

  // The loop's thread only. The descriptor is also used by whoever holds sending_; it is closed holding that.
  State state_ = State::kIdle;
  Socket socket_;
  SplicePipe pipe_;               // likewise
  std::vector<uint8_t> headers_;  // likewise: of requests that are lent with their headers, placed as in ring_
  std::unique_ptr<ReceiveState> rx_;
  size_t address_ = 0;
  uint64_t deadline_ns_ = 0;  // of the attempt under way
  std::string last_error_;
  slipway_status last_status_ = SLIPWAY_E_PEER;
  int last_errno_ = 0;
  bool direct_ = false;  // left to pollers, who then receive instead of the loop: rx_ and all below are theirs
  Received outcome_ = Received::kDrained;  // what a poller met that it left to the loop
  uint64_t body_done_ = 0;                 // bytes in place of the read whose body is arriving
  bool body_lent_ = false;                 // the peer lends them
  bool body_detours_ = false;              // and straight to their place they would come slowly
  bool more_to_send_ = false;              // there was when the last answer came
  bool receive_more_ = false;              // the budget ended before the socket was drained
  std::string refused_;                    // why a frame was not acceptable
  slipway_status refused_status_ = SLIPWAY_E_PROTOCOL;
  WakeSet wakes_;

  // Requests by running number; each lies at its number modulo the ring's size.
  //   head_ <= received_ and head_ <= sent_; received_ <= handed_out(); sent_ <= tail_
  Mutex mutex_;
  std::vector<Request> ring_ SLIPWAY_GUARDED_BY(mutex_);  // of constant size
  uint64_t head_ SLIPWAY_GUARDED_BY(mutex_) = 0;          // the oldest that is remembered
  uint64_t received_ SLIPWAY_GUARDED_BY(mutex_) = 0;      // the next to be answered
  uint64_t sent_ SLIPWAY_GUARDED_BY(mutex_) = 0;          // the next to be sent, or partly sent
  uint64_t sent_part_ SLIPWAY_GUARDED_BY(mutex_) = 0;     // bytes of its frame that are
  uint64_t in_call_ SLIPWAY_GUARDED_BY(mutex_) = 0;       // those below may be with the kernel right now
  uint64_t frame_end_ SLIPWAY_GUARDED_BY(mutex_) = 0;     // those below are in a frame that has begun
  uint64_t tail_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint64_t joined_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // of those from head_ on that are in the frame of one before
  uint64_t window_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // frames on the wire; 0 until the peer greeted
  bool ended_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::atomic<uint64_t> large_{0};  // requests that are outstanding; written with the lock held
  uint64_t short_run_ SLIPWAY_GUARDED_BY(mutex_) = kShortRun;   // requests since the last large one, or since idle
  bool idle_ SLIPWAY_GUARDED_BY(mutex_) = false;                // nothing was enqueued since the last tick
  std::atomic<bool> take_back_{false};                          // the loop is to receive again
  bool body_busy_ SLIPWAY_GUARDED_BY(mutex_) = false;           // bytes may be going to the local memory of received_
  uint64_t cancel_deadline_ns_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // 0: none
  bool ping_wanted_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool done_wanted_ SLIPWAY_GUARDED_BY(mutex_) = false;
  uint64_t done_id_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // the last lent body that was taken
  // PING and READ_DONE, which are sent before anything else: bytes from control_begin_ to control_end_ are left.
  uint8_t control_[2 * kHeaderBytes] = {};  // by whoever holds sending_
  uint32_t control_begin_ SLIPWAY_GUARDED_BY(mutex_) = 0, control_end_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  uint32_t ping_end_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // where a ping among them ends
  bool ping_out_ SLIPWAY_GUARDED_BY(mutex_) = false;
  uint64_t ping_after_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // what must have been answered before the pong
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_LANE_H_
