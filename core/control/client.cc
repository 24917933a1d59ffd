#include "core/control/client.h"

#include <array>
#include <atomic>

#include "core/control/address.h"
#include "core/control/client_pool.h"
#include "core/control/gate.h"
#include "core/control/http_stream.h"
#include "core/control/messages.h"
#include "core/control/tls.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

struct Call {
  std::string host;
  uint16_t port = 0;
  const char* method = "GET";
  const char* path = "/";
  std::string body;
  uint64_t deadline_ns = 0;
};

struct Reply {
  int http_status = 0;
  std::string body;
};

// Reads the reply's head before the library does, and gives it a vetted one.
class ReplyStream final : public MessageStream {
 public:
  ReplyStream(Channel& channel, Inbox& inbox, uint64_t max_body_bytes)
      : MessageStream(channel, inbox), channel_(channel), inbox_(inbox), max_body_bytes_(max_body_bytes) {}

  ssize_t read(char* data, size_t size) override {
    if (!asked_) Fetch();
    asked_ = true;
    return status_.ok() ? MessageStream::read(data, size) : -1;
  }
  const Status& status() const { return status_; }
  bool begun() const { return begun_; }  // at least one byte of a reply came
  const ReplyHead& head() const { return head_; }

 private:
  void Fetch() {
    size_t head_bytes = 0;
    const HeadOutcome outcome = ReadHead(channel_, inbox_, &head_bytes);
    begun_ = !inbox_.empty();
    switch (outcome) {
      case HeadOutcome::kOk:
        break;
      case HeadOutcome::kTimedOut:
        status_ = Status(SLIPWAY_E_UNREACHABLE, "no answer in time; check that the node is alive and not overloaded");
        return;
      case HeadOutcome::kNothing:
        status_ = Status(SLIPWAY_E_UNREACHABLE,
                         "the connection was closed without an answer; check that the port is a control server's, and "
                         "its control.max_connections");
        return;
      case HeadOutcome::kCut:
        status_ = Status(SLIPWAY_E_UNREACHABLE, "the connection ended in the middle of the answer; try again");
        return;
      case HeadOutcome::kTooLong:
        status_ = Status(SLIPWAY_E_BAD_REPLY, "what answers is not a control server; check the port");
        return;
      case HeadOutcome::kIsTls:
        status_ = Status(SLIPWAY_E_TLS, "the node speaks TLS: set control.tls.ca_file here");
        return;
    }
    status_ = ParseReplyHead(inbox_.view().substr(0, head_bytes), max_body_bytes_, &head_);
    inbox_.Consume(head_bytes);
    if (status_.ok()) Expect(head_.Canonical(), head_.body_bytes);
  }

  Channel& channel_;
  Inbox& inbox_;
  const uint64_t max_body_bytes_;
  bool asked_ = false, begun_ = false;
  Status status_;
  ReplyHead head_;
};

// The library's part: writes a request and reads its reply on a stream that it is given. It never connects.
class Exchange : private httplib::ClientImpl {
 public:
  Exchange(const std::string& host, uint16_t port) : ClientImpl(host, port) {}
  bool Run(httplib::Stream& stream, httplib::Request& request, httplib::Response& response) {
    httplib::Error error = httplib::Error::Success;
    return process_request(stream, request, response, /*close_connection=*/false, error);
  }
};

}  // namespace

class ControlClient::Impl {
 public:
  Impl(uint64_t max_body_bytes, const std::string& secret, std::unique_ptr<TlsContext> tls, const Clock& clock)
      : max_body_bytes_(max_body_bytes),
        secret_(secret),
        tls_(std::move(tls)),
        clock_(clock),
        resolver_(clock),
        pool_(clock) {}

  // The body of a reply of 200.
  Result<std::string> Ask(Call call, uint64_t timeout_ms);
  Result<std::unique_ptr<Channel>> OpenStream(Call call, const std::string& protocol, uint64_t timeout_ms);
  ControlClientStats stats() const { return {opened_.load(), pool_.size()}; }

