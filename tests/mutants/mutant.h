// What a mutant is made of: the entries of a good transport and a good provider, to be overridden one at a time.
// Light on purpose: there is a mutant for every case, and all of them include this.
#ifndef SLIPWAY_TESTS_MUTANTS_MUTANT_H_
#define SLIPWAY_TESTS_MUTANTS_MUTANT_H_

#include <string.h>
#include <unistd.h>

#include "slipway/abi/plugin.h"

extern "C" {
extern const char good_schema[];
slipway_status good_probe(const slipway_host*, const char*, size_t, slipway_attrs*, slipway_error*);
slipway_status good_create(const slipway_host*, const char*, size_t, slipway_instance**, slipway_error*);
slipway_status good_get_attrs(slipway_instance*, slipway_attrs*);
slipway_status good_quiesce(slipway_instance*, uint64_t, slipway_error*);
void good_destroy(slipway_instance*);
slipway_status good_register_memory(slipway_instance*, const slipway_range*, slipway_mr**, slipway_error*);
slipway_status good_deregister_memory(slipway_instance*, slipway_mr*);
slipway_status good_query_registered(slipway_instance*, const slipway_range*, slipway_reg_info*);
slipway_status good_export_address(slipway_instance*, void*, size_t*, slipway_error*);
slipway_status good_export_mr(slipway_instance*, slipway_mr*, void*, size_t*, slipway_error*);
slipway_status good_connect(slipway_instance*, const void*, size_t, slipway_peer**, slipway_error*);
slipway_status good_peer_ready(slipway_peer*, slipway_error*);
slipway_status good_disconnect(slipway_peer*);
slipway_status good_import_mr(slipway_peer*, const void*, size_t, slipway_remote**, slipway_error*);
slipway_status good_release_remote(slipway_remote*);
slipway_status good_channel_open(slipway_instance*, void*, slipway_channel**, slipway_error*);
slipway_status good_channel_close(slipway_channel*);
slipway_status good_submit(slipway_channel*, const slipway_slice*, uint32_t, uint32_t, uint32_t*, slipway_error*);
slipway_status good_poll(slipway_channel*, slipway_completion*, uint32_t, uint32_t, uint32_t*);
slipway_status good_cancel(slipway_channel*, uint64_t);

extern const char good_provider_schema[];
slipway_status good_provider_probe(const slipway_host*, const char*, size_t, slipway_error*);
slipway_status good_provider_create(const slipway_host*, const char*, size_t, slipway_provider**, slipway_error*);
void good_provider_destroy(slipway_provider*);
slipway_status good_classify(slipway_provider*, const void*, uint64_t, slipway_mem_info*);
slipway_status good_pin_host(slipway_provider*, void*, uint64_t, slipway_pin**, slipway_error*);
slipway_status good_unpin_host(slipway_provider*, slipway_pin*, slipway_error*);
slipway_status good_queue_open(slipway_provider*, void*, slipway_copy_queue**, slipway_error*);
slipway_status good_queue_close(slipway_copy_queue*);
slipway_status good_copy_submit(slipway_copy_queue*, const slipway_copy*, uint32_t, uint32_t, uint32_t*,
                                slipway_error*);
slipway_status good_copy_poll(slipway_copy_queue*, slipway_completion*, uint32_t, uint32_t, uint32_t*);
const void* good_provider_extension(const char*);
void good_set_device(int device);  // of the calling thread
}

// Where a case wants to be broken by what it was given last.
inline const slipway_slice& SliceAt(const slipway_slice* first, uint32_t stride, uint32_t i) {
  return *reinterpret_cast<const slipway_slice*>(reinterpret_cast<const char*>(first) + size_t{stride} * i);
}
inline slipway_completion& CompletionAt(slipway_completion* first, uint32_t stride, uint32_t i) {
  return *reinterpret_cast<slipway_completion*>(reinterpret_cast<char*>(first) + size_t{stride} * i);
}

inline constexpr uint64_t kOwnKind = uint64_t{1} << 32;

