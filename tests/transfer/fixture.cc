#include "tests/transfer/fixture.h"

#include <chrono>
#include <random>
#include <thread>

#include "tests/support/plugin_driver.h"

namespace slipway {

class TransferTest::Services final : public BasicHostServices {
 public:
  Services(const std::string& name, TransferTest& test) : BasicHostServices(name, test.log_, *test.clock_) {}
  void Wake(void* cookie) override { static_cast<Dispatcher*>(cookie)->Wake(); }
};

Configuration::Configuration() {
  transfer.spin_us = 0;
  transfer.default_deadline_ms = uint64_t{7} * 24 * 3'600'000;
  transfer.verify_registrations = true;
  staging.bytes = 64 * kKiB;
  staging.chunk_bytes = 16 * kKiB;
  staging.share_per_batch_percent = 100;
  staging.copy_threads = 1;
  cache.chunk_bytes = 64 * kKiB;
  cache.high_watermark_percent = cache.low_watermark_percent = 100;
}

void RecordingLogger::Write(LogLevel, std::string_view message) {
  MutexLock lock(mutex_);
  text_ += std::string(message) + "\n";
}

std::string RecordingLogger::text() const {
  MutexLock lock(mutex_);
  return text_;
}

std::vector<char> Pattern(uint64_t bytes, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  std::vector<char> data(bytes);
  for (char& c : data) c = static_cast<char>(random() >> 8);
  return data;
}

// ---- Target ----------------------------------------------------------------------------------------------------

Target::Target(TransferTest& test, const std::string& id, uint64_t bytes) : memory(bytes), test_(test), id_(id) {
  for (const FakeUse& use : test_.setup_.transports) {
    TransportConfig config;
    config.table = &test_.Table(use.plugin);
    auto made = Transport::Create(config, test_.hosts_[0]->table(), budget_, counters_);
    EXPECT_TRUE(made.ok()) << made.status().message();
    transports_.push_back(std::move(*made));
  }
  registrations_.resize(transports_.size());
}

Target::~Target() {
  Withdraw();
  for (auto& t : transports_) t->Shutdown();
}

void Target::Withdraw() {
  for (size_t i = 0; i < transports_.size(); ++i) {
    EXPECT_TRUE(transports_[i]->ledger().Deregister(registrations_[i], 0).ok());
  }
}

RemoteSegment* Target::Open(const std::vector<uint64_t>& pieces, uint32_t access) {
  SegmentTarget target;
  target.name = "segment-of-" + id_;
  target.node = id_;
  target.instance_id = id_;
  target.readable = (access & SLIPWAY_ACCESS_REMOTE_READ) != 0;
  target.writable = (access & SLIPWAY_ACCESS_REMOTE_WRITE) != 0;
  target.locality = Locality::kSameProcess;
  for (const uint64_t piece : pieces) target.length += piece;
  for (size_t i = 0; i < transports_.size(); ++i) {
    Transport& t = *transports_[i];
    SegmentTarget::Offer offer;
    offer.protocol = t.table().protocol;
    offer.protocol_min = t.table().protocol_min;
    offer.protocol_max = t.table().protocol_max;
    offer.address = *t.ExportAddress();
    uint64_t offset = 0;
    for (const uint64_t piece : pieces) {
      auto made = t.ledger().Register(memory.data() + offset, piece, access, SLIPWAY_MEM_HOST);
      EXPECT_TRUE(made.ok()) << made.status().message();
      registrations_[i].push_back(made->front());
      offer.pieces.push_back({offset, piece});
      offer.blobs.push_back(*t.ExportRegistration(made->front()->mr));
      offset += piece;
    }
    target.offers.push_back(std::move(offer));
  }
  Result<RemoteSegment*> opened = test_.dispatcher_->Open(target);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return opened.ok() ? *opened : nullptr;
}

// ---- TransferTest ----------------------------------------------------------------------------------------------

TransferTest::TransferTest() = default;
TransferTest::~TransferTest() = default;

const slipway_transport& TransferTest::Table(const std::string& plugin) {
  return test::LoadTransport(test::FixturePath(plugin), plugin);
}

void TransferTest::Start(const Configuration& setup) {
  setup_ = setup;
  if (setup.threaded) clock_ = &SystemClock();
  budget_ = std::make_unique<PinBudget>(setup.budget_bytes, counters_);
  Dispatcher::Parts parts;
  if (setup.staging.bytes > 0) pool_ = std::move(*StagingPool::Create(setup.staging.bytes));
  for (const FakeUse& use : setup.transports) {
    services_.push_back(std::make_unique<Services>(use.plugin, *this));
    hosts_.push_back(std::make_unique<HostTable>(*services_.back()));
    TransportConfig config;
    config.table = &Table(use.plugin);
    config.options_json = use.options;
    config.priority = static_cast<int64_t>(transports_.size());
    controls_.push_back(static_cast<const slipway_fake_control*>(config.table->get_extension(SLIPWAY_FAKE_EXTENSION)));
    auto made = Transport::Create(config, hosts_.back()->table(), *budget_, counters_);
    ASSERT_TRUE(made.ok()) << made.status().message();
    Transport& t = **made;
    transports_.push_back(std::move(*made));
    slipway_mr* pool_mr = nullptr;
    pool_registrations_.emplace_back();
    if (pool_ != nullptr && t.Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) {
      auto registered = t.ledger().Register(pool_->base(), pool_->bytes(),
                                            SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE, SLIPWAY_MEM_HOST);
      ASSERT_TRUE(registered.ok()) << registered.status().message();
      pool_mr = registered->front()->mr;
      pool_registrations_.back() = std::move(*registered);
    }
    parts.transports.push_back(&t);
    parts.pool_mrs.push_back(pool_mr);
    parts.pool_ready.push_back(pool_ != nullptr);
  }
  if (setup.pin_policy == PinPolicy::kOnDemand) {
    cache_ = std::make_unique<PinCache>(PinCache::Parts{setup.cache, budget_.get(), clock_, &log_, &counters_});
    for (const auto& t : transports_) {
      pinners_.push_back(std::make_unique<TransportPinner>(*t));
      const uint32_t who = cache_->AddPinner(*pinners_.back(), pinners_.back()->Traits());
      parts.pinners.push_back(t->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG) ? int64_t{who} : -1);
      // Pinning a chunk is as dear as 20 copies of it: the second touch is worth it, the first is not.
      cache_->pin_cost(who).Fit(64 * kKiB, 20'000, 128 * kKiB, 40'000);
      cache_->copy_cost(who).Fit(64 * kKiB, 1'000, 128 * kKiB, 2'000);
    }
    parts.cache = cache_.get();
    parts.pin_wait_ns = setup.cache.room_wait_ms * kMs;
    if (setup.threaded) cache_->Start();
  }
  leaked_before_ = control().leaked_objects();
  registered_.resize(transports_.size());
  parts.transfer = setup.transfer;
  parts.staging = setup.staging;
  parts.pool = pool_.get();
  if (!setup.memory_provider.empty()) StartProvider();
  parts.copies = copies_.get();
  parts.clock = clock_;
  parts.log = &log_;
  parts.counters = &counters_;
  dispatcher_ = std::make_unique<Dispatcher>(std::move(parts));
  const Status started = dispatcher_->Start(setup.threaded);
  ASSERT_TRUE(started.ok()) << started.message();
}