 private:
  Result<Reply> Run(const Call& call);
  Result<std::unique_ptr<Channel>> Connect(const Call& call);
  Result<std::unique_ptr<Channel>> ConnectOne(const Address& address, const Call& call, uint64_t deadline_ns);
  Result<std::unique_ptr<Channel>> Upgrade(const Call& call, const std::string& protocol);
  // *untouched: the node closed the connection before it saw the request, as it may do to a kept one.
  Result<Reply> RunOn(std::unique_ptr<Channel> channel, const Call& call, bool* untouched);

  const uint64_t max_body_bytes_;
  const std::string secret_;
  const std::unique_ptr<TlsContext> tls_;
  const Clock& clock_;
  Resolver resolver_;
  ClientPool pool_;
  std::atomic<uint64_t> opened_{0};
};

Result<std::string> ControlClient::Impl::Ask(Call call, uint64_t timeout_ms) {
  const std::string node = FormatHostPort(call.host, call.port);
  try {
    const uint64_t timeout_ns = timeout_ms > kNoDeadline / kNsPerMs ? kNoDeadline : timeout_ms * kNsPerMs;
    call.deadline_ns = DeadlineAfter(clock_.NowNs(), timeout_ns);
    Result<Reply> reply = Run(call);
    if (!reply.ok()) {
      // What could not be connected to is named with its number, which is the same text where the caller gave a number.
      const std::string& said = reply.status().message();
      return Status(reply.status().code(), said.starts_with(node + ": ") ? said : node + ": " + said);
    }
    if (reply->http_status == 200) return std::move(reply->body);
    const Status error = ErrorFromJson(reply->body);
    if (error.code() == SLIPWAY_E_BAD_REPLY) {
      return Status(SLIPWAY_E_BAD_REPLY, node + ": HTTP status " + std::to_string(reply->http_status) +
                                             " without a reason; check that the port is a control server's");
    }
    return Status(error.code(), node + " says: " + error.message());
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_NOMEM, node + ": " + e.what());
  }
}

Result<Reply> ControlClient::Impl::Run(const Call& call) {
  bool untouched = true;
  std::unique_ptr<Channel> kept = pool_.Take(FormatHostPort(call.host, call.port));
  if (kept != nullptr) {
    Result<Reply> reply = RunOn(std::move(kept), call, &untouched);
    if (reply.ok() || !untouched) return reply;
  }
  Result<std::unique_ptr<Channel>> fresh = Connect(call);
  if (!fresh.ok()) return fresh.status();
  return RunOn(*std::move(fresh), call, &untouched);
}

Result<std::unique_ptr<Channel>> ControlClient::Impl::Connect(const Call& call) {
  Result<std::vector<Address>> addresses = resolver_.Resolve(call.host, call.port, call.deadline_ns);
  if (!addresses.ok()) return addresses.status();
  Status last;
  for (size_t i = 0; i < addresses->size(); ++i) {
    const uint64_t now_ns = clock_.NowNs();
    if (i > 0 && now_ns >= call.deadline_ns) break;
    // An address that swallows packets must leave time for the next.
    const uint64_t left_ns = call.deadline_ns > now_ns ? call.deadline_ns - now_ns : 0;
    const uint64_t share_ns = left_ns / (addresses->size() - i);
    Result<std::unique_ptr<Channel>> channel = ConnectOne((*addresses)[i], call, DeadlineAfter(now_ns, share_ns));
    if (channel.ok() || channel.status().code() != SLIPWAY_E_UNREACHABLE) return channel;
    last = channel.status();
  }
  return last;
}

Result<std::unique_ptr<Channel>> ControlClient::Impl::ConnectOne(const Address& address, const Call& call,
                                                                 uint64_t deadline_ns) {
  Result<UniqueFd> fd = ConnectTo(address, deadline_ns, clock_);
  if (!fd.ok()) return fd.status();
  ++opened_;
  auto channel = std::make_unique<Channel>(*std::move(fd), clock_);
  channel->set_deadline_ns(call.deadline_ns);
  if (tls_ != nullptr) SLIPWAY_RETURN_IF_ERROR(channel->StartTls(*tls_, call.host));
  return channel;
}

