#include "tools/conform/provider.h"

#include <cstring>

#include "tools/conform/failure.h"
#include "tools/conform/plugin_file.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

const slipway_memory_provider* Open(const MemorySource& source) {
  PluginFile file;
  const std::string why = OpenPlugin(source.plugin, file);
  Require(why.empty(), "the profile's memory provider %s: %s", source.plugin.c_str(), why.c_str());
  const slipway_memory_provider* p = FindProvider(*file.plugin, "");
  Require(p != nullptr, "%s offers no memory provider", source.plugin.c_str());
  return p;
}

}  // namespace

Provider::Provider(const Context& c, const std::string& config) : c_(c), p_(c.p) {
  Require(p_ != nullptr, "the plugin offers no memory provider");
  Create(config);
}
Provider::Provider(const Context& c, const MemorySource& source) : c_(c), p_(Open(source)) { Create(source.config); }

void Provider::Create(const std::string& config) {
  Report report;
  const GuardedBytes json(config);
  const slipway_status s = p_->create(host_.table(), json.data(), json.size(), &handle_, report.c());
  Require(s == SLIPWAY_OK && handle_ != nullptr, "create of the memory provider: %s", report.Say(s).c_str());
  if (p_->get_extension == nullptr) return;
  const auto* test = static_cast<const slipway_test_memory*>(p_->get_extension(SLIPWAY_TEST_MEMORY_ID));
  if (test != nullptr && SLIPWAY_HAS(test, slipway_test_memory, disturb)) test_ = test;
}

Provider::~Provider() {
  if (handle_ != nullptr) p_->destroy(handle_);
  host_.InstanceDestroyed();
}

void* Provider::Allocate(uint64_t bytes) const {
  if (test_ == nullptr) Skip("the provider does not offer the extension %s", SLIPWAY_TEST_MEMORY_ID);
  void* p = nullptr;
  const slipway_status s = test_->alloc(handle_, bytes, &p);
  Require(s == SLIPWAY_OK && p != nullptr, "%s cannot allocate: %s", SLIPWAY_TEST_MEMORY_ID, StatusName(s).c_str());
  return p;
}

slipway_mem_info Provider::Classify(const void* addr, uint64_t length) const {
  slipway_mem_info info{};
  info.struct_size = sizeof(info);
  info.device_ordinal = -77;
  const slipway_status s = p_->classify(handle_, addr, length, &info);
  Require(s == SLIPWAY_OK, "classify: expected OK also for memory that is not its own, got %s", StatusName(s).c_str());
  if (info.mem_kind == 0) {
    Require(info.device_ordinal == -77, "classify of memory that is not its own wrote other fields than mem_kind");
  } else {
    Require(info.mem_kind == p_->mem_kind, "classify answers with a kind that is not the provider's");
  }
  return info;
}

slipway_copy_queue* Provider::OpenQueue() const {
  slipway_copy_queue* queue = nullptr;
  Report report;
  const slipway_status s = p_->queue_open(handle_, nullptr, &queue, report.c());
  Require(s == SLIPWAY_OK && queue != nullptr, "queue_open: %s", report.Say(s).c_str());
  return queue;
}
void Provider::CloseQueue(slipway_copy_queue* queue) const {
  const slipway_status s = p_->queue_close(queue);
  Require(s == SLIPWAY_OK, "queue_close with nothing in flight: %s", StatusName(s).c_str());
}

void Provider::CopyAll(slipway_copy_queue* queue, const std::vector<slipway_copy>& pieces) const {
  std::vector<uint8_t> seen(pieces.size(), 0);
  size_t submitted = 0, completed = 0;
  const Deadline deadline(c_.limits().op_timeout_ms);
  while (completed < pieces.size()) {
    Require(!deadline.over(), "%zu of %zu copies completed within %llu ms", completed, pieces.size(),
            static_cast<unsigned long long>(c_.limits().op_timeout_ms));
    if (submitted < pieces.size()) {
      uint32_t accepted = 0xFFFFFFFF;
      Report report;
      const slipway_status s = p_->copy_submit(queue, &pieces[submitted], sizeof(slipway_copy),
                                               static_cast<uint32_t>(pieces.size() - submitted), &accepted, report.c());
      Require(accepted <= pieces.size() - submitted, "copy_submit did not set *accepted, or to too much");
      Require((s == SLIPWAY_OK && accepted > 0) || (s == SLIPWAY_E_AGAIN && accepted == 0),
              "copy_submit of valid pieces: %s, accepted %u", report.Say(s).c_str(), accepted);
      submitted += accepted;
    }
    slipway_completion done[64];
    uint32_t n = 0xFFFFFFFF;
    const slipway_status s = p_->copy_poll(queue, done, sizeof(done[0]), 64, &n);
    Require(s == SLIPWAY_OK && n <= 64, "copy_poll: %s", StatusName(s).c_str());
    for (uint32_t i = 0; i < n; ++i, ++completed) {
      // Tokens are positions in `pieces`, told apart from anything by chance.
      const uint64_t index = done[i].token ^ 0xC09EC09Eu;
      Require(index < submitted && seen[index]++ == 0, "a copy completed with a token that is wrong, or twice");
      Require(done[i].status == SLIPWAY_OK && done[i].bytes == pieces[index].length,
              "a copy of %llu bytes completed with %s and %llu bytes",
              static_cast<unsigned long long>(pieces[index].length), StatusName(done[i].status).c_str(),
              static_cast<unsigned long long>(done[i].bytes));
      // Complete means there: the source may change from now on. Only what is host memory can be looked at.
      const slipway_copy& p = pieces[index];
      if (p.length > 0 && p.dst_kind == SLIPWAY_MEM_HOST && p.src_kind == SLIPWAY_MEM_HOST) {
        Require(std::memcmp(p.dst, p.src, p.length) == 0, "a copy completed before its bytes were there");
      }
    }
    if (n == 0) Breathe();
  }
}

void Provider::Copy(void* dst, uint64_t dst_kind, const void* src, uint64_t src_kind, uint64_t bytes) const {
  slipway_copy_queue* queue = OpenQueue();
  CopyAll(queue, {{0xC09EC09Eu, dst, src, bytes, dst_kind, src_kind}});
  CloseQueue(queue);
}

}  // namespace slipway::conform