void TransferTest::StartProvider() {
  const slipway_memory_provider& table = test::LoadMemoryProvider(test::FixturePath("fake-memory"));
  providers_ = std::make_unique<Providers>();
  const Status added = providers_->Add(&table, hosts_.front()->table(), setup_.memory_provider, "");
  ASSERT_TRUE(added.ok()) << added.message();
  copies_ = std::make_unique<CopyService>(*providers_, counters_);
  device_control_ = static_cast<const slipway_fake_memory_control*>(table.get_extension(SLIPWAY_FAKE_MEMORY_EXTENSION));
}

slipway_fake_memory_counters TransferTest::DeviceCounters() const {
  slipway_fake_memory_counters counters{};
  device_control_->get_counters(device(), &counters);
  return counters;
}

void TransferTest::Stop() {
  if (dispatcher_ == nullptr) return;
  for (size_t i = 0; i < transports_.size(); ++i) control(i).set_hold(instance(i), 0);
  dispatcher_->Stop();
  CheckClean();
  if (cache_ != nullptr) {
    cache_->Stop();
    for (const auto& [addr, length] : declared_) EXPECT_TRUE(cache_->Undeclare(addr, length, 0).ok());
    declared_.clear();
  }
  for (size_t i = 0; i < transports_.size(); ++i) {
    (void)transports_[i]->ledger().Deregister(registered_[i], 0);
    (void)transports_[i]->ledger().Deregister(pool_registrations_[i], 0);
  }
  for (auto& t : transports_) t->Shutdown();
  targets_.clear();
  if (expect_clean_) {
    EXPECT_EQ(budget_->used_bytes(), 0u) << "pinned bytes that nobody gave back";
    EXPECT_EQ(control().leaked_objects(), leaked_before_);
  }
  dispatcher_.reset();
  copies_.reset();
  providers_.reset();
}

void TransferTest::TearDown() { Stop(); }

void TransferTest::CheckClean() {
  for (size_t i = 0; i < transports_.size() && expect_clean_; ++i) {
    EXPECT_EQ(Fake(i).violations, 0u) << control(i).last_violation(instance(i));
    EXPECT_EQ(Fake(i).inflight_now, 0u);
  }
  if (!expect_clean_) return;
  EXPECT_EQ(Count(Counter::kContractViolations), 0u) << log_.text();
  EXPECT_EQ(Count(Counter::kSlicesInflight), 0u);
  EXPECT_EQ(Count(Counter::kRequestsInflight), 0u);
  EXPECT_EQ(Count(Counter::kStagingNowBytes), 0u);
  if (pool_ != nullptr) {
    EXPECT_EQ(pool_->used_bytes(), 0u);
  }
}

