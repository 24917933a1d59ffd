// Tensors in memory: element types, and where the elements of a strided one lie.
#ifndef SLIPWAY_CORE_STORE_TENSOR_H_
#define SLIPWAY_CORE_STORE_TENSOR_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "slipway/status.hpp"
#include "slipway/store.h"

namespace slipway {

struct DtypeInfo {
  uint32_t dtype;
  const char* name;  // of the file format
  uint32_t bytes;    // of one element
};
std::span<const DtypeInfo> Dtypes();
const DtypeInfo* FindDtype(uint32_t dtype);  // null: none
const DtypeInfo* FindDtype(std::string_view name);

// The elements of a tensor, in row-major order, as runs of bytes that lie side by side.
class Layout {
 public:
  // E_INVALID: an unknown dtype, a rank beyond SLIPWAY_TENSOR_RANK_MAX, a negative extent, a size that overflows, a
  // null address with elements.
  static Result<Layout> Of(const slipway_tensor& tensor);

  uint64_t bytes() const { return bytes_; }  // of all elements
  uint64_t run_bytes() const { return run_bytes_; }
  bool contiguous() const { return run_bytes_ == bytes_; }
  char* data() const { return data_; }
  // Whether no byte belongs to two elements, as memory that is written to must have it. May say no where it could be
  // yes, for strides that no usual view has.
  bool Disjoint() const;
  // The bytes that the elements lie within.
  char* low() const { return data_ + low_; }
  uint64_t extent_bytes() const { return bytes_ == 0 ? 0 : static_cast<uint64_t>(high_ - low_); }

  // Calls each(address, bytes) for the pieces that [begin, begin + length) of the elements in order consists of.
  template <typename Each>
  void ForEachRun(uint64_t begin, uint64_t length, Each each) const {
    uint64_t run = run_bytes_ == 0 ? 0 : begin / run_bytes_;
    uint64_t within = run_bytes_ == 0 ? 0 : begin % run_bytes_;
    std::vector<uint64_t> index(outer_.size());
    int64_t at = Start(run, &index);
    while (length > 0) {
      const uint64_t bytes = std::min(length, run_bytes_ - within);
      each(data_ + at + static_cast<int64_t>(within), bytes);
      length -= bytes;
      within = 0;
      Step(&index, &at);
    }
  }

 private:
  struct Dim {
    uint64_t extent = 0;
    int64_t stride = 0;  // bytes
  };

  int64_t Start(uint64_t run, std::vector<uint64_t>* index) const;
  void Step(std::vector<uint64_t>* index, int64_t* at) const {
    for (size_t d = outer_.size(); d-- > 0;) {
      *at += outer_[d].stride;
      if (++(*index)[d] < outer_[d].extent) return;
      *at -= outer_[d].stride * static_cast<int64_t>(outer_[d].extent);
      (*index)[d] = 0;
    }
  }

  char* data_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t run_bytes_ = 0;
  int64_t low_ = 0, high_ = 0;
  std::vector<Dim> outer_;  // what steps from run to run, outermost first
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_TENSOR_H_
