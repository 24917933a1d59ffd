// Tables that a memory provider may offer through get_extension(), for what not every kind of memory has. Plain structs
// that follow the ABI's rules: struct_size first, only appended to, opaque handles, errors in the caller's report.
#ifndef SLIPWAY_SDK_MEMORY_PROVIDER_EXTENSIONS_HPP_
#define SLIPWAY_SDK_MEMORY_PROVIDER_EXTENSIONS_HPP_

#include "slipway/abi/memory_provider.h"

namespace slipway::sdk {

// ---- order ---------------------------------------------------------------------------------------------------------
// Copies run on streams of the provider's own, which are in no order with the caller's. Memory that work on a stream of
// the caller's still writes (or reads) is copied in order only when that work is done before copy_submit(), or through
// this table.
inline constexpr char kMemoryOrderId[] = "slipway.memory.order/1";
struct MemoryOrder {
  uint32_t struct_size;
  uint32_t reserved0;  // 0
  // [channel][nb] Pieces submitted to the queue from now on are copied after everything that `stream`, a stream of the
  // device's own interface (CUDA: a CUstream; NULL is the default stream), holds now. Pieces submitted before may wait
  // as well. E_INVALID: no stream, or one whose work is being recorded rather than run.
  slipway_status (*after)(slipway_copy_queue*, void* stream, slipway_error*);
};

// ---- reading ahead -------------------------------------------------------------------------------------------------
// All of a long submission is looked at before the first byte of it moves, and the device has nothing to do meanwhile.
inline constexpr char kMemoryAheadId[] = "slipway.memory.ahead/1";
struct MemoryAhead {
  uint32_t struct_size;
  uint32_t reserved0;  // 0
  // [channel][nb] Pieces that are submitted to the queue next, in this order, unless something turns out to be wrong
  // with what they are part of. The sources of the first of them, as many as it returns, may be read from now on, into
  // memory of the provider's own: pieces that are submitted then are copied from there. Nothing is written to a
  // destination. After as many as were given, more may be: those that come after them.
  uint32_t (*read)(slipway_copy_queue*, const slipway_copy*, uint32_t stride, uint32_t n);
  // [channel][nb] What is submitted from now on is copied from its sources again. 0: those that were to be read ahead
  // and were not submitted are not read any more. Otherwise some still are: for who asks again.
  uint32_t (*drop)(slipway_copy_queue*);
};

// ---- handles for other processes -----------------------------------------------------------------------------------
inline constexpr char kMemoryIpcId[] = "slipway.memory.ipc/1";
struct MemoryIpc {
  uint32_t struct_size;
  uint32_t reserved0;  // 0
  // [any] Bytes by which a provider in another process of this host opens the range; at most 256. *len says what room
  // there is, then what is needed (E_BUFFER_TOO_SMALL). The memory stays allocated as long as anybody uses it.
  // E_UNSUPPORTED: this allocation is of a kind that cannot be shared so.
  slipway_status (*export_handle)(slipway_provider*, const void* addr, uint64_t length, void* buf, size_t* len,
                                  slipway_error*);
  // [any] Maps the range, until close_handle(). The bytes may be anybody's: E_PROTOCOL. Those of this process are
  // E_INVALID: use the address itself.
  slipway_status (*open_handle)(slipway_provider*, const void* buf, size_t len, void** addr, uint64_t* length,
                                slipway_error*);
  // [any] `addr` of open_handle(), once each; no copy uses it. What is still open goes when the provider is destroyed.
  slipway_status (*close_handle)(slipway_provider*, void* addr, slipway_error*);
};

// ---- devices -------------------------------------------------------------------------------------------------------
inline constexpr char kMemoryDevicesId[] = "slipway.memory.devices/1";
struct MemoryDevice {
  uint32_t struct_size;  // set by the caller
  int32_t numa_node;     // of the host memory next to it; -1: unknown
  char name[96];
  char bus_id[32];  // "0000:01:00.0"
};
struct MemoryDevices {
  uint32_t struct_size;
  uint32_t reserved0;                    // 0
  uint32_t (*count)(slipway_provider*);  // [any][nb] ordinals are 0 .. count - 1
  slipway_status (*describe)(slipway_provider*, uint32_t ordinal, MemoryDevice* out);  // [any]
  // [any] *can: whether `from` can copy to and from the memory of `to` without passing through the host.
  slipway_status (*can_reach)(slipway_provider*, uint32_t from, uint32_t to, uint32_t* can);
};

// ---- counters ------------------------------------------------------------------------------------------------------
inline constexpr char kMemoryStatsId[] = "slipway.memory.stats/1";
struct MemoryStats {
  uint32_t struct_size;
  uint32_t reserved0;  // 0
  // [any] Counters as one JSON object; two-call length idiom, no NUL.
  slipway_status (*stats_json)(slipway_provider*, char* buf, size_t* len);
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_MEMORY_PROVIDER_EXTENSIONS_HPP_
