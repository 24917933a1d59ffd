// What is asked of devices: accesses and addresses of registrations, one for each device, and the states of queue
// pairs. Devices of these abilities are on no test machine, so they are made up.
#include <gtest/gtest.h>

#include <memory>

#include "plugins/rdma-verbs/device.h"
#include "plugins/rdma-verbs/memory.h"
#include "plugins/rdma-verbs/queue_pair.h"
#include "tests/plugins/rdma-verbs/fake_verbs.h"

namespace slipway::rdma {
namespace {

struct Said : slipway_error {
  Said() : slipway_error{} { struct_size = sizeof(slipway_error); }
};

class VerbsTest : public testing::Test {
 protected:
  // Opens both devices.
  void Open() {
    config_.devices = {"fake0", "fake1"};
    ASSERT_EQ(TryOpen(), SLIPWAY_OK) << said_.message;
    ASSERT_EQ(devices_.size(), 2u);
  }
  slipway_status TryOpen() {
    sdk::Error err(&said_);
    return OpenDevices(fake_.table, config_, &devices_, err);
  }
  slipway_status Register(uint32_t access, uint64_t kind = SLIPWAY_MEM_HOST, int dmabuf_fd = -1, uint64_t offset = 0) {
    const slipway_range range{sizeof(range), access, memory_, sizeof(memory_), kind, -1, dmabuf_fd, offset};
    sdk::Error err(&said_);
    return Registration::Make(devices_, config_, range, made_, err);
  }
  const Registration& made() const { return static_cast<const Registration&>(*made_); }

