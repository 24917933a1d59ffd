#include "core/store/tensor.h"

#include <array>
#include <string>

namespace slipway {
namespace {

constexpr std::array<DtypeInfo, 17> kDtypes = {{
    {SLIPWAY_DTYPE_BOOL, "BOOL", 1},
    {SLIPWAY_DTYPE_U8, "U8", 1},
    {SLIPWAY_DTYPE_I8, "I8", 1},
    {SLIPWAY_DTYPE_U16, "U16", 2},
    {SLIPWAY_DTYPE_I16, "I16", 2},
    {SLIPWAY_DTYPE_U32, "U32", 4},
    {SLIPWAY_DTYPE_I32, "I32", 4},
    {SLIPWAY_DTYPE_U64, "U64", 8},
    {SLIPWAY_DTYPE_I64, "I64", 8},
    {SLIPWAY_DTYPE_F16, "F16", 2},
    {SLIPWAY_DTYPE_BF16, "BF16", 2},
    {SLIPWAY_DTYPE_F32, "F32", 4},
    {SLIPWAY_DTYPE_F64, "F64", 8},
    {SLIPWAY_DTYPE_F8_E4M3, "F8_E4M3", 1},
    {SLIPWAY_DTYPE_F8_E5M2, "F8_E5M2", 1},
    {SLIPWAY_DTYPE_F8_E8M0, "F8_E8M0", 1},
    {SLIPWAY_DTYPE_C64, "C64", 8},
}};

constexpr uint64_t kMost = uint64_t{1} << 56;  // bytes; leaves room for every sum below

Status Bad(const std::string& what) { return Status(SLIPWAY_E_INVALID, "tensor: " + what); }

}  // namespace

std::span<const DtypeInfo> Dtypes() { return kDtypes; }

const DtypeInfo* FindDtype(uint32_t dtype) {
  for (const DtypeInfo& info : kDtypes) {
    if (info.dtype == dtype) return &info;
  }
  return nullptr;
}

const DtypeInfo* FindDtype(std::string_view name) {
  for (const DtypeInfo& info : kDtypes) {
    if (name == info.name) return &info;
  }
  return nullptr;
}

Result<Layout> Layout::Of(const slipway_tensor& tensor) {
  const DtypeInfo* const dtype = FindDtype(tensor.dtype);
  if (dtype == nullptr) return Bad("dtype " + std::to_string(tensor.dtype) + " is none of SLIPWAY_DTYPE_*");
  if (tensor.rank > SLIPWAY_TENSOR_RANK_MAX) {
    return Bad("rank " + std::to_string(tensor.rank) + " is more than " + std::to_string(SLIPWAY_TENSOR_RANK_MAX));
  }
  if (tensor.rank > 0 && tensor.shape == nullptr) return Bad("shape is null");
  uint64_t bytes = dtype->bytes;
  bool empty = false;
  for (uint32_t d = 0; d < tensor.rank; ++d) {
    const int64_t extent = tensor.shape[d];
    if (extent < 0) return Bad("extent " + std::to_string(d) + " is " + std::to_string(extent));
    empty |= extent == 0;
  }
  for (uint32_t d = 0; d < tensor.rank && !empty; ++d) {
    if (static_cast<uint64_t>(tensor.shape[d]) > kMost / bytes) return Bad("its size overflows");
    bytes *= static_cast<uint64_t>(tensor.shape[d]);
  }
  Layout layout;
  layout.data_ = static_cast<char*>(tensor.data);
  if (empty) return layout;
  if (tensor.data == nullptr) return Bad("the address is null and there are elements");
  layout.bytes_ = bytes;
  layout.run_bytes_ = dtype->bytes;
  layout.high_ = dtype->bytes;
  // From the innermost: what lies side by side joins the run, the rest is stepped over.
  int64_t dense = dtype->bytes;  // the stride that an extent has without gaps
  for (uint32_t i = tensor.rank; i-- > 0;) {
    const auto extent = static_cast<uint64_t>(tensor.shape[i]);
    int64_t stride = dense;
    if (tensor.strides != nullptr && __builtin_mul_overflow(tensor.strides[i], int64_t{dtype->bytes}, &stride)) {
      return Bad("stride " + std::to_string(i) + " overflows");
    }
    dense *= static_cast<int64_t>(extent);
    if (extent == 1) continue;
    int64_t reach = 0;
    if (__builtin_mul_overflow(stride, static_cast<int64_t>(extent - 1), &reach) ||
        __builtin_add_overflow(reach < 0 ? layout.low_ : layout.high_, reach,
                               reach < 0 ? &layout.low_ : &layout.high_)) {
      return Bad("stride " + std::to_string(i) + " overflows");
    }
    if (layout.outer_.empty() && stride == static_cast<int64_t>(layout.run_bytes_)) {
      layout.run_bytes_ *= extent;
    } else if (!layout.outer_.empty() &&
               stride == layout.outer_.front().stride * static_cast<int64_t>(layout.outer_.front().extent)) {
      layout.outer_.front().extent *= extent;
    } else {
      layout.outer_.insert(layout.outer_.begin(), Dim{extent, stride});
    }
  }
  const auto base = reinterpret_cast<int64_t>(layout.data_);
  int64_t ignored = 0;
  if (__builtin_add_overflow(base, layout.low_, &ignored) || ignored < 0 ||
      __builtin_add_overflow(base, layout.high_, &ignored)) {
    return Bad("its elements wrap around the address space");
  }
  return layout;
}

bool Layout::Disjoint() const {
  std::vector<Dim> dims = outer_;
  for (Dim& dim : dims) dim.stride = dim.stride < 0 ? -dim.stride : dim.stride;
  std::sort(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) { return a.stride < b.stride; });
  uint64_t reach = run_bytes_;  // of what smaller strides cover
  for (const Dim& dim : dims) {
    if (static_cast<uint64_t>(dim.stride) < reach) return false;
    reach += static_cast<uint64_t>(dim.stride) * (dim.extent - 1);
  }
  return true;
}

int64_t Layout::Start(uint64_t run, std::vector<uint64_t>* index) const {
  int64_t at = 0;
  for (size_t d = outer_.size(); d-- > 0;) {
    (*index)[d] = run % outer_[d].extent;
    run /= outer_[d].extent;
    at += outer_[d].stride * static_cast<int64_t>((*index)[d]);
  }
  return at;
}

}  // namespace slipway
