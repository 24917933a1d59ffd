#include "core/control/http_frontend.h"

#include <csignal>

#include "core/control/http_stream.h"
#include "core/control/messages.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kWarningEveryNs = 10'000'000'000;
constexpr char kJson[] = "application/json";

int HttpStatusOf(slipway_status code) {
  switch (code) {
    case SLIPWAY_E_INVALID:
      return 400;
    case SLIPWAY_E_UNAUTHENTICATED:
      return 401;
    case SLIPWAY_E_ACCESS:
    case SLIPWAY_E_SEGMENT_ACCESS:
      return 403;
    case SLIPWAY_E_NO_SEGMENT:
      return 404;
    case SLIPWAY_E_NO_ROUTE:
      return 409;
    case SLIPWAY_E_AGAIN:
    case SLIPWAY_E_BUSY:
    case SLIPWAY_E_NOMEM:
    case SLIPWAY_E_CLOSED:
      return 503;
    default:
      return 500;
  }
}

const char* ReasonOf(int http_status) {
  switch (http_status) {
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 431:
      return "Request Header Fields Too Large";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Bad Request";
  }
}

std::string RefusalText(const Refusal& refusal, bool head_only) {
  const std::string body = ErrorToJson(refusal.status);
  std::string out = "HTTP/1.1 " + std::to_string(refusal.http_status) + " " + ReasonOf(refusal.http_status) + "\r\n";
  if (refusal.http_status == 401) out += "WWW-Authenticate: Bearer\r\n";
  if (refusal.http_status == 405) out += "Allow: GET, HEAD, POST\r\n";
  out += "Connection: close\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n";
  return head_only ? out : out + body;
}

void SetError(httplib::Response& response, const Status& status) {
  response.status = HttpStatusOf(status.code());
  response.set_content(ErrorToJson(status), kJson);
}

std::string StatsText(const ControlStats& stats) {
  std::string out;
  const auto add = [&](const char* name, const char* type, uint64_t value) {
    const std::string full = std::string("slipway_control_") + name;
    out += "# TYPE " + full + " " + type + "\n" + full + " " + std::to_string(value) + "\n";
  };
  add("connections_accepted_total", "counter", stats.connections_accepted);
  add("connections_refused_total", "counter", stats.connections_refused);
  add("connections_evicted_total", "counter", stats.connections_evicted);
  add("connections_idle_closed_total", "counter", stats.connections_idle_closed);
  add("connections_open", "gauge", stats.connections_open);
  add("connections_busy", "gauge", stats.connections_busy);
  add("threads", "gauge", stats.threads);
  add("requests_total", "counter", stats.requests);
  add("bad_input_total", "counter", stats.bad_input);
  add("unauthenticated_total", "counter", stats.unauthenticated);
  add("forbidden_total", "counter", stats.forbidden);
  add("timed_out_total", "counter", stats.timed_out);
  add("tls_failed_total", "counter", stats.tls_failed);
  return out;
}

// The library's server ignores SIGPIPE for the whole process from its constructor on. Here nothing raises it, and the
// decision is the application's.
class KeepSigpipe {
 public:
  KeepSigpipe() { sigaction(SIGPIPE, nullptr, &old_); }
  void Restore() { sigaction(SIGPIPE, &old_, nullptr); }

 private:
  struct sigaction old_ {};
};

}  // namespace

// The library's part: reads what MessageStream gives, finds the endpoint, writes its answer. It never listens.
class HttpFrontend::Endpoints : private KeepSigpipe, private httplib::Server {  // in this order
 public:
  Endpoints(const ControlOptions& options, SegmentSource* source, HttpFrontend* frontend)
      : max_reply_bytes_(options.max_body_bytes), source_(source), frontend_(frontend) {
    Restore();
    set_payload_max_length(options.max_body_bytes);
    set_keep_alive_timeout(static_cast<time_t>(options.idle_timeout_ms / 1000));  // what replies announce
    set_keep_alive_max_count(SIZE_MAX);
    Post("/v1/open", [this](const httplib::Request& in, httplib::Response& out) { Open(in.body, out); });
    Get("/v1/segments", [this](const httplib::Request&, httplib::Response& out) {
      Answer(out, SegmentListToJson(source_->ListSegments()), kJson);
    });
    Get("/v1/describe",
        [this](const httplib::Request&, httplib::Response& out) { Answer(out, source_->DescribeJson(), kJson); });
    Get("/metrics", [this](const httplib::Request&, httplib::Response& out) {
      Answer(out, source_->MetricsText() + StatsText(frontend_->stats_()), "text/plain; version=0.0.4");
    });
    Get("/healthz",
        [this](const httplib::Request&, httplib::Response& out) { Answer(out, R"({"status":"ok"})", kJson); });
    set_exception_handler([](const httplib::Request&, httplib::Response& out, std::exception_ptr) {
      SetError(out, Status(SLIPWAY_E_INTERNAL, "the node failed to answer; its log says more"));
    });
    set_error_handler(httplib::Server::Handler(
        [this](const httplib::Request& in, httplib::Response& out) { ExplainUnrouted(in, out); }));
  }

