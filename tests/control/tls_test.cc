// TLS between a node and another, and every way in which two nodes do not agree on it.
#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include <filesystem>
#include <fstream>

#include "tests/control/certificate.h"
#include "tests/control/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class ControlTlsTest : public ControlServerTest {
 protected:
  ControlTlsTest() {
    folder_ = std::filesystem::path(testing::TempDir()) / ("slipway-tls-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  ~ControlTlsTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name) const { return folder_ / name; }
  void UseCertificate(const std::string& names = "DNS:localhost,IP:127.0.0.1", long from_s = -3600,
                      long until_s = 3600) {
    WriteCertificate(File("cert.pem"), File("key.pem"), names, from_s, until_s);
    options_.tls = {File("cert.pem"), File("key.pem"), File("cert.pem")};
  }
  Status StartError() { return ControlServer::Start(options_, "", &source_, SystemClock(), logger_).status(); }
  Status OpenError(const std::string& host = "127.0.0.1") {
    return NewClient()->Open({host, server_->port(), "weights"}, {}, 20'000).status();
  }

  std::filesystem::path folder_;
};

TEST_F(ControlTlsTest, OpensBothByAddressAndByName) {
  UseCertificate();
  StartServer("open-sesame");
  auto client = NewClient("open-sesame");
  for (const char* host : {"127.0.0.1", "localhost", "127.0.0.1", "localhost"}) {
    const auto opened = client->Open({host, server_->port(), "weights"}, {}, 20'000);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    EXPECT_EQ(*opened, ExampleDescriptor("weights"));
  }
  EXPECT_EQ(client->stats().connections_opened, 2u);  // one for each name, kept
}

TEST_F(ControlTlsTest, LargeAnswersTravel) {
  UseCertificate();
  source_.open = [](const std::string& name) -> Result<SegmentDescriptor> {
    SegmentDescriptor large = ExampleDescriptor(name);
    for (uint64_t i = 0; i < 30'000; ++i) large.transports[1].registrations.push_back({i << 20, 1u << 20, "12345678"});
    return large;
  };
  StartServer();
  EXPECT_TRUE(OpenError().ok());
}

TEST_F(ControlTlsTest, AKeyInTheCertificatesFileIsFound) {
  UseCertificate();
  std::ofstream(File("cert.pem"), std::ios::app) << std::ifstream(File("key.pem")).rdbuf();
  options_.tls.key_file.clear();
  StartServer();
  EXPECT_TRUE(OpenError().ok());
}

TEST_F(ControlTlsTest, APlainClientIsToldThatThePortSpeaksTls) {
  UseCertificate();
  StartServer();
  options_.tls = {};
  const Status status = OpenError();
  EXPECT_EQ(status.code(), SLIPWAY_E_TLS);
  EXPECT_THAT(status.message(), HasSubstr("this port speaks TLS"));
  EXPECT_THAT(Ask(GetRequest("/healthz")), HasSubstr("E_TLS"));
}

TEST_F(ControlTlsTest, ATlsClientIsToldThatThePortIsPlain) {
  StartServer();
  UseCertificate();
  const Status status = OpenError();
  EXPECT_EQ(status.code(), SLIPWAY_E_TLS);
  EXPECT_THAT(status.message(), HasSubstr("plain HTTP"));
}

TEST_F(ControlTlsTest, AClientWithOnlyAnAuthorityUsesTls) {
  UseCertificate();
  StartServer();
  options_.tls = {"", "", File("cert.pem")};
  EXPECT_TRUE(OpenError().ok());
}

TEST_F(ControlTlsTest, AnUntrustedCertificateIsRefused) {
  UseCertificate();
  StartServer();
  WriteCertificate(File("other.pem"), File("other-key.pem"), "DNS:localhost");
  options_.tls.ca_file = File("other.pem");
  const Status status = OpenError();
  EXPECT_EQ(status.code(), SLIPWAY_E_TLS);
  EXPECT_THAT(status.message(), HasSubstr("control.tls.ca_file"));
  options_.tls.ca_file.clear();  // the system's
  EXPECT_EQ(OpenError().code(), SLIPWAY_E_TLS);
  EXPECT_TRUE(Eventually([&] { return server_->stats().tls_failed >= 2; }));
}

TEST_F(ControlTlsTest, ACertificateForAnotherHostIsRefused) {
  UseCertificate("DNS:elsewhere.example,IP:10.0.0.1");
  StartServer();
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const Status status = OpenError(host);
    EXPECT_EQ(status.code(), SLIPWAY_E_TLS) << host;
    EXPECT_THAT(status.message(), HasSubstr("mismatch"));
  }
}

TEST_F(ControlTlsTest, AnExpiredCertificateIsRefused) {
  UseCertificate("DNS:localhost,IP:127.0.0.1", -7200, -3600);
  StartServer();
  const Status status = OpenError();
  EXPECT_EQ(status.code(), SLIPWAY_E_TLS);
  EXPECT_THAT(status.message(), HasSubstr("expired"));
}

TEST_F(ControlTlsTest, OldVersionsOfTlsAreRefused) {
  UseCertificate();
  StartServer();
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
  RawClient raw(server_->port());
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, raw.fd());
  EXPECT_NE(SSL_connect(ssl), 1);
  SSL_free(ssl);
  SSL_CTX_free(context);
  EXPECT_TRUE(Eventually([&] { return server_->stats().tls_failed == 1; }));
}

TEST_F(ControlTlsTest, UnusableFilesAreNamed) {
  UseCertificate();
  const TlsOptions good = options_.tls;
  options_.tls.certificate_file = File("missing.pem");
  EXPECT_EQ(StartError().code(), SLIPWAY_E_TLS);
  EXPECT_THAT(StartError().message(), HasSubstr("missing.pem"));
  options_.tls = good;
  WriteCertificate(File("other.pem"), File("other-key.pem"), "DNS:localhost");
  options_.tls.key_file = File("other-key.pem");
  EXPECT_EQ(StartError().code(), SLIPWAY_E_TLS);
  EXPECT_THAT(StartError().message(), HasSubstr("other-key.pem"));
  options_.tls = good;
  options_.tls.ca_file = File("missing.pem");
  const auto client = ControlClient::Create(options_, "", SystemClock());
  EXPECT_EQ(client.status().code(), SLIPWAY_E_TLS);
  EXPECT_THAT(client.status().message(), HasSubstr("missing.pem"));
}

TEST_F(ControlTlsTest, AHandshakeThatHangsIsCut) {
  options_.request_timeout_ms = 200;
  UseCertificate();
  StartServer();
  RawClient stuck(server_->port());
  ASSERT_TRUE(stuck.Send(std::string("\x16\x03\x01", 3)));
  EXPECT_TRUE(stuck.SeesEnd());
  EXPECT_EQ(server_->stats().timed_out, 1u);
}

TEST_F(ControlTlsTest, GarbageForAHandshakeIsCounted) {
  UseCertificate();
  StartServer();
  RawClient client(server_->port());
  ASSERT_TRUE(client.Send(std::string("\x16\x03\x01\x00\x05garbage\x00\x00\xff", 15)));
  EXPECT_TRUE(client.SeesEnd());
  EXPECT_TRUE(Eventually([&] { return server_->stats().tls_failed == 1; }));
  EXPECT_TRUE(OpenError().ok());
}

TEST_F(ControlTlsTest, StopsWithOpenSessions) {
  UseCertificate();
  StartServer();
  auto client = NewClient();
  ASSERT_TRUE(Open(*client, "weights").ok());
  RawClient stuck(server_->port());
  ASSERT_TRUE(stuck.Send(std::string("\x16\x03\x01", 3)));
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 1; }));
  const SegmentUrl url = Url("weights");
  const auto begin = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << "the handshake has a minute";
  EXPECT_EQ(client->Open(url, {}, 20'000).status().code(), SLIPWAY_E_UNREACHABLE);
}

}  // namespace
}  // namespace slipway
