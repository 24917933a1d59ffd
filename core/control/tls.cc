#include "core/control/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "core/control/address.h"

namespace slipway {
namespace {

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE when the peer is gone; a library must not change
// what the process does about signals, so that sessions use this one.
int SocketOf(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int BioWrite(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = send(SocketOf(bio), data, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && WouldBlock()) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int BioRead(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = recv(SocketOf(bio), data, static_cast<size_t>(size), 0);
  if (got < 0 && WouldBlock()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* NewBioMethod() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "slipway socket");
  if (method == nullptr) return nullptr;
  BIO_meth_set_write(method, BioWrite);
  BIO_meth_set_read(method, BioRead);
  BIO_meth_set_ctrl(method, BioControl);
  return method;
}

// Without one, OpenSSL asks at the terminal.
int NoPassword(char*, int, int, void*) { return 0; }

bool SetExpectedPeer(SSL* ssl, const std::string& host) {
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (IsIpLiteral(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

void SslDeleter::operator()(ssl_st* ssl) const { SSL_free(ssl); }

std::string TakeTlsErrors() {
  std::string out;
  while (const unsigned long error = ERR_get_error()) {
    std::array<char, 256> text{};
    const char* reason = ERR_reason_error_string(error);
    if (reason == nullptr) ERR_error_string_n(error, text.data(), text.size());
    out += (out.empty() ? "" : ", ") + std::string(reason != nullptr ? reason : text.data());
  }
  return out.empty() ? "no reason given" : out;
}

Status TlsContext::Init() {
  ERR_clear_error();
  context_ = SSL_CTX_new(is_server_ ? TLS_server_method() : TLS_client_method());
  bio_method_ = NewBioMethod();
  if (context_ == nullptr || bio_method_ == nullptr) return Status(SLIPWAY_E_TLS, "OpenSSL: " + TakeTlsErrors());
  if (SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION) != 1) {
    return Status(SLIPWAY_E_TLS, "OpenSSL offers no TLS 1.2: " + TakeTlsErrors());
  }
  SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context_, 0);
  SSL_CTX_set_default_passwd_cb(context_, NoPassword);
  return Status::Ok();
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
  BIO_meth_free(bio_method_);
}

Result<std::unique_ptr<TlsContext>> TlsContext::ForServer(const TlsOptions& options) {
  std::unique_ptr<TlsContext> out(new TlsContext(/*is_server=*/true));
  SLIPWAY_RETURN_IF_ERROR(out->Init());
  const std::string& key_file = options.key_file.empty() ? options.certificate_file : options.key_file;
  if (SSL_CTX_use_certificate_chain_file(out->context_, options.certificate_file.c_str()) != 1) {
    return Status(SLIPWAY_E_TLS, "no certificate (PEM) can be read from control.tls.certificate_file \"" +
                                     options.certificate_file + "\": " + TakeTlsErrors());
  }
  if (SSL_CTX_use_PrivateKey_file(out->context_, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Status(SLIPWAY_E_TLS,
                  "no key (PEM, without a password) that fits the certificate can be read from "
                  "control.tls.key_file \"" +
                      key_file + "\": " + TakeTlsErrors());
  }
  if (SSL_CTX_check_private_key(out->context_) != 1) {
    return Status(SLIPWAY_E_TLS, "control.tls.key_file \"" + key_file + "\" does not belong to the certificate \"" +
                                     options.certificate_file + "\": " + TakeTlsErrors());
  }
  return out;
}

Result<std::unique_ptr<TlsContext>> TlsContext::ForClient(const TlsOptions& options) {
  std::unique_ptr<TlsContext> out(new TlsContext(/*is_server=*/false));
  SLIPWAY_RETURN_IF_ERROR(out->Init());
  SSL_CTX_set_verify(out->context_, SSL_VERIFY_PEER, nullptr);
  const bool loaded = options.ca_file.empty() ? SSL_CTX_set_default_verify_paths(out->context_) == 1
                                              : SSL_CTX_load_verify_file(out->context_, options.ca_file.c_str()) == 1;
  if (!loaded) {
    return Status(SLIPWAY_E_TLS, "no authorities (PEM) can be read from control.tls.ca_file \"" + options.ca_file +
                                     "\": " + TakeTlsErrors());
  }
  return out;
}

SslPtr TlsContext::NewSession(int fd, const std::string& host) const {
  SslPtr ssl(SSL_new(context_));
  BIO* bio = ssl == nullptr ? nullptr : BIO_new(bio_method_);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  if (is_server_) {
    SSL_set_accept_state(ssl.get());
  } else {
    if (!SetExpectedPeer(ssl.get(), host)) return nullptr;
    SSL_set_connect_state(ssl.get());
  }
  return ssl;
}

Status HandshakeError(const TlsContext& context, ssl_st* ssl) {
  const unsigned long first = ERR_peek_error();
  const int reason = ERR_GET_REASON(first);
  const long verdict = SSL_get_verify_result(ssl);
  const std::string errors = first == 0 ? "the peer closed the connection" : TakeTlsErrors();
  std::string advice;
  if (context.is_server()) {
    advice = "; the client must use TLS and trust this node's certificate";
  } else if (verdict != X509_V_OK) {
    advice = std::string(" (") + X509_verify_cert_error_string(verdict) +
             "); check control.tls.ca_file here, and that the peer's certificate names the host used to reach it";
  } else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
    advice = "; the peer speaks plain HTTP: set control.tls.certificate_file there, or remove control.tls here";
  } else {
    advice = "; check that the peer has control.tls.certificate_file set";
  }
  return Status(SLIPWAY_E_TLS, "TLS handshake failed: " + errors + advice);
}

}  // namespace slipway