  FakeVerbs fake_;
  Config config_;
  Said said_;
  Devices devices_;
  std::unique_ptr<sdk::Registration> made_;
  alignas(4096) char memory_[8192] = {};
};

TEST_F(VerbsTest, MemoryIsRegisteredOnceWithEachDeviceUnderOneAddress) {
  Open();
  ASSERT_EQ(Register(SLIPWAY_ACCESS_REMOTE_READ), SLIPWAY_OK);
  ASSERT_EQ(fake_.registered.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(fake_.registered[i].device, i);
    EXPECT_EQ(fake_.registered[i].address, memory_);
    EXPECT_EQ(fake_.registered[i].length, sizeof(memory_));
    EXPECT_EQ(fake_.registered[i].wire_address, made().wire_base());
  }
  EXPECT_EQ(made().rkeys(), (std::vector<uint32_t>{1001, 1002}));
  EXPECT_EQ(made().WireAddress(memory_ + 5), made().wire_base() + 5);
  made_.reset();
  EXPECT_TRUE(fake_.alive.empty());
}

TEST_F(VerbsTest, AccessIsWhatWasAskedForAndNoMore) {
  Open();
  const std::pair<uint32_t, unsigned> cases[] = {
      {SLIPWAY_ACCESS_LOCAL_READ, 0},
      {SLIPWAY_ACCESS_LOCAL_WRITE, IBV_ACCESS_LOCAL_WRITE},
      {SLIPWAY_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_READ},
      // Verbs take no remote writes without local ones.
      {SLIPWAY_ACCESS_REMOTE_WRITE, IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_LOCAL_WRITE},
      {SLIPWAY_ACCESS_ALL, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE},
  };
  for (const auto& [asked, expected] : cases) {
    ASSERT_EQ(Register(asked), SLIPWAY_OK);
    EXPECT_EQ(fake_.registered.back().access, expected) << asked;
  }
}

TEST_F(VerbsTest, OrderingIsRelaxedWhereThatIsAskedFor) {
  config_.relaxed_ordering = true;
  Open();
  ASSERT_EQ(Register(SLIPWAY_ACCESS_LOCAL_READ), SLIPWAY_OK);
  EXPECT_EQ(fake_.registered.back().access, static_cast<unsigned>(IBV_ACCESS_RELAXED_ORDERING));
}

TEST_F(VerbsTest, PagingOnDemandTakesADeviceThatCan) {
  config_.on_demand_paging = true;
  config_.devices = {"fake0"};
  EXPECT_EQ(TryOpen(), SLIPWAY_E_CONFIG);
  EXPECT_STREQ(said_.where, "/on_demand_paging");
  EXPECT_EQ(fake_.open_contexts, 0) << "nothing is left open";
  fake_.pages_on_demand = true;
  Open();
  ASSERT_EQ(Register(SLIPWAY_ACCESS_LOCAL_READ), SLIPWAY_OK);
  EXPECT_EQ(fake_.registered.back().access, static_cast<unsigned>(IBV_ACCESS_ON_DEMAND));
  EXPECT_EQ(made().wire_base(), reinterpret_cast<uintptr_t>(memory_)) << "at its own address, as drivers want it";
}

TEST_F(VerbsTest, DeviceMemoryIsRegisteredByItsDmaBuf) {
  fake_.takes_dmabuf = true;
  Open();
  EXPECT_TRUE(devices_[0]->takes_dmabuf());
  constexpr uint64_t kOffset = 3 * 4096 + 64;
  ASSERT_EQ(Register(SLIPWAY_ACCESS_ALL, SLIPWAY_MEM_CUDA, 7, kOffset), SLIPWAY_OK) << said_.message;
  ASSERT_EQ(fake_.registered.size(), 2u);
  for (const auto& r : fake_.registered) {
    EXPECT_EQ(r.dmabuf_fd, 7);
    EXPECT_EQ(r.dmabuf_offset, kOffset);
    EXPECT_EQ(r.length, sizeof(memory_));
    // Drivers ask that both lie alike in a page.
    EXPECT_EQ(r.wire_address % 4096, kOffset % 4096);
    EXPECT_EQ(r.access,
              static_cast<unsigned>(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE));
  }
  EXPECT_EQ(Register(SLIPWAY_ACCESS_ALL, SLIPWAY_MEM_CUDA), SLIPWAY_E_UNSUPPORTED) << "without one";
}

TEST_F(VerbsTest, DmaBufsAreNotOfferedWhereTheDriverOrTheConfigurationDoesNot) {
  Open();
  EXPECT_FALSE(devices_[0]->takes_dmabuf());
  fake_.takes_dmabuf = true;
  config_.dmabuf = false;
  Open();
  EXPECT_FALSE(devices_[0]->takes_dmabuf());
  fake_.table.reg_dmabuf_mr = nullptr;  // a library that does not know them
  config_.dmabuf = true;
  Open();
  EXPECT_FALSE(devices_[0]->takes_dmabuf());
}

TEST_F(VerbsTest, WhatTheSecondDeviceRefusesIsTakenBackFromTheFirst) {
  Open();
  const std::pair<int, slipway_status> cases[] = {
      {ENOMEM, SLIPWAY_E_NOMEM}, {EFAULT, SLIPWAY_E_INVALID}, {EOPNOTSUPP, SLIPWAY_E_UNSUPPORTED}, {EIO, SLIPWAY_E_IO}};
  fake_.refuse_on_device = 1;
  for (const auto& [refusal, status] : cases) {
    fake_.refusal = refusal;
    EXPECT_EQ(Register(SLIPWAY_ACCESS_ALL), status) << said_.message;
    EXPECT_STREQ(said_.where, "fake1");
    EXPECT_TRUE(fake_.alive.empty());
  }
}

TEST_F(VerbsTest, AQueuePairHasTheRetriesAndLimitsOfItsConnection) {
  config_.retry_count = 3;
  config_.rnr_retry_count = 2;
  config_.peer_timeout_ms = 8000;
  Open();
  QueuePair qp;
  ASSERT_EQ(qp.Make(*devices_[0], nullptr, nullptr, 64, 220), 0);
  EXPECT_EQ(qp.depth(), 64u);
  EXPECT_EQ(qp.inline_bytes(), 220u);
  EXPECT_EQ(fake_.queue_pair.qp_type, IBV_QPT_RC);
  EXPECT_EQ(fake_.queue_pair.sq_sig_all, 0) << "completions come where they are asked for";
  ConnectionLimits limits;
  limits.mtu = IBV_MTU_1024;
  limits.access = IBV_ACCESS_REMOTE_READ;
  limits.reads_out = 5;
  limits.reads_in = 4;
  ASSERT_EQ(qp.Connect(nullptr, config_, limits), 0);
  ASSERT_EQ(fake_.states.size(), 3u);
  const auto &init = fake_.states[0], &receive = fake_.states[1], &send = fake_.states[2];
  EXPECT_EQ(init.qp_access_flags, static_cast<unsigned>(IBV_ACCESS_REMOTE_READ));
  EXPECT_EQ(receive.path_mtu, IBV_MTU_1024) << "the smaller of what the connection manager and the two sides say";
  EXPECT_EQ(receive.max_dest_rd_atomic, 4);
  EXPECT_EQ(send.max_rd_atomic, 5);
  EXPECT_EQ(send.retry_cnt, 3);
  EXPECT_EQ(send.rnr_retry, 2);
  EXPECT_EQ(send.timeout, AckTimerOf(config_, false).exponent);
  limits.mtu = IBV_MTU_4096;
  fake_.states.clear();
  ASSERT_EQ(qp.Connect(nullptr, config_, limits), 0);
  EXPECT_EQ(fake_.states[1].path_mtu, IBV_MTU_2048);
}

TEST_F(VerbsTest, TheDeviceInSoftwareGetsRetriesThatEnd) {
  config_.retry_count = 7;
  for (const auto& [vendor, retries] : {std::pair(0x2c9u, 7), std::pair(0xffffffu, 6)}) {
    fake_.vendor_id = vendor;
    Open();
    QueuePair qp;
    ASSERT_EQ(qp.Make(*devices_[0], nullptr, nullptr, 64, 220), 0);
    fake_.states.clear();
    ASSERT_EQ(qp.Connect(nullptr, config_, ConnectionLimits()), 0);
    EXPECT_EQ(fake_.states[2].retry_cnt, retries);
    EXPECT_EQ(fake_.states[2].timeout, AckTimerOf(config_, vendor == 0xffffff).exponent);
  }
}

TEST_F(VerbsTest, LessIsInlineWhereTheDeviceTakesLess) {
  Open();
  fake_.inline_bytes_max = 100;
  QueuePair qp;
  ASSERT_EQ(qp.Make(*devices_[0], nullptr, nullptr, 5000, 220), 0);
  EXPECT_EQ(qp.inline_bytes(), 64u);
  EXPECT_EQ(qp.depth(), 1000u) << "and no more work requests than it takes";
}

}  // namespace
}  // namespace slipway::rdma
