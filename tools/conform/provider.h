// One memory provider under test, and the calls that cases make on it.
#ifndef SLIPWAY_TOOLS_CONFORM_PROVIDER_H_
#define SLIPWAY_TOOLS_CONFORM_PROVIDER_H_

#include <string>
#include <vector>

#include "tools/conform/case.h"
#include "tools/conform/fake_host.h"
#include "tools/conform/test_memory.h"

namespace slipway::conform {

// Every failure fails the case. Const calls are those that do not change what the provider holds.
class Provider {
 public:
  Provider(const Context& c, const std::string& config);
  Provider(const Context& c, const MemorySource& source);  // opens another plugin
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  slipway_provider* get() const { return handle_; }
  const slipway_memory_provider& p() const { return *p_; }
  uint64_t mem_kind() const { return p_->mem_kind; }
  FakeHost& host() { return host_; }

  // With the extension of test_memory.h; the first skips the case where it is not offered.
  bool can_allocate() const { return test_ != nullptr; }
  void* Allocate(uint64_t bytes) const;
  void Free(void* p) const { test_->dealloc(handle_, p); }
  uint64_t ThreadState() const { return test_->thread_state(handle_); }
  void Disturb() const { test_->disturb(handle_); }

  slipway_mem_info Classify(const void* addr, uint64_t length) const;
  slipway_copy_queue* OpenQueue() const;
  void CloseQueue(slipway_copy_queue* queue) const;
  // One completion for each piece, with OK, in any order; room is waited for.
  void CopyAll(slipway_copy_queue* queue, const std::vector<slipway_copy>& pieces) const;
  void Copy(void* dst, uint64_t dst_kind, const void* src, uint64_t src_kind, uint64_t bytes) const;

 private:
  void Create(const std::string& config);

  const Context& c_;
  const slipway_memory_provider* p_;
  FakeHost host_;
  slipway_provider* handle_ = nullptr;
  const slipway_test_memory* test_ = nullptr;
};

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_PROVIDER_H_