  bool Process(MessageStream& stream, bool close_connection, bool& closed) {
    return process_request(stream, close_connection, closed, nullptr);
  }

 private:
  void Answer(httplib::Response& out, const std::string& body, const char* type) {
    ++frontend_->counters_.requests;
    if (body.size() <= max_reply_bytes_) {
      out.set_content(body, type);
      return;
    }
    SetError(out, Status(SLIPWAY_E_TOO_LARGE, "the answer has " + std::to_string(body.size()) +
                                                  " bytes; raise control.max_body_bytes on both nodes, or publish "
                                                  "segments of fewer registrations"));
  }

  void Open(const std::string& body, httplib::Response& out) {
    Result<OpenRequest> request = OpenRequestFromJson(body);
    if (!request.ok()) {
      if (request.status().code() == SLIPWAY_E_INVALID) ++frontend_->counters_.bad_input;
      SetError(out, request.status());
      return;
    }
    Result<SegmentDescriptor> descriptor = source_->OpenSegment(request->segment, request->protocols);
    if (descriptor.ok()) {
      Answer(out, DescriptorToJson(*descriptor), kJson);
    } else {
      ++frontend_->counters_.requests;
      SetError(out, descriptor.status());
    }
  }

  // Called for every reply of 400 and above: those of the library itself have no body yet.
  void ExplainUnrouted(const httplib::Request&, httplib::Response& out) {
    if (!out.body.empty()) return;
    ++frontend_->counters_.bad_input;
    const int http_status = out.status;
    SetError(out, http_status == 404
                      ? Status(SLIPWAY_E_UNSUPPORTED,
                               "no such endpoint: there are POST /v1/open, and GET /v1/segments, /v1/describe, "
                               "/metrics, /healthz")
                      : Status(SLIPWAY_E_INVALID, "not a request that this server understands"));
    out.status = http_status;
  }

  const uint64_t max_reply_bytes_;
  SegmentSource* const source_;
  HttpFrontend* const frontend_;
};

HttpFrontend::HttpFrontend(const ControlOptions& options, std::unique_ptr<Gate> gate, std::unique_ptr<TlsContext> tls,
                           SegmentSource* source, const Clock& clock, Logger& logger)
    : options_(options),
      source_(source),
      gate_(std::move(gate)),
      tls_(std::move(tls)),
      clock_(clock),
      logger_(logger),
      endpoints_(std::make_unique<Endpoints>(options, source, this)) {}

HttpFrontend::~HttpFrontend() = default;

bool HttpFrontend::Serve(Connection& connection) {
  try {
    return ServeAll(connection);
  } catch (...) {
    return false;  // out of memory for this request: its connection ends, the others go on
  }
}

bool HttpFrontend::ServeAll(Connection& connection) {
  const auto restart_deadline = [&] {
    connection.channel.set_deadline_ns(DeadlineAfter(clock_.NowNs(), options_.request_timeout_ms * kNsPerMs));
  };
  restart_deadline();
  if (tls_ != nullptr && !connection.channel.has_tls() && !StartTls(connection)) return false;
  for (;;) {
    if (!ServeOne(connection)) return false;
    if (connection.inbox.empty() && !connection.channel.HasBuffered()) return true;
    restart_deadline();
  }
}

bool HttpFrontend::StartTls(Connection& connection) {
  unsigned char first = 0;
  const IoResult peeked = connection.channel.Peek(&first);
  if (peeked.outcome != IoOutcome::kOk) return false;
  if (first >= 'A' && first <= 'Z') {  // a method, not a record of TLS
    return Refuse(connection,
                  {400, Status(SLIPWAY_E_TLS,
                               "this port speaks TLS: set control.tls.ca_file (or certificate_file) on "
                               "the node that connects, and use https")},
                  /*head_only=*/false);
  }
  const Status status = connection.channel.StartTls(*tls_, "");
  if (status.ok()) return true;
  ++(status.code() == SLIPWAY_E_TLS ? counters_.tls_failed : counters_.timed_out);
  return false;
}

