// What is checked of the core's arguments before an author's code sees them. Authors do not use this header directly.
#ifndef SLIPWAY_SDK_CHECKS_HPP_
#define SLIPWAY_SDK_CHECKS_HPP_

#include <bit>
#include <limits>

#include "slipway/sdk/transport.hpp"

namespace slipway::sdk::detail {

// The sizes in revision 1.0, which every caller's arrays reach.
inline constexpr uint32_t kSliceBytesV1 = 64;
inline constexpr uint32_t kCompletionBytesV1 = 32;
static_assert(sizeof(slipway_slice) >= kSliceBytesV1 && sizeof(slipway_completion) >= kCompletionBytesV1);

class Checks {
 public:
  // Why a slice cannot be accepted. `why` is a literal.
  struct Fault {
    slipway_status status = SLIPWAY_OK;
    const char* why = nullptr;
  };

  // Completes the caller's range, whatever its revision, and checks what the contract says of every range.
  static slipway_status CheckRange(const slipway_range* in, slipway_range& out, Error& err) {
    if (in == nullptr || !SLIPWAY_HAS(in, slipway_range, length)) {
      return err.Fail(SLIPWAY_E_INVALID, "the range is NULL or its struct_size is not set");
    }
    out = {sizeof(out), in->access, in->addr, in->length, SLIPWAY_MEM_HOST, -1, -1, 0};
    if (SLIPWAY_HAS(in, slipway_range, mem_kind)) out.mem_kind = in->mem_kind;
    if (SLIPWAY_HAS(in, slipway_range, device_ordinal)) out.device_ordinal = in->device_ordinal;
    if (SLIPWAY_HAS(in, slipway_range, dmabuf_fd)) out.dmabuf_fd = in->dmabuf_fd;
    if (SLIPWAY_HAS(in, slipway_range, dmabuf_offset)) out.dmabuf_offset = in->dmabuf_offset;
    if (out.addr == nullptr || out.length == 0) return err.Fail(SLIPWAY_E_INVALID, "the range is empty or at NULL");
    if (reinterpret_cast<uintptr_t>(out.addr) > std::numeric_limits<uint64_t>::max() - out.length) {
      return err.Fail(SLIPWAY_E_INVALID, "the range wraps around the address space");
    }
    if (out.access == 0 || (out.access & ~SLIPWAY_ACCESS_ALL) != 0) {
      return err.Fail(SLIPWAY_E_INVALID, "the range's access is 0 or has a bit that is not known");
    }
    if (!std::has_single_bit(out.mem_kind)) return err.Fail(SLIPWAY_E_INVALID, "the range's mem_kind is not one bit");
    return SLIPWAY_OK;
  }

  // What a registration must keep to beyond that.
  static slipway_status CheckLimits(const Instance& i, const slipway_range& range, Error& err) {
    if ((range.mem_kind & i.attrs_.mem_kinds) == 0) {
      return err.Fail(SLIPWAY_E_UNSUPPORTED, "this transport does not reach that kind of memory: stage it");
    }
    if (range.dmabuf_fd >= 0 && (i.attrs_.caps & SLIPWAY_CAP_DMABUF) == 0) {
      return err.Fail(SLIPWAY_E_UNSUPPORTED, "this transport does not take DMA-BUF descriptors");
    }
    if (i.attrs_.max_mr_bytes != 0 && range.length > i.attrs_.max_mr_bytes) {
      return err.Fail(SLIPWAY_E_INVALID, "longer than max_mr_bytes: register it in pieces");
    }
    return SLIPWAY_OK;
  }

  static bool KnownFlags(const slipway_attrs& a, uint32_t flags) {
    if (flags == 0) return true;
    return (a.caps & SLIPWAY_CAP_SLICE_KIND) != 0 && flags <= SLIPWAY_SLICE_KIND_MASK &&
           (a.mem_kinds >> flags & 1) != 0;
  }

  static Fault CheckSlice(const Instance& i, const slipway_slice& s) {
    const slipway_attrs& a = i.attrs_;
    const bool read = s.op == SLIPWAY_OP_READ;
    if (!read && s.op != SLIPWAY_OP_WRITE) return {SLIPWAY_E_INVALID, "submit: unknown operation"};
    if (!KnownFlags(a, s.flags) || s.reserved != 0) {
      return {SLIPWAY_E_INVALID, "submit: unknown flag or kind of memory, or reserved is not 0"};
    }
    if ((a.caps & (read ? SLIPWAY_CAP_READ : SLIPWAY_CAP_WRITE)) == 0) {
      return {SLIPWAY_E_UNSUPPORTED, "submit: the transport does not have this operation"};
    }
    if (s.local_addr == nullptr || s.remote == nullptr) return {SLIPWAY_E_INVALID, "submit: NULL address or remote"};
    if (s.length == 0 || s.length > a.max_slice_bytes) {
      return {SLIPWAY_E_INVALID, "submit: the length is 0 or more than max_slice_bytes"};
    }
    const uint64_t local = reinterpret_cast<uintptr_t>(s.local_addr);
    if (local > std::numeric_limits<uint64_t>::max() - s.length) {
      return {SLIPWAY_E_INVALID, "submit: the local range wraps around the address space"};
    }
    if ((local & (a.local_align - 1)) != 0 || (s.remote_offset & (a.remote_align - 1)) != 0 ||
        (s.length & (a.length_align - 1)) != 0) {
      return {SLIPWAY_E_INVALID, "submit: address, offset or length is not aligned as the attributes ask"};
    }
    return CheckReach(i, s, read);
  }

 private:
  static Fault CheckReach(const Instance& i, const slipway_slice& s, bool read) {
    const Remote& remote = *reinterpret_cast<const Remote*>(s.remote);
    if (remote.instance_ != &i) return {SLIPWAY_E_INVALID, "submit: the remote is another instance's"};
    if (s.remote_offset > remote.length_ || s.length > remote.length_ - s.remote_offset) {
      return {SLIPWAY_E_RANGE, "submit: beyond the end of the remote registration"};
    }
    if ((remote.access_ & (read ? SLIPWAY_ACCESS_REMOTE_READ : SLIPWAY_ACCESS_REMOTE_WRITE)) == 0) {
      return {SLIPWAY_E_ACCESS, "submit: the remote registration was not granted for this operation"};
    }
    if ((i.attrs_.caps & SLIPWAY_CAP_NEEDS_LOCAL_REG) == 0) return {};
    if (s.local_mr == nullptr) return {SLIPWAY_E_NOT_REGISTERED, "submit: the transport needs local_mr"};
    const Registration& mr = *reinterpret_cast<const Registration*>(s.local_mr);
    if (mr.instance_ != &i) return {SLIPWAY_E_INVALID, "submit: local_mr is another instance's"};
    if (!mr.Covers(reinterpret_cast<uintptr_t>(s.local_addr), s.length, 0)) {
      return {SLIPWAY_E_RANGE, "submit: local_mr does not cover the local range"};
    }
    if ((mr.access() & (read ? SLIPWAY_ACCESS_LOCAL_WRITE : SLIPWAY_ACCESS_LOCAL_READ)) == 0) {
      return {SLIPWAY_E_NOT_REGISTERED, "submit: local_mr was not registered for this access"};
    }
    return {};
  }
};

}  // namespace slipway::sdk::detail

#endif  // SLIPWAY_SDK_CHECKS_HPP_
