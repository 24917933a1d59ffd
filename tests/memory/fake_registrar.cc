#include "tests/memory/fake_registrar.h"

#include <gtest/gtest.h>

namespace slipway {

Result<slipway_mr*> FakeRegistrar::RegisterMemory(const slipway_range& range) {
  EXPECT_EQ(range.struct_size, sizeof range);
  EXPECT_GT(range.length, 0u);
  EXPECT_NE(range.addr, nullptr);
  EXPECT_EQ(range.dmabuf_fd, -1);
  if (on_register_) on_register_();
  MutexLock lock(mutex_);
  if (good_registers_ == 0) return Status(register_status_, "the fake registrar was told to refuse");
  if (good_registers_ != UINT64_MAX) --good_registers_;
  const uint64_t id = next_++;
  live_[id] = {reinterpret_cast<uint64_t>(range.addr), range.length, range.access};
  return reinterpret_cast<slipway_mr*>(id);
}

Status FakeRegistrar::DeregisterMemory(slipway_mr* mr) {
  if (on_deregister_) on_deregister_();
  MutexLock lock(mutex_);
  const auto found = live_.find(reinterpret_cast<uint64_t>(mr));
  EXPECT_NE(found, live_.end()) << "deregistered twice, or never registered";
  if (bad_deregisters_ > 0) {
    --bad_deregisters_;
    return Status(deregister_status_, "the fake registrar was told to refuse");
  }
  if (found != live_.end()) live_.erase(found);
  return {};
}

std::vector<FakeRegistrar::Range> FakeRegistrar::ranges() const {
  MutexLock lock(mutex_);
  std::vector<Range> all;
  for (const auto& [id, range] : live_) all.push_back(range);
  return all;
}

uint64_t FakeRegistrar::registered_bytes() const {
  uint64_t total = 0;
  for (const Range& r : ranges()) total += r.length;
  return total;
}

void FakeRegistrar::FailRegisterAfter(uint64_t good, slipway_status status) {
  MutexLock lock(mutex_);
  good_registers_ = good;
  register_status_ = status;
}

void FakeRegistrar::FailDeregister(uint64_t times, slipway_status status) {
  MutexLock lock(mutex_);
  bad_deregisters_ = times;
  deregister_status_ = status;
}

}  // namespace slipway
