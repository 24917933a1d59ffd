// The store, its views, and what the calls of the store share.
#ifndef SLIPWAY_SDK_PYTHON_SRC_STORE_HANDLE_H_
#define SLIPWAY_SDK_PYTHON_SRC_STORE_HANDLE_H_

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "errors.h"
#include "memory.h"
#include "slipway/store.h"

namespace slipway::python {

struct StoreHandle {
  std::shared_ptr<EngineHandle> engine;  // where it was given one; otherwise the store has its own
  slipway_store* store = nullptr;

  StoreHandle() = default;
  StoreHandle(const StoreHandle&) = delete;
  StoreHandle& operator=(const StoreHandle&) = delete;
  ~StoreHandle() { Close(); }
  void Close();
  // Raises E_CLOSED once it was closed.
  slipway_store* open() const;
};

// A value that stays as it is until this goes.
class View {
 public:
  explicit View(slipway_store_view* owned) : view_(owned, &slipway_store_view_release) {}

  // Raises ValueError after Release.
  const void* data() const;
  uint64_t length() const;
  bool is_copy() const;
  void Release();
  void AddExport() { ++exports_; }
  void DropExport() { --exports_; }

 private:
  std::unique_ptr<slipway_store_view, decltype(&slipway_store_view_release)> view_;
  int exports_ = 0;  // memoryviews of it
};

// A key of str or bytes, which must outlive this.
slipway_store_key KeyOf(pybind11::handle key);
std::vector<slipway_store_key> KeysOf(const pybind11::sequence& keys);

inline bool IsCuda(const Memory& memory) { return memory.device().type == dlpack::kCuda; }

// What failed, as the C API said it.
class Report {
 public:
  Report() { failure_.struct_size = sizeof(failure_); }
  slipway_failure* get() { return &failure_; }
  // Raises for what is a failure; gives other statuses (OK, EXISTS) back.
  slipway_status Check(slipway_status status) const;
  std::string Text(slipway_status status) const;

 private:
  slipway_failure failure_{};
};

// The keyword arguments of writes, raising TypeError for a name and ValueError for a value that is none.
class WriteOptions {
 public:
  explicit WriteOptions(const pybind11::kwargs& named);
  const slipway_store_write_options* get() const { return &raw_; }
  // Copies come after what the default stream of the memory's device holds, as DLPack arranged it with the producer.
  void OrderAfter(const Memory& memory) {
    if (IsCuda(memory)) raw_.stream_kind = SLIPWAY_MEM_CUDA;
  }

 private:
  void Set(const std::string& name, const pybind11::handle& value);

  slipway_store_write_options raw_{};
  std::string group_;
  std::vector<std::string> preferred_;
  std::vector<const char*> preferred_words_;
};

// And of reads: verify, timeout.
class ReadOptions {
 public:
  explicit ReadOptions(const pybind11::kwargs& named);
  const slipway_store_read_options* get() const { return &raw_; }
  void OrderAfter(const Memory& memory) {
    if (IsCuda(memory)) raw_.stream_kind = SLIPWAY_MEM_CUDA;
  }

 private:
  slipway_store_read_options raw_{};
};

// The C API's tensor for a memory; `strides` and the memory must outlive it.
slipway_tensor TensorOf(const Memory& memory, std::vector<int64_t>* strides);

using StoreClass = pybind11::class_<StoreHandle, std::shared_ptr<StoreHandle>>;
void BindWrites(StoreClass& store);
void BindReads(StoreClass& store);
void BindKeys(StoreClass& store);
void BindTensors(pybind11::module_& module, StoreClass& store);

// What a batch returns: a status a key, as slipway.Status.
pybind11::list Statuses(const std::vector<slipway_status>& statuses);
// Raises what `status` says where the call as a whole was refused, which is when every item is E_INVALID with it.
void RaiseIfMalformed(const Report& report, slipway_status status, const std::vector<slipway_status>& statuses);
// For reads that give None for keys that have no value: raises for what else failed.
void RaiseUnlessNotFound(const Report& report, slipway_status status, const std::vector<slipway_status>& statuses);

}  // namespace slipway::python

#endif  // SLIPWAY_SDK_PYTHON_SRC_STORE_HANDLE_H_