Result<std::unique_ptr<Channel>> ControlClient::Impl::Upgrade(const Call& call, const std::string& protocol) {
  Result<std::unique_ptr<Channel>> channel = Connect(call);
  if (!channel.ok()) return channel;
  (*channel)->set_deadline_ns(call.deadline_ns);
  std::string head = std::string("GET ") + call.path + " HTTP/1.1\r\nHost: " + FormatHostPort(call.host, call.port) +
                     "\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n";
  if (!secret_.empty()) head += "Authorization: Bearer " + secret_ + "\r\n";
  (void)(*channel)->Write(head + "\r\n");  // a refusal may come before all of it was read
  Inbox inbox;
  size_t head_bytes = 0;
  const HeadOutcome outcome = ReadHead(**channel, inbox, &head_bytes);
  if (outcome == HeadOutcome::kIsTls) return Status(SLIPWAY_E_TLS, "the node speaks TLS: set control.tls.ca_file here");
  if (outcome == HeadOutcome::kTooLong) return Status(SLIPWAY_E_BAD_REPLY, "what answers is not a control server");
  if (outcome != HeadOutcome::kOk) return Status(SLIPWAY_E_UNREACHABLE, "no answer; check that the node is alive");
  constexpr std::string_view kAccepted = "HTTP/1.1 101 ";
  if (inbox.view().starts_with(kAccepted)) {
    // The node speaks only when it is spoken to.
    if (inbox.view().size() > head_bytes) return Status(SLIPWAY_E_BAD_REPLY, "the node spoke out of turn");
    return channel;
  }
  ReplyHead reply;
  SLIPWAY_RETURN_IF_ERROR(ParseReplyHead(inbox.view().substr(0, head_bytes), max_body_bytes_, &reply));
  inbox.Consume(head_bytes);
  std::array<char, 4096> buffer;
  while (inbox.view().size() < reply.body_bytes) {
    const IoResult got = (*channel)->Read(buffer.data(), buffer.size());
    if (got.outcome != IoOutcome::kOk) break;
    inbox.Append(std::string_view(buffer.data(), got.bytes));
  }
  return ErrorFromJson(inbox.view().substr(0, reply.body_bytes));
}

Result<std::unique_ptr<Channel>> ControlClient::Impl::OpenStream(Call call, const std::string& protocol,
                                                                 uint64_t timeout_ms) {
  const std::string node = FormatHostPort(call.host, call.port);
  try {
    const uint64_t timeout_ns = timeout_ms > kNoDeadline / kNsPerMs ? kNoDeadline : timeout_ms * kNsPerMs;
    call.deadline_ns = DeadlineAfter(clock_.NowNs(), timeout_ns);
    Result<std::unique_ptr<Channel>> channel = Upgrade(call, protocol);
    if (channel.ok()) return channel;
    const std::string& said = channel.status().message();
    return Status(channel.status().code(), said.starts_with(node + ": ") ? said : node + ": " + said);
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_NOMEM, node + ": " + e.what());
  }
}

Result<Reply> ControlClient::Impl::RunOn(std::unique_ptr<Channel> channel, const Call& call, bool* untouched) {
  const std::string node = FormatHostPort(call.host, call.port);
  channel->set_deadline_ns(call.deadline_ns);
  httplib::Request request;
  request.method = call.method;
  request.path = call.path;
  request.body = call.body;
  request.set_header("Host", node);
  if (!call.body.empty()) request.set_header("Content-Type", "application/json");
  if (!secret_.empty()) request.set_header("Authorization", "Bearer " + secret_);
  httplib::Response response;
  Inbox inbox;
  ReplyStream stream(*channel, inbox, max_body_bytes_);
  const bool answered = Exchange(call.host, call.port).Run(stream, request, response);
  *untouched = !stream.begun() && stream.last_failure() != IoOutcome::kTimedOut && clock_.NowNs() < call.deadline_ns;
  if (!answered) {
    // A server that refuses a request may answer before it has read it, and close.
    char first = 0;
    if (stream.status().ok() && !stream.begun()) (void)stream.read(&first, 1);
    if (!stream.status().ok()) return stream.status();
    return Status(SLIPWAY_E_UNREACHABLE, stream.last_failure() == IoOutcome::kTimedOut
                                             ? "no complete answer in time"
                                             : "the connection ended in the middle of the exchange; try again");
  }
  if (stream.head().keep_alive && stream.all_read() && inbox.empty()) pool_.Put(node, std::move(channel));
  return Reply{response.status, std::move(response.body)};
}

