// Connections over time: idle ones, slow ones, too many of them, and the end of the server.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "tests/control/fixture.h"

namespace slipway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

// Sooner than what it might wait for by far, and late enough for a busy machine.
bool IsSoon(const std::function<void()>& action) {
  const auto begin = steady_clock::now();
  action();
  return steady_clock::now() - begin < std::chrono::seconds(20);
}

TEST_F(ControlServerTest, IdleAndSlowClientsDoNotHoldUpOthers) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> idle, slow;
  for (int i = 0; i < 50; ++i) {
    idle.push_back(std::make_unique<RawClient>(server_->port()));
    ASSERT_TRUE(idle.back()->connected());
    if (i % 2 == 0) continue;
    ASSERT_TRUE(idle.back()->Send(GetRequest("/healthz")));
    ASSERT_EQ(StatusOf(idle.back()->ReadReply()), 200);
  }
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<RawClient>(server_->port()));
    ASSERT_TRUE(slow.back()->Send("POST /v1/open HTTP/1.1\r\nX-Slow: "));
  }
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 20; }));
  EXPECT_LE(server_->stats().threads, 21u);  // none for the idle ones
  auto client = NewClient();
  EXPECT_TRUE(Open(*client, "weights").ok());
  EXPECT_GE(server_->stats().connections_busy, 20u) << "the slow ones are still at it";
  for (auto& connection : idle) {
    ASSERT_TRUE(connection->Send(GetRequest("/healthz")));
    ASSERT_EQ(StatusOf(connection->ReadReply()), 200);
  }
}

// Each byte comes well within the limit; all of them together do not.
TEST_F(ControlServerTest, ASlowRequestIsCutHoweverSteadilyItComes) {
  options_.request_timeout_ms = 300;
  StartServer();
  RawClient client(server_->port());
  const auto begin = steady_clock::now();
  ASSERT_TRUE(Eventually([&] {
    client.Send("x");
    return server_->stats().timed_out == 1;
  }));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(250));
  EXPECT_TRUE(client.SeesEnd());
}

TEST_F(ControlServerTest, ASlowBodyIsCut) {
  options_.request_timeout_ms = 200;
  StartServer();
  RawClient client(server_->port());
  ASSERT_TRUE(client.Send(OpenPost(kGoodOpen).substr(0, 150)));
  EXPECT_TRUE(client.SeesEnd());
  EXPECT_EQ(server_->stats().timed_out, 1u);
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsCut) {
  options_.request_timeout_ms = 300;
  options_.max_body_bytes = 64u << 20;
  source_.open = [](const std::string& name) -> Result<SegmentDescriptor> {
    SegmentDescriptor large = ExampleDescriptor(name);
    for (uint64_t i = 0; i < 300; ++i) large.transports[1].registrations.push_back({i, 1, std::string(60'000, 'b')});
    return large;
  };
  StartServer();
  RawClient client(server_->port());
  ASSERT_TRUE(client.Send(OpenPost(kGoodOpen)));
  EXPECT_TRUE(Eventually([&] { return server_->stats().timed_out == 1; }));
  EXPECT_TRUE(Eventually([&] { return server_->stats().connections_open == 0; }));
}

TEST_F(ControlServerTest, IdleConnectionsAreClosedInTime) {
  options_.idle_timeout_ms = 60'000;
  StartServer("", fake_clock_);
  RawClient used(server_->port()), unused(server_->port());
  ASSERT_TRUE(used.Send(GetRequest("/healthz")));
  ASSERT_EQ(StatusOf(used.ReadReply()), 200);
  ASSERT_TRUE(
      Eventually([&] { return server_->stats().connections_open == 2 && server_->stats().connections_busy == 0; }));
  fake_clock_.Advance(59'000'000'000);
  ASSERT_TRUE(used.Send(GetRequest("/healthz")));  // idle from here on
  ASSERT_EQ(StatusOf(used.ReadReply()), 200);
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 0; }));
  fake_clock_.Advance(2'000'000'000);
  EXPECT_TRUE(unused.SeesEnd());
  ASSERT_TRUE(used.Send(GetRequest("/healthz")));
  EXPECT_EQ(StatusOf(used.ReadReply()), 200);
  EXPECT_EQ(server_->stats().connections_idle_closed, 1u);
}

TEST_F(ControlServerTest, TheLongestIdleMakesRoomForANewConnection) {
  options_.max_connections = 4;
  StartServer();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (uint64_t i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(server_->port()));
    ASSERT_TRUE(clients.back()->Send(GetRequest("/healthz")));
    ASSERT_EQ(StatusOf(clients.back()->ReadReply()), 200);
    ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 0; }));
  }
  EXPECT_TRUE(Open(*NewClient(), "weights").ok());
  EXPECT_TRUE(clients[0]->SeesEnd());
  EXPECT_EQ(server_->stats().connections_evicted, 1u);
  ASSERT_TRUE(clients[3]->Send(GetRequest("/healthz")));
  EXPECT_EQ(StatusOf(clients[3]->ReadReply()), 200);
}