Target& TransferTest::AddTarget(uint64_t bytes) {
  targets_.push_back(std::make_unique<Target>(*this, "node" + std::to_string(targets_.size()), bytes));
  return *targets_.back();
}

void TransferTest::Register(void* addr, uint64_t length) {
  for (size_t i = 0; i < transports_.size(); ++i) {
    if (!transports_[i]->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) continue;
    auto made = transports_[i]->ledger().Register(addr, length, SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE,
                                                  SLIPWAY_MEM_HOST);
    ASSERT_TRUE(made.ok()) << made.status().message();
    registered_[i].insert(registered_[i].end(), made->begin(), made->end());
  }
}

void TransferTest::Declare(const void* addr, uint64_t length) {
  declared_.emplace_back(reinterpret_cast<uint64_t>(addr), length);
  cache_->Declare(declared_.back().first, length, SLIPWAY_MEM_HOST);
}

Status TransferTest::Undeclare(const void* addr, uint64_t length) {
  const std::pair<uint64_t, uint64_t> key(reinterpret_cast<uint64_t>(addr), length);
  Status status = cache_->Undeclare(key.first, key.second, 0);
  if (status.ok()) std::erase(declared_, key);
  return status;
}

RequestSpec TransferTest::Write(void* local, uint64_t length, RemoteSegment* segment, uint64_t offset) const {
  return {SLIPWAY_OP_WRITE, local, length, segment, offset, SLIPWAY_MEM_HOST};
}

RequestSpec TransferTest::Read(void* local, uint64_t length, RemoteSegment* segment, uint64_t offset) const {
  return {SLIPWAY_OP_READ, local, length, segment, offset, SLIPWAY_MEM_HOST};
}

BatchState* TransferTest::Submit(const std::vector<RequestSpec>& requests, const BatchSpec& spec) {
  Result<BatchState*> batch = dispatcher_->Submit(requests, spec);
  EXPECT_TRUE(batch.ok()) << batch.status().message();
  return batch.ok() ? *batch : nullptr;
}

Status TransferTest::Refused(const std::vector<RequestSpec>& requests, const BatchSpec& spec) {
  Result<BatchState*> batch = dispatcher_->Submit(requests, spec);
  EXPECT_FALSE(batch.ok()) << "accepted";
  if (!batch.ok()) return batch.status();
  Drive(*batch);
  Release(*batch);
  return {};
}

void TransferTest::CheckInvariants() {
  EXPECT_LE(budget_->used_bytes(), budget_->cap_bytes());
  if (pool_ == nullptr || !expect_clean_) return;
  uint64_t used = 0;
  dispatcher_->Look([&] { used = pool_->used_bytes(); });
  EXPECT_LE(used, pool_->bytes());
}

bool TransferTest::Progress() {
  bool moved = dispatcher_->Progress();
  if (cache_ != nullptr && !setup_.threaded) moved |= cache_->RunOnce();
  CheckInvariants();
  return moved;
}

void TransferTest::Settle() {
  int still = 0;
  for (int round = 0; round < 100'000 && still < 3; ++round) still = Progress() ? 0 : still + 1;
  EXPECT_EQ(still, 3) << "it never comes to rest";
}

slipway_status TransferTest::Drive(BatchState* batch) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!Done(batch)) {
    if (!Progress()) {
      Pass(200'000);
      std::this_thread::yield();
    }
    if (std::chrono::steady_clock::now() < until) continue;
    ADD_FAILURE() << "the batch does not complete";
    return SLIPWAY_IN_PROGRESS;
  }
  // What was asked to be pinned meanwhile is, before anybody asks again.
  while (cache_ != nullptr && !setup_.threaded && cache_->RunOnce()) CheckInvariants();
  return batch->status;
}

slipway_status TransferTest::Run(const std::vector<RequestSpec>& requests, const BatchSpec& spec) {
  BatchState* batch = Submit(requests, spec);
  if (batch == nullptr) return SLIPWAY_E_INVALID;
  const slipway_status status = Drive(batch);
  if (status != SLIPWAY_IN_PROGRESS) Release(batch);
  return status;
}

void TransferTest::Release(BatchState* batch) {
  const Status released = dispatcher_->Release(batch);
  EXPECT_TRUE(released.ok()) << released.message();
}

std::string TransferTest::MessageOf(const BatchState* batch, size_t request) {
  const auto& message = batch->requests[request].message;
  return message == nullptr ? "" : *message;
}

slipway_fake_counters TransferTest::Fake(size_t transport) {
  slipway_fake_counters counters{};
  control(transport).get_counters(instance(transport), &counters);
  return counters;
}

}  // namespace slipway