ControlClient::ControlClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlClient::~ControlClient() = default;
ControlClientStats ControlClient::stats() const { return impl_->stats(); }

Result<std::unique_ptr<ControlClient>> ControlClient::Create(const ControlOptions& options, const std::string& secret,
                                                             const Clock& clock) {
  SLIPWAY_RETURN_IF_ERROR(CheckSecret(secret));
  std::unique_ptr<TlsContext> tls;
  if (!options.tls.certificate_file.empty() || !options.tls.ca_file.empty()) {
    Result<std::unique_ptr<TlsContext>> made = TlsContext::ForClient(options.tls);
    if (!made.ok()) return made.status();
    tls = *std::move(made);
  }
  return std::unique_ptr<ControlClient>(
      new ControlClient(std::make_unique<Impl>(options.max_body_bytes, secret, std::move(tls), clock)));
}

Result<SegmentDescriptor> ControlClient::Open(const SegmentUrl& url, const std::vector<ProtocolRange>& protocols,
                                              uint64_t timeout_ms) {
  const std::string node = FormatHostPort(url.host, url.port);
  if (!IsSegmentName(url.name)) {
    return Status(SLIPWAY_E_ADDRESS,
                  "\"" + url.name.substr(0, 128) + "\" is no name of a segment: [A-Za-z0-9._-/]{1,255}");
  }
  Result<std::string> body =
      impl_->Ask({url.host, url.port, "POST", "/v1/open", OpenRequestToJson({url.name, protocols}), 0}, timeout_ms);
  if (!body.ok()) return body.status();
  Result<SegmentDescriptor> descriptor = DescriptorFromJson(*body);
  if (!descriptor.ok()) return Status(descriptor.status().code(), node + ": " + descriptor.status().message());
  if (descriptor->name != url.name) {
    return Status(SLIPWAY_E_BAD_REPLY,
                  node + ": asked for segment \"" + url.name + "\" and was told about \"" + descriptor->name + "\"");
  }
  return descriptor;
}

Result<std::unique_ptr<Channel>> ControlClient::OpenStream(const std::string& host, uint16_t port,
                                                           const std::string& protocol, uint64_t timeout_ms) {
  return impl_->OpenStream({host, port, "GET", "/v1/stream", "", 0}, protocol, timeout_ms);
}

Result<std::vector<SegmentSummary>> ControlClient::List(const std::string& host, uint16_t port, uint64_t timeout_ms) {
  Result<std::string> body = impl_->Ask({host, port, "GET", "/v1/segments", "", 0}, timeout_ms);
  if (!body.ok()) return body.status();
  Result<std::vector<SegmentSummary>> list = SegmentListFromJson(*body);
  if (!list.ok()) return Status(list.status().code(), FormatHostPort(host, port) + ": " + list.status().message());
  return list;
}

Result<std::string> ControlClient::Describe(const std::string& host, uint16_t port, uint64_t timeout_ms) {
  Result<std::string> body = impl_->Ask({host, port, "GET", "/v1/describe", "", 0}, timeout_ms);
  if (body.ok() && !IsBoundedJson(*body)) {
    return Status(SLIPWAY_E_BAD_REPLY, FormatHostPort(host, port) + ": the description is not JSON");
  }
  return body;
}

}  // namespace slipway
