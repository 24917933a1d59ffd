/* The smallest whole transport, in C11 against the ABI's headers alone: it copies between instances of one process.
 * Nothing of the contract is done for you here, so this plugin is also a list of what there is to do; sdk/template has
 * the C++ layer do most of it. Begin at the end: the last definition is what the plugin exports. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "objects.h"
#include "support.h"

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static slipway_instance* g_instances;
static uint64_t g_last = 0; /* id or key given out; never given twice */
static uint64_t g_process;  /* random; tells this process from all others */

void lock(void) { pthread_mutex_lock(&g_lock); }
void unlock(void) { pthread_mutex_unlock(&g_lock); }

bool mine(const slipway_instance* i) { return i->pid == getpid(); }
slipway_status forked(slipway_error* e) {
  return fail(e, SLIPWAY_E_FORKED, "", "this process was forked from the one that made the instance: make one here");
}

/* ---- instance ---------------------------------------------------------------------------------------------------- */

#define CAPS (SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_REG_THREADSAFE)

static const slipway_attrs kAttrs = {.struct_size = sizeof(slipway_attrs),
                                     .numa_node = -1,
                                     .caps = CAPS,
                                     .mem_kinds = SLIPWAY_MEM_HOST,
                                     .max_slice_bytes = SLICE_BYTES_MAX,
                                     .preferred_slice_bytes = SLICE_BYTES_MAX,
                                     .max_mrs = MRS_MAX,
                                     .max_channels = CHANNELS_MAX,
                                     .max_inflight_per_channel = INFLIGHT_MAX,
                                     .max_submit_batch = BATCH_MAX,
                                     .local_align = 1,
                                     .remote_align = 1,
                                     .length_align = 1,
                                     .reg_granularity = 1,
                                     .address_bytes_max = sizeof(name),
                                     .mr_blob_bytes_max = sizeof(name),
                                     .device = "loopback"};

