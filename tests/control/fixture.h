// A live control server, a source of segments to put behind it, and raw sockets to speak to it with.
#ifndef SLIPWAY_TESTS_CONTROL_FIXTURE_H_
#define SLIPWAY_TESTS_CONTROL_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/control/client.h"
#include "core/control/server.h"
#include "core/control/unique_fd.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

// A descriptor with everything in it.
SegmentDescriptor ExampleDescriptor(const std::string& name);

class RecordingLogger : public Logger {
 public:
  LogLevel level() const override { return LogLevel::kDebug; }
  void Write(LogLevel level, std::string_view message) override;
  std::vector<std::string> messages() const;

 private:
  mutable Mutex mutex_;
  std::vector<std::string> messages_ SLIPWAY_GUARDED_BY(mutex_);
};

// Has the segment "weights". What it is told to do instead, it does.
class ExampleSource : public SegmentSource {
 public:
  Result<SegmentDescriptor> OpenSegment(const std::string& name, const std::vector<ProtocolRange>& protocols) override;
  std::vector<SegmentSummary> ListSegments() override;
  std::string DescribeJson() override { return R"({"node":"example"})"; }
  std::string MetricsText() override { return "# TYPE example gauge\nexample 1\n"; }

  std::function<Result<SegmentDescriptor>(const std::string&)> open;  // set before the server starts
  std::vector<ProtocolRange> last_protocols() const;

 private:
  mutable Mutex mutex_;
  std::vector<ProtocolRange> last_protocols_ SLIPWAY_GUARDED_BY(mutex_);
};

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(20));

// A client that speaks bytes.
class RawClient {
 public:
  explicit RawClient(uint16_t port, const std::string& host = "127.0.0.1");

  bool connected() const { return fd_.valid(); }
  bool Send(std::string_view bytes);
  void HalfClose();
  // Everything until the server closes; what came so far where it does not within `limit`.
  std::string ReadToEnd(std::chrono::milliseconds limit = std::chrono::seconds(20));
  // One reply with its body, by Content-Length.
  std::string ReadReply(std::chrono::milliseconds limit = std::chrono::seconds(20));
  // Whether the server closed, within `limit`.
  bool SeesEnd(std::chrono::milliseconds limit = std::chrono::seconds(20));
  int fd() const { return fd_.get(); }

 private:
  bool ReadSome(std::string* out, std::chrono::steady_clock::time_point until);

  UniqueFd fd_;
};

// "POST /v1/open" with this body and, where not empty, these header lines (each ending in CRLF).
std::string OpenPost(std::string_view body, const std::string& more_headers = "");
std::string GetRequest(const std::string& path, const std::string& more_headers = "");
int StatusOf(const std::string& reply);  // 0: it is not an HTTP reply
std::string BodyOf(const std::string& reply);

inline const std::string kGoodOpen =
    R"({"segment":"weights","version":1,"protocols":[{"name":"mem","min":1,"max":2}]})";

class ControlServerTest : public testing::Test {
 protected:
  // A request may take longer than any test does: a busy machine cuts none, and who waits for its end is found out.
  ControlServerTest() {
    options_.max_connections = 128;
    options_.request_timeout_ms = 60'000;
  }

  void StartServer(const std::string& secret = "", const Clock& clock = SystemClock());
  std::unique_ptr<ControlClient> NewClient(const std::string& secret = "");
  SegmentUrl Url(const std::string& name) const { return {"127.0.0.1", server_->port(), name}; }
  Result<SegmentDescriptor> Open(ControlClient& client, const std::string& name, uint64_t timeout_ms = 20'000) {
    return client.Open(Url(name), {{"mem", 1, 2}}, timeout_ms);
  }
  // Sends `request` on a connection of its own and gives the reply.
  std::string Ask(const std::string& request) {
    RawClient client(server_->port());
    EXPECT_TRUE(client.Send(request));
    return client.ReadReply();
  }

  ControlOptions options_;
  ExampleSource source_;
  RecordingLogger logger_;
  FakeClock fake_clock_;  // for a server that is started with it
  std::unique_ptr<ControlServer> server_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_CONTROL_FIXTURE_H_
