#include "tools/slipway/node_client.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "slipway/engine.hpp"
#include "tools/slipway/json_view.h"

namespace slipway::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kReplyBytesMax = size_t{4} << 20;

struct Free {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

// One connection, plain or TLS, every wait of which ends at the deadline.
class Connection {
 public:
  Connection(std::string address, Clock::time_point deadline) : address_(std::move(address)), deadline_(deadline) {}
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status Connect() {
    const size_t colon = address_.rfind(':');
    if (colon == std::string::npos || colon == 0) return {SLIPWAY_E_ADDRESS, address_ + ": expected HOST:PORT"};
    host_ = address_.substr(0, colon);
    if (host_.size() > 2 && host_.front() == '[' && host_.back() == ']') host_ = host_.substr(1, host_.size() - 2);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* raw = nullptr;
    const int resolved = getaddrinfo(host_.c_str(), address_.c_str() + colon + 1, &hints, &raw);
    const std::unique_ptr<addrinfo, Free> list(raw);
    if (resolved != 0) return {SLIPWAY_E_ADDRESS, address_ + ": " + gai_strerror(resolved)};
    Status status(SLIPWAY_E_UNREACHABLE, address_ + ": nobody answers");
    for (const addrinfo* one = list.get(); one != nullptr && !status.ok(); one = one->ai_next) status = ConnectTo(*one);
    return status;
  }

  Status StartTls(const ControlAccess& access) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    bool good = context_ != nullptr && SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION) == 1;
    good = good && (access.ca_file.empty() ? SSL_CTX_set_default_verify_paths(context_.get())
                                           : SSL_CTX_load_verify_file(context_.get(), access.ca_file.c_str())) == 1;
    if (good && !access.certificate_file.empty())
      good = SSL_CTX_use_certificate_chain_file(context_.get(), access.certificate_file.c_str()) == 1 &&
             SSL_CTX_use_PrivateKey_file(context_.get(), access.key_file.c_str(), SSL_FILETYPE_PEM) == 1;
    if (good) ssl_.reset(SSL_new(context_.get()));
    if (ssl_ == nullptr) return TlsError("cannot be set up");
    SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host_.c_str()) != 1 &&
        (SSL_set1_host(ssl_.get(), host_.c_str()) != 1 || SSL_set_tlsext_host_name(ssl_.get(), host_.c_str()) != 1))
      return TlsError("cannot be set up for that host");
    SSL_set_fd(ssl_.get(), fd_);
    return Repeat([&] { return SSL_connect(ssl_.get()); }) > 0 ? Status() : TlsError("was not agreed on");
  }

  bool Write(std::string_view text) {
    while (!text.empty()) {
      const int size = static_cast<int>(text.size());
      const int wrote = Repeat([&] {
        return ssl_ ? SSL_write(ssl_.get(), text.data(), size)
                    : static_cast<int>(send(fd_, text.data(), text.size(), MSG_NOSIGNAL));
      });
      if (wrote <= 0) return false;
      text.remove_prefix(static_cast<size_t>(wrote));
    }
    return true;
  }

  // Up to the peer's end of the connection, or `bytes_max`. False when the deadline or an error came first.
  bool ReadAll(size_t bytes_max, std::string* text) {
    std::array<char, 8192> buffer;
    while (text->size() < bytes_max) {
      const int size = static_cast<int>(std::min(buffer.size(), bytes_max - text->size()));
      const int got = Repeat([&] {
        return ssl_ ? SSL_read(ssl_.get(), buffer.data(), size)
                    : static_cast<int>(recv(fd_, buffer.data(), static_cast<size_t>(size), 0));
      });
      if (got <= 0) return got == 0 || (ssl_ && SSL_get_error(ssl_.get(), got) == SSL_ERROR_ZERO_RETURN);
      text->append(buffer.data(), static_cast<size_t>(got));
    }
    return true;
  }

 private:
  Status ConnectTo(const addrinfo& target) {
    const std::string failed = address_ + ": cannot connect: ";
    if (fd_ >= 0) close(fd_);
    fd_ = socket(target.ai_family, target.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, target.ai_protocol);
    if (fd_ < 0) return {SLIPWAY_E_UNREACHABLE, failed + std::strerror(errno)};
    if (connect(fd_, target.ai_addr, target.ai_addrlen) == 0) return {};
    if (errno != EINPROGRESS) return {SLIPWAY_E_UNREACHABLE, failed + std::strerror(errno)};
    if (!WaitFor(POLLOUT)) return {SLIPWAY_E_UNREACHABLE, failed + "no answer in time"};
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    return error == 0 ? Status() : Status(SLIPWAY_E_UNREACHABLE, failed + std::strerror(error));
  }

  // Tries again, when ready, what would have blocked.
  template <typename Try>
  int Repeat(Try attempt) {
    while (true) {
      const int result = attempt();
      if (result > 0 || (result == 0 && !ssl_)) return result;
      short events = POLLIN | POLLOUT;
      if (ssl_) {
        const int error = SSL_get_error(ssl_.get(), result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return result;
        events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
      } else if (errno == EAGAIN) {
        events = POLLIN;  // a request is far shorter than a socket's buffer: only reading waits
      } else if (errno != EINTR) {
        return result;
      }
      if (!WaitFor(events)) return -1;
    }
  }

  bool WaitFor(short events) {
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
      if (left <= 0) return false;
      pollfd waiting{fd_, events, 0};
      if (poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, 60'000))) > 0) return true;
    }
  }

  Status TlsError(const char* what) const {
    std::array<char, 256> text{};
    const unsigned long error = ERR_get_error();
    if (error != 0) ERR_error_string_n(error, text.data(), text.size());
    return {SLIPWAY_E_TLS, address_ + ": TLS " + what + (error != 0 ? std::string(": ") + text.data() : std::string())};
  }

  const std::string address_;
  const Clock::time_point deadline_;
  std::string host_;
  int fd_ = -1;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
};

