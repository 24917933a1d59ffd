// Whole engines over a real verbs stack: what is staged and what is not, who takes over when something breaks. Runs in
// the lab, as root. The peer is this program in another process.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "slipway/engine.hpp"

extern char** environ;

namespace slipway {
namespace {

using Json = nlohmann::json;
constexpr uint64_t kMiB = uint64_t{1} << 20;

// Memory that pages can be pinned of, with a pattern.
class Pages {
 public:
  explicit Pages(uint64_t bytes, uint64_t seed = 1)
      : bytes_(bytes),
        data_(
            static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    Fill(seed);
  }
  ~Pages() { munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  void Fill(uint64_t seed) {
    std::mt19937_64 random(seed);
    for (uint64_t i = 0; i + 8 <= bytes_; i += 8) {
      const uint64_t v = random();
      std::memcpy(data_ + i, &v, 8);
    }
  }
  bool operator==(const Pages& other) const {
    return bytes_ == other.bytes_ && std::memcmp(data_, other.data_, bytes_) == 0;
  }
  std::byte* data() const { return data_; }
  uint64_t size() const { return bytes_; }
  std::span<std::byte> span() const { return {data_, bytes_}; }

 private:
  const uint64_t bytes_;
  std::byte* const data_;
};

// One slice at a time, so that there is a middle to be in.
const Json kSlow = {{"transfer", {{"slice_bytes", 64 << 10}, {"max_inflight_slices_per_peer", 1}}}};

Json Rdma(Json options = Json::object()) {
  if (!options.contains("peer_timeout_ms")) options["peer_timeout_ms"] = 3000;
  return {{"name", "rdma-verbs"}, {"required", true}, {"options", options}};
}
Json Tcp() { return {{"name", "tcp"}, {"required", true}}; }

Json Config(std::initializer_list<Json> transports, const Json& more = Json::object()) {
  // Declared is registered here, so that what a test moves goes the same way every time.
  Json config = {{"transports", Json(transports)},
                 {"memory", {{"pin_policy", "whole-region"}, {"staging", {{"bytes", 8 * kMiB}}}}}};
  config.merge_patch(more);
  return config;
}

Engine Make(const Json& config) {
  auto engine = Engine::FromJson(config.dump());
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return engine.ok() ? std::move(*engine) : Engine();
}

// An engine in a process of its own, with the segment "box".
class Server {
 public:
  Server(const Json& config, uint64_t box_bytes) {
    int out[2], in[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string program = "rdma_verbs_engine_test", word = "--serve", text = config.dump(),
                bytes = std::to_string(box_bytes);
    char* argv[] = {program.data(), word.data(), text.data(), bytes.data(), nullptr};
    EXPECT_EQ(posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(in[0]);
    stdin_ = in[1];
    char c = 0;
    while (read(out[0], &c, 1) == 1 && c != '\n') address_ += c;
    close(out[0]);
    EXPECT_NE(address_.find(':'), std::string::npos) << "the server did not start: " << address_;
  }
  ~Server() {
    close(stdin_);  // it ends then
    kill(pid_, SIGCONT);
    waitpid(pid_, nullptr, 0);
  }
  std::string url() const { return address_ + "/box"; }
  void Signal(int number) const { kill(pid_, number); }

  static int Main(const char* config, uint64_t box_bytes) {
    const Pages box(box_bytes, 99);
    auto engine = Engine::FromJson(config);
    if (!engine.ok()) {
      std::cerr << engine.status().message() << "\n";
      return 1;
    }
    const std::array spans = {slipway_span{box.data(), box.size()}};
    if (const Status s = engine->Publish("box", spans); !s.ok()) {
      std::cerr << s.message() << "\n";
      return 1;
    }
    std::cout << *engine->ControlAddress() << std::endl;
    char c;
    while (read(0, &c, 1) > 0) {
    }
    return 0;
  }

 private:
  pid_t pid_ = 0;
  int stdin_ = -1;
  std::string address_;
};

Segment Open(const Engine& engine, const std::string& url) {
  auto segment = engine.Open(url);
  EXPECT_TRUE(segment.ok()) << segment.status().message();
  return segment.ok() ? std::move(*segment) : Segment();
}

Json Counters(const Engine& engine) { return Json::parse(*engine.Describe())["counters"]; }

RequestResult Finish(const Batch& batch, const Status& status) {
  EXPECT_TRUE(status.ok()) << status.message();
  auto result = batch.result(0);
  return result.ok() ? *result : RequestResult{};
}
RequestResult Move(const Engine& engine, const Request& request) {
  auto batch = engine.Submit({&request, 1});
  EXPECT_TRUE(batch.ok()) << batch.status().message();
  return batch.ok() ? Finish(*batch, batch->Wait()) : RequestResult{};
}

// ---- staging -------------------------------------------------------------------------------------------------------

TEST(Staging, RegisteredMemoryIsNotCopied) {
  const Server server(Config({Rdma()}), 4 * kMiB);
  const Pages local(4 * kMiB), back(4 * kMiB, 2);
  const Engine engine = Make(Config({Rdma()}));
  const Segment box = Open(engine, server.url());
  ASSERT_TRUE(engine.Declare(local.data(), local.size()).ok());
  ASSERT_TRUE(engine.Declare(back.data(), back.size()).ok());
  const RequestResult written = Move(engine, WriteRequest(box, 0, local.data(), local.size()));
  EXPECT_EQ(written.transport, "rdma-verbs");
  EXPECT_EQ(written.staged_slices, 0u);
  EXPECT_EQ(Move(engine, ReadRequest(box, 0, back.data(), back.size())).staged_slices, 0u);
  EXPECT_TRUE(local == back);
  const Json counters = Counters(engine);
  EXPECT_EQ(counters["copies"], 0) << counters.dump();
  EXPECT_EQ(counters["staged_bytes"], 0);
  EXPECT_TRUE(engine.Undeclare(local.data(), local.size(), 5000).ok());
}

TEST(Staging, OtherMemoryIsCopiedOnce) {
  const Server server(Config({Rdma()}), 4 * kMiB);
  const Pages local(4 * kMiB), back(4 * kMiB, 2);
  const Engine engine = Make(Config({Rdma()}));
  const Segment box = Open(engine, server.url());
  const RequestResult written = Move(engine, WriteRequest(box, 0, local.data(), local.size()));
  EXPECT_EQ(written.transport, "rdma-verbs");
  EXPECT_EQ(written.staged_slices, written.slices);
  Json counters = Counters(engine);
  EXPECT_EQ(counters["copies"], written.slices);
  EXPECT_EQ(counters["staged_bytes"], local.size());
  Move(engine, ReadRequest(box, 0, back.data(), back.size()));
  EXPECT_EQ(Counters(engine)["staged_bytes"], 2 * local.size());
  EXPECT_TRUE(local == back);
}

TEST(Staging, HalfRegisteredIsCutWhereRegistrationEnds) {
  const Server server(Config({Rdma()}), 2 * kMiB);
  const Pages local(2 * kMiB), back(2 * kMiB, 2);
  const Engine engine = Make(Config({Rdma()}));
  const Segment box = Open(engine, server.url());
  ASSERT_TRUE(engine.Declare(local.data(), kMiB + 4096).ok());
  const RequestResult written = Move(engine, WriteRequest(box, 0, local.data(), local.size()));
  EXPECT_GT(written.staged_slices, 0u);
  EXPECT_LT(written.staged_slices, written.slices);
  EXPECT_EQ(Counters(engine)["staged_bytes"], kMiB - 4096);
  Move(engine, ReadRequest(box, 0, back.data(), back.size()));
  EXPECT_TRUE(local == back);
}

TEST(Staging, TheBudgetIsKept) {
  const Server server(Config({Rdma()}), 8 * kMiB);
  const Pages local(8 * kMiB), back(8 * kMiB, 2);
  const uint64_t budget = 12 * kMiB;
  const Engine engine = Make(Config({Rdma()}, {{"memory", {{"budget_bytes", budget}}}}));
  const Segment box = Open(engine, server.url());
  (void)engine.Declare(local.data(), local.size());  // more than the staging pool leaves of the budget
  const RequestResult written = Move(engine, WriteRequest(box, 0, local.data(), local.size()));
  EXPECT_GT(written.staged_slices, 0u);
  Move(engine, ReadRequest(box, 0, back.data(), back.size()));
  EXPECT_TRUE(local == back);
  EXPECT_LE(Counters(engine)["pin_peak_bytes"], budget);
}

// Run with RLIMIT_MEMLOCK of 4 MiB and without CAP_IPC_LOCK.
TEST(LowMemlock, StagesWhatTheSystemDoesNotPin) {
  const Json small = {{"memory", {{"staging", {{"bytes", kMiB}, {"chunk_bytes", kMiB / 4}}}}}};
  const Server server(Config({Rdma()}, small), kMiB);
  const Pages local(16 * kMiB), back(kMiB, 2), same(kMiB, 1);
  const Engine engine = Make(Config({Rdma()}, small));
  const Segment box = Open(engine, server.url());
  (void)engine.Declare(local.data(), local.size());
  const RequestResult written = Move(engine, WriteRequest(box, 0, local.data(), kMiB));
  EXPECT_EQ(written.transport, "rdma-verbs");
  EXPECT_EQ(written.staged_slices, written.slices);
  Move(engine, ReadRequest(box, 0, back.data(), back.size()));
  EXPECT_EQ(std::memcmp(back.data(), local.data(), kMiB), 0);
}

// ---- several transports --------------------------------------------------------------------------------------------

TEST(Mixed, OneBatchOverThreeTransports) {
  const Server far(Config({Rdma()}), 2 * kMiB), plain(Config({Tcp()}), 2 * kMiB);
  const Pages own(2 * kMiB, 7), local(2 * kMiB, 1), a(2 * kMiB, 2), b(2 * kMiB, 3), c(2 * kMiB, 4);
  const Engine engine = Make(Config({{{"name", "local-memcpy"}, {"required", true}}, Rdma(), Tcp()}));
  const std::array spans = {slipway_span{own.data(), own.size()}};
  ASSERT_TRUE(engine.Publish("own", spans).ok());
  const Segment rdma = Open(engine, far.url()), tcp = Open(engine, plain.url()), here = Open(engine, "/own");
  const auto all = [&](std::span<const Request> requests, std::initializer_list<bool> staged) {
    auto batch = engine.Submit(requests);
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    const Status status = batch->Wait();
    ASSERT_TRUE(status.ok()) << status.message();
    const char* names[] = {"rdma-verbs", "tcp", "local-memcpy"};
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(batch->result(i)->transport, names[i]);
      EXPECT_EQ(batch->result(i)->staged_slices > 0, std::data(staged)[i]) << names[i];
    }
  };
  all(std::array{WriteRequest(rdma, 0, local.data(), local.size()), WriteRequest(tcp, 0, local.data(), local.size()),
                 WriteRequest(here, 0, local.data(), local.size())},
      {true, false, false});
  EXPECT_TRUE(own == local);
  all(std::array{ReadRequest(rdma, 0, a.data(), a.size()), ReadRequest(tcp, 0, b.data(), b.size()),
                 ReadRequest(here, 0, c.data(), c.size())},
      {true, false, false});
  EXPECT_TRUE(a == local && b == local && c == local);
}

// ---- what breaks ---------------------------------------------------------------------------------------------------

// Asks whoever runs this outside of the machine to pull the network cable, or to put it back, and waits until it is so.
void Cable(bool in) {
  std::cout << (in ? "cable: in" : "cable: out") << std::endl;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (int carrier = -1; carrier != (in ? 1 : 0);) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "nobody moves the cable";
    std::ifstream("/sys/class/net/eth0/carrier") >> carrier;
  }
}

// Waits until so much of the batch's first request is done, so that it is in the middle.
void WaitForBytes(const Batch& batch, uint64_t bytes) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (batch.result(0)->bytes < bytes) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    ASSERT_EQ(batch.Poll().code(), SLIPWAY_IN_PROGRESS) << "it ended before it was in the middle";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(Failover, TheLinkGoesDownInTheMiddleOfAWrite) {
  const uint64_t bytes = 64 * kMiB;
  const Json rdma = Rdma({{"link_down_grace_ms", 50}});
  const Server server(Config({rdma, Tcp()}), bytes);
  const Pages local(bytes), back(bytes, 2);
  const Engine engine = Make(Config({rdma, Tcp()}, kSlow));
  const Segment box = Open(engine, server.url());
  const Request request = WriteRequest(box, 0, local.data(), local.size());
  auto batch = engine.Submit({&request, 1}, {.timeout_ms = 120'000});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  WaitForBytes(*batch, kMiB);
  Cable(false);
  EXPECT_EQ(batch->Poll().code(), SLIPWAY_IN_PROGRESS) << "it ended before the cable was out";
  const RequestResult result = Finish(*batch, batch->Wait());
  EXPECT_EQ(result.transport, "mixed");
  EXPECT_GT(result.retries, 0u);
  EXPECT_EQ(result.bytes, bytes);
  const RequestResult read = Move(engine, ReadRequest(box, 0, back.data(), back.size()));
  EXPECT_EQ(read.transport, "tcp") << "the link is still down";
  EXPECT_TRUE(local == back);
  EXPECT_GE(Counters(engine)["failovers"], 1) << Counters(engine).dump();
  std::cout << "retries " << result.retries << ", failovers " << Counters(engine)["failovers"] << "\n";
  Cable(true);
  // It comes back by itself, after the pause that failing earned it.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  RequestResult again;
  while (again.transport != "rdma-verbs" && std::chrono::steady_clock::now() < deadline) {
    again = Move(engine, WriteRequest(box, 0, local.data(), 4096));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(again.transport, "rdma-verbs");
}

TEST(Peer, KilledInTheMiddleIsAnErrorInTime) {
  const uint64_t bytes = 64 * kMiB;
  Server server(Config({Rdma()}), bytes);
  const Pages local(bytes);
  const Engine engine = Make(Config({Rdma()}, kSlow));
  const Segment box = Open(engine, server.url());
  const Request request = WriteRequest(box, 0, local.data(), local.size());
  auto batch = engine.Submit({&request, 1}, {.timeout_ms = 60'000});
  ASSERT_TRUE(batch.ok());
  WaitForBytes(*batch, kMiB);
  server.Signal(SIGKILL);
  const auto start = std::chrono::steady_clock::now();
  const Status status = batch->Wait();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  EXPECT_EQ(status.code(), SLIPWAY_E_PEER);
  EXPECT_LT(took.count(), 3000) << "what Rdma() sets peer_timeout_ms to";
  std::cout << "killed: after " << took.count() << " ms " << slipway_status_name(status.code()) << ": "
            << status.message() << "\n";
}

TEST(Peer, StoppedOneIsStillServedByItsDevice) {
  Server server(Config({Rdma()}), 4 * kMiB);
  const Pages local(4 * kMiB), back(4 * kMiB, 2);
  const Engine engine = Make(Config({Rdma()}));
  const Segment box = Open(engine, server.url());
  Move(engine, WriteRequest(box, 0, local.data(), 4096));
  server.Signal(SIGSTOP);
  Move(engine, WriteRequest(box, 0, local.data(), local.size()));
  Move(engine, ReadRequest(box, 0, back.data(), back.size()));
  EXPECT_TRUE(local == back);
  server.Signal(SIGCONT);
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--serve") {
    return slipway::Server::Main(argv[2], std::stoull(argv[3]));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