bool HttpFrontend::ServeOne(Connection& connection) {
  size_t head_bytes = 0;
  switch (ReadHead(connection.channel, connection.inbox, &head_bytes)) {
    case HeadOutcome::kOk:
      break;
    case HeadOutcome::kNothing:
      return false;
    case HeadOutcome::kCut:
      ++counters_.bad_input;
      return false;
    case HeadOutcome::kTimedOut:
      ++counters_.timed_out;
      return false;
    case HeadOutcome::kTooLong:
      return Refuse(connection, {431, Status(SLIPWAY_E_TOO_LARGE, "the request's head is longer than 16 KiB")}, false);
    case HeadOutcome::kIsTls:
      return Refuse(connection, {400, Status(SLIPWAY_E_TLS, "this port speaks plain HTTP")}, false);
  }
  RequestHead head;
  Refusal refusal = ParseRequestHead(connection.inbox.view().substr(0, head_bytes), options_.max_body_bytes, &head);
  if (!refusal) refusal = gate_->Admit(head);
  if (refusal) return Refuse(connection, refusal, head.method == "HEAD");
  connection.inbox.Consume(head_bytes);
  if (head.target == "/v1/stream") return ServeStream(connection, head);

  MessageStream stream(connection.channel, connection.inbox);
  stream.Expect(head.Canonical(), head.body_bytes);
  bool closed = !head.keep_alive;
  const bool answered = endpoints_->Process(stream, !head.keep_alive, closed);
  if (stream.last_failure() == IoOutcome::kTimedOut) ++counters_.timed_out;
  return answered && !closed && !stream.failed() && stream.all_read();
}

// Always false: the connection is not HTTP's any more.
bool HttpFrontend::ServeStream(Connection& connection, const RequestHead& head) {
  const std::string* upgrade = head.headers.Find("upgrade");
  if (head.method != "GET" || upgrade == nullptr || head.headers.Count("upgrade") != 1) {
    return Refuse(connection, {400, Status(SLIPWAY_E_INVALID, "/v1/stream is for GET with one Upgrade header")}, false);
  }
  Result<SegmentSource::Stream> stream = source_->OpenStream(*upgrade);
  if (!stream.ok()) return Refuse(connection, {404, stream.status()}, false);
  ++counters_.requests;
  const std::string accepted =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + *upgrade + "\r\n\r\n";
  if (connection.channel.Write(accepted).outcome != IoOutcome::kOk) return false;
  (*stream)(connection.channel, std::string(connection.inbox.view()));
  return false;
}

// Always false: what follows a refused head cannot be told from its body.
bool HttpFrontend::Refuse(Connection& connection, const Refusal& refusal, bool head_only) {
  Count(connection, refusal);
  if (connection.channel.Write(RefusalText(refusal, head_only)).outcome == IoOutcome::kOk) connection.channel.Linger();
  return false;
}

void HttpFrontend::Count(const Connection& connection, const Refusal& refusal) {
  if (refusal.status.code() == SLIPWAY_E_TLS) {
    ++counters_.tls_failed;
  } else if (refusal.http_status == 403) {
    ++counters_.forbidden;
  } else if (refusal.http_status != 401) {
    ++counters_.bad_input;
  } else {
    ++counters_.unauthenticated;
    const uint64_t now_ns = clock_.NowNs();
    uint64_t last_ns = last_warning_ns_.load();
    if ((last_ns == 0 || now_ns - last_ns >= kWarningEveryNs) &&
        last_warning_ns_.compare_exchange_strong(last_ns, now_ns)) {
      logger_.Warning("control server: " + connection.peer + " came without the shared secret, or with another one");
    }
  }
}

void HttpFrontend::AddTo(ControlStats* stats) const {
  stats->requests = counters_.requests;
  stats->bad_input = counters_.bad_input;
  stats->unauthenticated = counters_.unauthenticated;
  stats->forbidden = counters_.forbidden;
  stats->timed_out = counters_.timed_out;
  stats->tls_failed = counters_.tls_failed;
}

}  // namespace slipway