Result<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) return Status(SLIPWAY_E_CONFIG_FILE, path + ": cannot be read");
  return text.str();
}

// What the configuration says about reaching control listeners; nothing without a configuration.
Result<ControlAccess> ReadAccess(const std::string& config_file) {
  if (config_file.empty()) return ControlAccess{};
  internal::Failure failure;
  SLIPWAY_RETURN_IF_ERROR(failure.ToStatus(slipway_config_check(config_file.c_str(), failure.get())));
  const auto text = ReadSmallFile(config_file);
  if (!text.ok()) return text.status();
  auto access = ReadControlAccess(*text);
  if (!access.ok() || access->secret_file.empty()) return access;
  auto secret = ReadSmallFile(access->secret_file);
  if (!secret.ok()) return secret.status();
  if (secret->ends_with('\n')) secret->pop_back();
  if (secret->find_first_of("\r\n") != std::string::npos)
    return Status(SLIPWAY_E_CONFIG_VALUE, access->secret_file + ": more than one line");
  access->secret = std::move(*secret);
  return access;
}

// The body of a good reply; `reply` is hostile.
Result<std::string> BodyOf(const std::string& address, const std::string& reply) {
  const size_t head_end = reply.find("\r\n\r\n");
  const bool is_http = reply.starts_with("HTTP/1.") && reply.size() > 12 && head_end != std::string::npos;
  if (!is_http) return Status(SLIPWAY_E_BAD_REPLY, address + ": what answers there is no Slipway node");
  std::string body = reply.substr(head_end + 4);
  const std::string code = reply.substr(9, 3);
  if (code == "200") return body;
  const std::string said = code + " " + ReadErrorMessage(body);
  if (code == "401") return Status(SLIPWAY_E_UNAUTHENTICATED, address + ": refused: " + said);
  return Status(SLIPWAY_E_BAD_REPLY, address + ": answered " + said);
}

}  // namespace

Result<std::string> AskNode(const DescribeArguments& arguments) {
  const auto access = ReadAccess(arguments.engine.config_file);
  if (!access.ok()) return access.status();
  const double seconds = arguments.timeout_seconds > 0 ? arguments.timeout_seconds : 5;
  Connection node(arguments.address,
                  Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
  SLIPWAY_RETURN_IF_ERROR(node.Connect());
  if (!access->ca_file.empty() || !access->certificate_file.empty()) SLIPWAY_RETURN_IF_ERROR(node.StartTls(*access));
  std::string request = "GET /v1/describe HTTP/1.1\r\nHost: " + arguments.address + "\r\nConnection: close\r\n";
  if (!access->secret.empty()) request += "Authorization: Bearer " + access->secret + "\r\n";
  std::string reply;
  if (!node.Write(request + "\r\n") || !node.ReadAll(kReplyBytesMax, &reply))
    return Status(SLIPWAY_E_UNREACHABLE, arguments.address + ": no whole answer in time, or the connection broke");
  return BodyOf(arguments.address, reply);
}

}  // namespace slipway::cli
