// An initiator with a dispatcher over fake transports, and targets that offer memory to it, in one process.
#ifndef SLIPWAY_TESTS_TRANSFER_FIXTURE_H_
#define SLIPWAY_TESTS_TRANSFER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/loader/host.h"
#include "core/memory/copier.h"
#include "core/memory/pin_budget.h"
#include "core/memory/providers.h"
#include "core/memory/staging_pool.h"
#include "core/transfer/dispatcher.h"
#include "core/transfer/transport_pinner.h"
#include "slipway/sdk/mutex.hpp"
#include "tests/fixtures/fake_control.h"
#include "tests/fixtures/fake_memory_control.h"

namespace slipway {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMs = 1'000'000;

// One transport that both sides configure.
struct FakeUse {
  std::string plugin = "fake";
  std::string options = "{}";  // of the initiator's instance
};

struct Configuration {
  Configuration();
  std::vector<FakeUse> transports = {{}};
  TransferOptions transfer;  // no spinning, an endless deadline, the plugin asked as well
  StagingOptions staging;    // four chunks of 16 KiB
  uint64_t budget_bytes = PinBudget::kNoCap;
  // Of the fake memory provider, whose device then is there; empty: host memory is all there is.
  std::string memory_provider;
  PinPolicy pin_policy = PinPolicy::kOff;  // on demand: with a cache of chunks of 64 KiB, over fakes that cost nothing
  CacheOptions cache;
  bool threaded = false;  // with the system's clock, and the dispatcher's own thread
};

class RecordingLogger : public Logger {
 public:
  LogLevel level() const override { return LogLevel::kDebug; }
  void Write(LogLevel level, std::string_view message) override;
  std::string text() const;

 private:
  mutable Mutex mutex_;
  std::string text_ SLIPWAY_GUARDED_BY(mutex_);
};

class TransferTest;

// A node that offers its memory over the same transports.
class Target {
 public:
  Target(TransferTest& test, const std::string& id, uint64_t bytes);
  ~Target();

  // Offers the memory as one segment, each transport with a registration for each of `pieces` (which sum up to at most
  // its size); opens it.
  RemoteSegment* Open(const std::vector<uint64_t>& pieces,
                      uint32_t access = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE);
  slipway_instance* instance(size_t transport) { return transports_[transport]->instance(); }
  // Takes its registrations back, as a withdrawn segment does.
  void Withdraw();

  std::vector<char> memory;

 private:
  TransferTest& test_;
  const std::string id_;
  Counters counters_;
  PinBudget budget_{PinBudget::kNoCap, counters_};
  std::vector<std::unique_ptr<Transport>> transports_;
  std::vector<std::vector<Registration*>> registrations_;
};

class TransferTest : public testing::Test {
 public:
  class Services;

  TransferTest();
  ~TransferTest() override;
  void TearDown() override;

  void Start(const Configuration& setup = Configuration());
  // Takes the dispatcher and the transports down; runs by itself at the end of a test.
  void Stop();
  Target& AddTarget(uint64_t bytes);
  // A target of one segment in one piece.
  RemoteSegment* OpenSegment(uint64_t bytes) { return AddTarget(bytes).Open({bytes}); }

  // Registers local memory with every transport that needs it.
  void Register(void* addr, uint64_t length);
  // What the cache may pin.
  void Declare(const void* addr, uint64_t length);
  Status Undeclare(const void* addr, uint64_t length);
  RequestSpec Write(void* local, uint64_t length, RemoteSegment* segment, uint64_t offset = 0) const;
  RequestSpec Read(void* local, uint64_t length, RemoteSegment* segment, uint64_t offset = 0) const;
  BatchState* Submit(const std::vector<RequestSpec>& requests, const BatchSpec& spec = {});
  // The status with which a submission is refused.
  Status Refused(const std::vector<RequestSpec>& requests, const BatchSpec& spec = {});
  // One round by hand, and what must hold after each.
  bool Progress();
  // Rounds without time passing, until nothing moves.
  void Settle();
  // Rounds with time passing until the batch is complete.
  slipway_status Drive(BatchState* batch);
  // Releases the batch, and returns how it ended.
  slipway_status Run(const std::vector<RequestSpec>& requests, const BatchSpec& spec = {});
  void Release(BatchState* batch);
  void Pass(uint64_t ns) { fake_clock_.Advance(ns); }
  static bool Done(const BatchState* batch) { return batch->done.load(std::memory_order_acquire); }
  static std::string MessageOf(const BatchState* batch, size_t request = 0);

  uint64_t Count(Counter c) const { return counters_.Get(c); }
  const slipway_fake_control& control(size_t transport = 0) const { return *controls_[transport]; }
  slipway_instance* instance(size_t transport = 0) { return transports_[transport]->instance(); }
  slipway_fake_counters Fake(size_t transport = 0);
  // The fake memory provider.
  const slipway_fake_memory_control& device_control() const { return *device_control_; }
  slipway_provider* device() const { return providers_->all().front().instance; }
  slipway_fake_memory_counters DeviceCounters() const;
  // Tests that provoke violations, stuck slices or leaks of the fake say so.
  void ExpectUnclean() { expect_clean_ = false; }

  const slipway_transport& Table(const std::string& plugin);

 protected:
  friend class Target;
  void StartProvider();
  void CheckInvariants();
  void CheckClean();

  Configuration setup_;
  FakeClock fake_clock_;
  const Clock* clock_ = &fake_clock_;
  RecordingLogger log_;
  Counters counters_;
  std::unique_ptr<PinBudget> budget_;
  std::vector<std::unique_ptr<Services>> services_;
  std::vector<std::unique_ptr<HostTable>> hosts_;
  std::vector<const slipway_fake_control*> controls_;
  std::vector<std::unique_ptr<Transport>> transports_;
  std::unique_ptr<StagingPool> pool_;
  std::vector<std::unique_ptr<TransportPinner>> pinners_;
  std::unique_ptr<PinCache> cache_;
  std::vector<std::vector<Registration*>> pool_registrations_;
  std::unique_ptr<Providers> providers_;
  std::unique_ptr<CopyService> copies_;
  const slipway_fake_memory_control* device_control_ = nullptr;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::vector<std::vector<Registration*>> registered_;   // per transport
  std::vector<std::pair<uint64_t, uint64_t>> declared_;  // to the cache
  bool expect_clean_ = true;
  uint64_t leaked_before_ = 0;
};

// `bytes` bytes that differ from those of another seed.
std::vector<char> Pattern(uint64_t bytes, uint32_t seed);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_TRANSFER_FIXTURE_H_
