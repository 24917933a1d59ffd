// TLS settings of one side, and sessions made from them.
#ifndef SLIPWAY_CORE_CONTROL_TLS_H_
#define SLIPWAY_CORE_CONTROL_TLS_H_

#include <memory>
#include <string>

#include "slipway/options.hpp"
#include "slipway/status.hpp"

struct ssl_st;
struct ssl_ctx_st;
struct bio_method_st;

namespace slipway {

struct SslDeleter {
  void operator()(ssl_st* ssl) const;
};
using SslPtr = std::unique_ptr<ssl_st, SslDeleter>;

// Constant after construction, and then thread-safe. TLS 1.2 or newer.
class TlsContext {
 public:
  // With the certificate and key of `options`. E_TLS names the file that is not usable.
  static Result<std::unique_ptr<TlsContext>> ForServer(const TlsOptions& options);
  // Trusts `options.ca_file`, the system's authorities where that is empty. E_TLS.
  static Result<std::unique_ptr<TlsContext>> ForClient(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  bool is_server() const { return is_server_; }
  // A session over `fd`, which it does not own. For a client, `host` is the name or address to check. Null when out of
  // memory.
  SslPtr NewSession(int fd, const std::string& host) const;

 private:
  explicit TlsContext(bool is_server) : is_server_(is_server) {}
  Status Init();

  const bool is_server_;
  ssl_ctx_st* context_ = nullptr;
  bio_method_st* bio_method_ = nullptr;
};

// Why a handshake failed, for a person; takes the thread's OpenSSL errors.
Status HandshakeError(const TlsContext& context, ssl_st* ssl);

// The thread's OpenSSL errors, in words; clears them.
std::string TakeTlsErrors();

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_TLS_H_