constexpr slipway_transport GoodTransport() {
  slipway_transport t{};
  t.struct_size = sizeof(t);
  t.name = "good";
  t.version = "1.0";
  t.vendor = "slipway";
  t.description = "Copies between instances, of this process or others of this machine";
  t.protocol = "good";
  t.protocol_min = t.protocol_max = 1;
  t.caps = SLIPWAY_CAP_NEEDS_LOCAL_REG | SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_READ |
           SLIPWAY_CAP_WRITE | SLIPWAY_CAP_CANCEL | SLIPWAY_CAP_PEER_FAILURE | SLIPWAY_CAP_REG_THREADSAFE;
  t.mem_kinds = SLIPWAY_MEM_HOST | kOwnKind;
  t.config_schema = good_schema;
  t.probe = good_probe;
  t.create = good_create;
  t.get_attrs = good_get_attrs;
  t.quiesce = good_quiesce;
  t.destroy = good_destroy;
  t.register_memory = good_register_memory;
  t.deregister_memory = good_deregister_memory;
  t.query_registered = good_query_registered;
  t.export_address = good_export_address;
  t.export_mr = good_export_mr;
  t.connect = good_connect;
  t.peer_ready = good_peer_ready;
  t.disconnect = good_disconnect;
  t.import_mr = good_import_mr;
  t.release_remote = good_release_remote;
  t.channel_open = good_channel_open;
  t.channel_close = good_channel_close;
  t.submit = good_submit;
  t.poll = good_poll;
  t.cancel = good_cancel;
  return t;
}

constexpr slipway_memory_provider GoodProvider() {
  slipway_memory_provider p{};
  p.struct_size = sizeof(p);
  p.name = "good-memory";
  p.version = "1.0";
  p.vendor = "slipway";
  p.description = "Memory that plays a device's";
  p.config_schema = good_provider_schema;
  p.mem_kind = kOwnKind;
  p.probe = good_provider_probe;
  p.create = good_provider_create;
  p.destroy = good_provider_destroy;
  p.classify = good_classify;
  p.pin_host = good_pin_host;
  p.unpin_host = good_unpin_host;
  p.queue_open = good_queue_open;
  p.queue_close = good_queue_close;
  p.copy_submit = good_copy_submit;
  p.copy_poll = good_copy_poll;
  p.get_extension = good_provider_extension;
  return p;
}

constexpr slipway_plugin MutantPlugin() {
  slipway_plugin p{};
  p.magic = SLIPWAY_ABI_MAGIC;
  p.struct_size = sizeof(p);
  p.abi_major = SLIPWAY_ABI_MAJOR;
  p.abi_minor = SLIPWAY_ABI_MINOR;
  p.pointer_bits = 8 * sizeof(void*);
  p.plugin_name = "mutant";
  p.plugin_version = "1.0";
  p.build_info = "test";
  return p;
}

// The one symbol, offering a transport or a provider.
#define SLIPWAY_MUTANT(table)                                                                 \
  static constinit const slipway_transport mutant_table = (table);                            \
  static constinit const slipway_transport* const mutant_tables[] = {&mutant_table, nullptr}; \
  static constexpr slipway_plugin MutantWithTable() {                                         \
    slipway_plugin p = MutantPlugin();                                                        \
    p.transports = mutant_tables;                                                             \
    return p;                                                                                 \
  }                                                                                           \
  extern "C" SLIPWAY_EXPORT constinit const slipway_plugin slipway_plugin_v1 = MutantWithTable();

#define SLIPWAY_MUTANT_PROVIDER(table)                                                              \
  static constinit const slipway_memory_provider mutant_table = (table);                            \
  static constinit const slipway_memory_provider* const mutant_tables[] = {&mutant_table, nullptr}; \
  static constexpr slipway_plugin MutantWithTable() {                                               \
    slipway_plugin p = MutantPlugin();                                                              \
    p.memory_providers = mutant_tables;                                                             \
    return p;                                                                                       \
  }                                                                                                 \
  extern "C" SLIPWAY_EXPORT constinit const slipway_plugin slipway_plugin_v1 = MutantWithTable();

// A good transport but for one entry.
#define SLIPWAY_MUTANT_ENTRY(entry, function)        \
  static constexpr slipway_transport MutantTable() { \
    slipway_transport t = GoodTransport();           \
    t.entry = function;                              \
    return t;                                        \
  }                                                  \
  SLIPWAY_MUTANT(MutantTable())
#define SLIPWAY_MUTANT_PROVIDER_ENTRY(entry, function)     \
  static constexpr slipway_memory_provider MutantTable() { \
    slipway_memory_provider p = GoodProvider();            \
    p.entry = function;                                    \
    return p;                                              \
  }                                                        \
  SLIPWAY_MUTANT_PROVIDER(MutantTable())

#endif  // SLIPWAY_TESTS_MUTANTS_MUTANT_H_