TEST_F(ControlServerTest, WhenAllConnectionsAreBusyANewOneIsToldSo) {
  options_.max_connections = 2;
  StartServer();
  RawClient first(server_->port()), second(server_->port());
  ASSERT_TRUE(first.Send("POST "));
  ASSERT_TRUE(second.Send("POST "));
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 2; }));
  RawClient third(server_->port());
  const std::string reply = third.ReadReply();
  EXPECT_EQ(StatusOf(reply), 503);
  EXPECT_THAT(BodyOf(reply), HasSubstr("control.max_connections"));
  EXPECT_EQ(BodyOf(reply).back(), '}');
  EXPECT_EQ(server_->stats().connections_refused, 1u);
}

TEST_F(ControlServerTest, ManyClientsAtOnce) {
  StartServer();
  auto shared = NewClient();
  std::vector<std::thread> threads;
  std::atomic<int> opened{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto own = NewClient();
      for (int k = 0; k < 25; ++k) {
        if (Open(*shared, "weights").ok()) ++opened;
        if (Open(*own, "weights").ok()) ++opened;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(opened, 400);
  EXPECT_LE(shared->stats().connections_idle, 4u);
}

TEST_F(ControlServerTest, StopsWithOpenConnections) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 30; ++i) {
    clients.push_back(std::make_unique<RawClient>(server_->port()));
    if (i % 3 == 1) clients.back()->Send("POST /v1/open HT");  // a request that would go on for a minute
  }
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 10; }));
  EXPECT_TRUE(IsSoon([&] { server_.reset(); }));
  for (auto& client : clients) EXPECT_TRUE(client->SeesEnd());
}

TEST_F(ControlServerTest, StopsWhileClientsKeepComing) {
  StartServer();
  std::atomic<bool> stop{false};
  const uint16_t port = server_->port();
  std::thread load([&] {
    auto client = NewClient();
    while (!stop) (void)client->Open({"127.0.0.1", port, "weights"}, {}, 1000);
  });
  ASSERT_TRUE(Eventually([&] { return server_->stats().requests > 20; }));
  EXPECT_TRUE(IsSoon([&] { server_.reset(); }));
  stop = true;
  load.join();
}

TEST_F(ControlServerTest, WaitsForTheSourceWhenItStops) {
  std::promise<void> entered, release;
  source_.open = [&](const std::string& name) -> Result<SegmentDescriptor> {
    entered.set_value();
    release.get_future().wait();
    return ExampleDescriptor(name);
  };
  StartServer();
  RawClient client(server_->port());
  ASSERT_TRUE(client.Send(OpenPost(kGoodOpen)));
  entered.get_future().wait();
  std::future<void> stopped = std::async(std::launch::async, [&] { server_.reset(); });
  EXPECT_EQ(stopped.wait_for(milliseconds(50)), std::future_status::timeout);
  release.set_value();
  EXPECT_EQ(stopped.wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST_F(ControlServerTest, OutOfDescriptorsItWaitsAndSaysSo) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> clients;
  clients.push_back(std::make_unique<RawClient>(server_->port()));
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_open == 1; }));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit tight = before;
  tight.rlim_cur = 512;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  std::vector<UniqueFd> all_of_them;
  for (UniqueFd fd(dup(clients[0]->fd())); fd.valid(); fd = UniqueFd(dup(clients[0]->fd()))) {
    all_of_them.push_back(std::move(fd));
  }
  all_of_them.pop_back();  // one for the client's side, none for the server's
  RawClient late(server_->port());
  EXPECT_TRUE(late.connected());
  EXPECT_TRUE(Eventually([&] { return !logger_.messages().empty(); }));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(logger_.messages(), testing::ElementsAre(HasSubstr("ulimit -n")));
  ASSERT_TRUE(late.Send(GetRequest("/healthz")));
  EXPECT_EQ(StatusOf(late.ReadReply()), 200);
}

}  // namespace
}  // namespace slipway