static slipway_status probe(const slipway_host* host, const char* json, size_t len, slipway_attrs* out,
                            slipway_error* e) {
  if (!usable(host) || json == NULL || out == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  const slipway_status s = read_config(json, len, e);
  return s == SLIPWAY_OK ? give(out, &kAttrs, sizeof(kAttrs)) : s;
}

static slipway_status create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                             slipway_error* e) {
  if (!usable(host) || json == NULL || out == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  const slipway_status s = read_config(json, len, e);
  if (s != SLIPWAY_OK) return s;
  slipway_instance* i = calloc(1, sizeof(*i));
  if (i == NULL) return fail(e, SLIPWAY_E_NOMEM, "", "out of memory");
  i->host = host;
  i->pid = getpid();
  lock();
  if (g_process == 0 && getrandom(&g_process, sizeof(g_process), 0) != sizeof(g_process)) {
    unlock();
    free(i);
    return fail(e, SLIPWAY_E_IO, "", "the system has no random numbers");
  }
  i->id = ++g_last;
  i->next = g_instances;
  g_instances = i;
  unlock();
  *out = i;
  return SLIPWAY_OK;
}

static slipway_status get_attrs(slipway_instance* i, slipway_attrs* out) {
  if (i == NULL || out == NULL) return SLIPWAY_E_INVALID;
  return mine(i) ? give(out, &kAttrs, sizeof(kAttrs)) : SLIPWAY_E_FORKED;
}

/* From here on every slice completes as CANCELED and peers are told E_PEER; copies that go on are waited for. Each is
 * of one slice at most, so this takes less than a millisecond and the timeout is not needed. */
static void stop(slipway_instance* i) {
  lock();
  i->stopped = true;
  for (bool busy = true; busy;) {
    busy = i->polling > 0;
    for (const slipway_mr* mr = i->mrs; mr != NULL; mr = mr->next) busy = busy || mr->users > 0;
    if (busy) {
      unlock();
      sched_yield();
      lock();
    }
  }
  unlock();
}

static slipway_status quiesce(slipway_instance* i, uint64_t timeout_ns, slipway_error* e) {
  (void)timeout_ns;
  if (i == NULL) return fail(e, SLIPWAY_E_INVALID, "", "the instance is NULL");
  if (!mine(i)) return forked(e);
  stop(i);
  return SLIPWAY_OK;
}

#define FREE_ALL(type, head)   \
  while ((head) != NULL) {     \
    type* const gone = (head); \
    (head) = gone->next;       \
    free(gone);                \
  }

static void destroy(slipway_instance* i) {
  if (i == NULL || !mine(i)) return; /* in a forked child the lock may be held by a thread that is not there */
  stop(i);
  lock();
  UNLINK(slipway_instance, g_instances, i);
  unlock();
  FREE_ALL(slipway_channel, i->channels);
  FREE_ALL(slipway_remote, i->remotes);
  FREE_ALL(slipway_peer, i->peers);
  FREE_ALL(slipway_mr, i->mrs);
  free(i);
}

/* ---- registration ------------------------------------------------------------------------------------------------ */

static slipway_status register_memory(slipway_instance* i, const slipway_range* r, slipway_mr** out, slipway_error* e) {
  if (i == NULL || out == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  if (!mine(i)) return forked(e);
  const slipway_status s = check_range(r, e);
  if (s != SLIPWAY_OK) return s;
  if (r->mem_kind != SLIPWAY_MEM_HOST || r->dmabuf_fd >= 0) {
    return fail(e, SLIPWAY_E_UNSUPPORTED, "", "only host memory without a DMA-BUF: stage it");
  }
  slipway_mr* mr = calloc(1, sizeof(*mr));
  if (mr == NULL) return fail(e, SLIPWAY_E_NOMEM, "", "out of memory");
  mr->addr = r->addr;
  mr->length = r->length;
  mr->access = r->access;
  lock();
  if (i->mr_count == MRS_MAX) {
    unlock();
    free(mr);
    return fail(e, SLIPWAY_E_NOMEM, "", "as many registrations exist as may: deregister one first");
  }
  mr->key = ++g_last;
  mr->next = i->mrs;
  i->mrs = mr;
  ++i->mr_count;
  ++i->generation;
  unlock();
  *out = mr;
  return SLIPWAY_OK;
}

static slipway_status deregister_memory(slipway_instance* i, slipway_mr* mr) {
  if (i == NULL || mr == NULL) return SLIPWAY_E_INVALID;
  if (!mine(i)) return SLIPWAY_E_FORKED;
  lock();
  const bool busy = mr->users > 0;
  if (!busy) {
    UNLINK(slipway_mr, i->mrs, mr);
    --i->mr_count;
    ++i->generation;
  }
  unlock();
  if (busy) return SLIPWAY_E_BUSY;
  free(mr);
  return SLIPWAY_OK;
}

static slipway_status query_registered(slipway_instance* i, const slipway_range* r, slipway_reg_info* out) {
  if (i == NULL || out == NULL || check_range(r, NULL) != SLIPWAY_OK) return SLIPWAY_E_INVALID;
  if (!mine(i)) return SLIPWAY_E_FORKED;
  slipway_reg_info info = {.struct_size = sizeof(info), .state = SLIPWAY_REG_NONE};
  lock();
  info.generation = i->generation;
  if ((r->access & REMOTE_ACCESS) == 0) {
    info.state = SLIPWAY_REG_NOT_REQUIRED;
    info.prefix_bytes = r->length;
  } else {
    const uintptr_t addr = (uintptr_t)r->addr;
    for (slipway_mr* mr = i->mrs; mr != NULL; mr = mr->next) {
      const uintptr_t start = (uintptr_t)mr->addr;
      if (addr < start || addr - start >= mr->length || (mr->access & r->access) != r->access) continue;
      const uint64_t left = mr->length - (addr - start);
      const uint64_t prefix = left < r->length ? left : r->length;
      if (prefix <= info.prefix_bytes) continue;
      info.prefix_bytes = prefix;
      info.mr = mr;
      info.state = prefix == r->length ? SLIPWAY_REG_FULL : SLIPWAY_REG_PARTIAL;
    }
  }
  unlock();
  return give(out, &info, sizeof(info));
}

/* ---- peers ------------------------------------------------------------------------------------------------------- */

static slipway_status export_address(slipway_instance* i, void* buf, size_t* len, slipway_error* e) {
  if (i == NULL) return fail(e, SLIPWAY_E_INVALID, "", "the instance is NULL");
  if (!mine(i)) return forked(e);
  name n = {.process = g_process, .pid = (uint64_t)i->pid, .instance = i->id};
  return give_name(&n, "loopadr1", buf, len, e);
}

static slipway_status export_mr(slipway_instance* i, slipway_mr* mr, void* buf, size_t* len, slipway_error* e) {
  if (i == NULL || mr == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  if (!mine(i)) return forked(e);
  if ((mr->access & REMOTE_ACCESS) == 0) {
    return fail(e, SLIPWAY_E_INVALID, "", "registered without REMOTE_READ or REMOTE_WRITE, so no peer may reach it");
  }
  name n = {.process = g_process,
            .pid = (uint64_t)i->pid,
            .instance = i->id,
            .key = mr->key,
            .length = mr->length,
            .access = mr->access & REMOTE_ACCESS};
  return give_name(&n, "loopkey1", buf, len, e);
}

slipway_instance* target_of(const slipway_peer* peer) {
  for (slipway_instance* i = g_instances; i != NULL; i = i->next) {
    if (i->id == peer->target) return i->stopped ? NULL : i;
  }
  return NULL;
}
slipway_mr* find_mr(const slipway_instance* target, uint64_t key) {
  for (slipway_mr* mr = target->mrs; mr != NULL; mr = mr->next) {
    if (mr->key == key) return mr;
  }
  return NULL;
}

static slipway_status peer_ready(slipway_peer* peer, slipway_error* e) {
  if (peer == NULL) return fail(e, SLIPWAY_E_INVALID, "", "the peer is NULL");
  if (!mine(peer->instance)) return forked(e);
  lock();
  const bool there = target_of(peer) != NULL;
  unlock();
  return there ? SLIPWAY_OK : fail(e, SLIPWAY_E_PEER, "", "the peer's instance is gone: get its new address");
}

static slipway_status connect_peer(slipway_instance* i, const void* address, size_t len, slipway_peer** out,
                                   slipway_error* e) {
  name n;
  if (i == NULL || address == NULL || out == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  if (!mine(i)) return forked(e);
  if (!take_name(address, len, "loopadr1", &n))
    return fail(e, SLIPWAY_E_PROTOCOL, "", "not an address of sample-loopback");
  if (n.process != g_process || n.pid != (uint64_t)i->pid) {
    return fail(e, SLIPWAY_E_PEER, "", "the peer is in another process: use a transport that crosses processes");
  }
  slipway_peer* peer = calloc(1, sizeof(*peer));
  if (peer == NULL) return fail(e, SLIPWAY_E_NOMEM, "", "out of memory");
  peer->instance = i;
  peer->target = n.instance;
  const slipway_status s = peer_ready(peer, e);
  if (s != SLIPWAY_OK) {
    free(peer);
    return s;
  }
  lock();
  peer->next = i->peers;
  i->peers = peer;
  unlock();
  *out = peer;
  return SLIPWAY_OK;
}

static slipway_status disconnect_peer(slipway_peer* peer) {
  if (peer == NULL) return SLIPWAY_E_INVALID;
  if (!mine(peer->instance)) return SLIPWAY_E_FORKED;
  lock();
  const bool busy = peer->remotes > 0;
  if (!busy) UNLINK(slipway_peer, peer->instance->peers, peer);
  unlock();
  if (busy) return SLIPWAY_E_BUSY;
  free(peer);
  return SLIPWAY_OK;
}

static slipway_status import_mr(slipway_peer* peer, const void* blob, size_t len, slipway_remote** out,
                                slipway_error* e) {
  name n;
  if (peer == NULL || blob == NULL || out == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  if (!mine(peer->instance)) return forked(e);
  if (!take_name(blob, len, "loopkey1", &n))
    return fail(e, SLIPWAY_E_PROTOCOL, "", "not a registration of sample-loopback");
  if (n.process != g_process || n.instance != peer->target) {
    return fail(e, SLIPWAY_E_STALE_REMOTE, "", "the registration is of another instance than this peer");
  }
  slipway_remote* remote = calloc(1, sizeof(*remote));
  if (remote == NULL) return fail(e, SLIPWAY_E_NOMEM, "", "out of memory");
  *remote = (slipway_remote){.peer = peer, .key = n.key, .length = n.length, .access = (uint32_t)n.access};
  slipway_status s = SLIPWAY_OK;
  lock();
  const slipway_instance* const target = target_of(peer);
  const slipway_mr* const mr = target != NULL ? find_mr(target, n.key) : NULL;
  if (mr == NULL) {
    s = fail(e, SLIPWAY_E_STALE_REMOTE, "", "the registration was revoked: ask the peer for its present one");
  } else if (mr->length != n.length || (mr->access & REMOTE_ACCESS) != n.access) {
    s = fail(e, SLIPWAY_E_PROTOCOL, "", "the registration's length or access is not what the peer exported");
  } else {
    remote->next = peer->instance->remotes;
    peer->instance->remotes = remote;
    ++peer->remotes;
  }
  unlock();
  if (s != SLIPWAY_OK) {
    free(remote);
  } else {
    *out = remote;
  }
  return s;
}

static slipway_status release_remote(slipway_remote* remote) {
  if (remote == NULL) return SLIPWAY_E_INVALID;
  slipway_instance* const i = remote->peer->instance;
  if (!mine(i)) return SLIPWAY_E_FORKED;
  lock();
  const bool busy = remote->inflight > 0;
  if (!busy) {
    UNLINK(slipway_remote, i->remotes, remote);
    --remote->peer->remotes;
  }
  unlock();
  if (busy) return SLIPWAY_E_BUSY;
  free(remote);
  return SLIPWAY_OK;
}

/* ---- what the plugin exports ------------------------------------------------------------------------------------- */

static const slipway_transport kLoopback = {.struct_size = sizeof(slipway_transport),
                                            .name = "sample-loopback",
                                            .version = "1.0.0",
                                            .vendor = "Example",
                                            .description = "Copies between instances of one process",
                                            .protocol = "sample-loopback",
                                            .protocol_min = 1,
                                            .protocol_max = 1,
                                            .caps = CAPS,
                                            .mem_kinds = SLIPWAY_MEM_HOST,
                                            .config_schema = kSchema,
                                            .probe = probe,
                                            .create = create,
                                            .get_attrs = get_attrs,
                                            .quiesce = quiesce,
                                            .destroy = destroy,
                                            .register_memory = register_memory,
                                            .deregister_memory = deregister_memory,
                                            .query_registered = query_registered,
                                            .export_address = export_address,
                                            .export_mr = export_mr,
                                            .connect = connect_peer,
                                            .peer_ready = peer_ready,
                                            .disconnect = disconnect_peer,
                                            .import_mr = import_mr,
                                            .release_remote = release_remote,
                                            .channel_open = channel_open,
                                            .channel_close = channel_close,
                                            .submit = channel_submit,
                                            .poll = channel_poll};
static const slipway_transport* const kTransports[] = {&kLoopback, NULL};

const slipway_plugin slipway_plugin_v1 = {.magic = SLIPWAY_ABI_MAGIC,
                                          .struct_size = sizeof(slipway_plugin),
                                          .abi_major = SLIPWAY_ABI_MAJOR,
                                          .abi_minor = SLIPWAY_ABI_MINOR,
                                          .pointer_bits = 8 * sizeof(void*),
                                          .plugin_name = "sample-loopback",
                                          .plugin_version = "1.0.0",
                                          .build_info = "C " __VERSION__,
                                          .transports = kTransports};
