/* Slices wait in the channel's ring until poll() copies them, on the caller's thread. */
#include <stdlib.h>
#include <string.h>

#include "objects.h"
#include "support.h"

slipway_status channel_open(slipway_instance* i, void* cookie, slipway_channel** out, slipway_error* e) {
  if (i == NULL || out == NULL) return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument");
  if (!mine(i)) return forked(e);
  slipway_channel* const c = calloc(1, sizeof(*c));
  if (c == NULL) return fail(e, SLIPWAY_E_NOMEM, "", "out of memory");
  c->instance = i;
  c->cookie = cookie;
  lock();
  const bool room = i->channel_count < CHANNELS_MAX;
  if (room) {
    ++i->channel_count;
    c->next = i->channels;
    i->channels = c;
  }
  unlock();
  if (!room) {
    free(c);
    return fail(e, SLIPWAY_E_NOMEM, "", "as many channels are open as this transport has: close one first");
  }
  *out = c;
  return SLIPWAY_OK;
}

slipway_status channel_close(slipway_channel* c) {
  if (c == NULL) return SLIPWAY_E_INVALID;
  if (!mine(c->instance)) return SLIPWAY_E_FORKED;
  if (c->count > 0) return SLIPWAY_E_BUSY;
  lock();
  UNLINK(slipway_channel, c->instance->channels, c);
  --c->instance->channel_count;
  unlock();
  free(c);
  return SLIPWAY_OK;
}

static slipway_status check_slice(const slipway_channel* c, const slipway_slice* s, const char** why) {
  const bool read = s->op == SLIPWAY_OP_READ;
  *why = "unknown operation or flag, reserved is not 0, NULL, or an address that wraps around";
  if ((!read && s->op != SLIPWAY_OP_WRITE) || s->flags != 0 || s->reserved != 0 || s->local_addr == NULL ||
      s->remote == NULL || (uintptr_t)s->local_addr > UINT64_MAX - s->length) {
    return SLIPWAY_E_INVALID;
  }
  *why = "the length is 0 or more than max_slice_bytes";
  if (s->length == 0 || s->length > SLICE_BYTES_MAX) return SLIPWAY_E_INVALID;
  *why = "the remote is another instance's";
  if (s->remote->peer->instance != c->instance) return SLIPWAY_E_INVALID;
  *why = "beyond the end of the remote registration";
  if (s->remote_offset > s->remote->length || s->length > s->remote->length - s->remote_offset) return SLIPWAY_E_RANGE;
  *why = "the remote registration was not granted for this operation";
  const uint32_t access = read ? SLIPWAY_ACCESS_REMOTE_READ : SLIPWAY_ACCESS_REMOTE_WRITE;
  return (s->remote->access & access) != 0 ? SLIPWAY_OK : SLIPWAY_E_ACCESS;
}

slipway_status channel_submit(slipway_channel* c, const slipway_slice* slices, uint32_t stride, uint32_t n,
                              uint32_t* accepted, slipway_error* e) {
  if (accepted == NULL) return fail(e, SLIPWAY_E_INVALID, "", "`accepted` is NULL");
  *accepted = 0;
  if (c == NULL || slices == NULL || stride < sizeof(*slices) || stride % _Alignof(slipway_slice) != 0) {
    return fail(e, SLIPWAY_E_INVALID, "", "a NULL argument, or a stride that no slices have");
  }
  slipway_instance* const i = c->instance;
  if (!mine(i)) return forked(e);
  if (c->count == INFLIGHT_MAX) return fail(e, SLIPWAY_E_AGAIN, "", "as many slices are in flight as may be: poll");
  slipway_status status = SLIPWAY_OK;
  const char* why = "";
  lock();
  if (i->stopped) {
    status = SLIPWAY_E_CANCELED;
    why = "the instance was quiesced and takes no more slices";
  }
  while (status == SLIPWAY_OK && *accepted < n && *accepted < BATCH_MAX && c->count < INFLIGHT_MAX) {
    const slipway_slice* const s = (const slipway_slice*)((const char*)slices + (size_t)stride * *accepted);
    status = check_slice(c, s, &why);
    if (status != SLIPWAY_OK) break;
    c->ring[(c->first + c->count++) % INFLIGHT_MAX] = *s;
    ++s->remote->inflight;
    ++*accepted;
  }
  unlock();
  if (*accepted > 0) i->host->wake(i->host->ctx, c->cookie); /* nothing moves until poll() is called */
  return status == SLIPWAY_OK ? SLIPWAY_OK : fail(e, status, "", why);
}

/* With the lock held, which is let go of while the bytes are copied. */
static slipway_status move(const slipway_slice* s) {
  slipway_instance* const target = target_of(s->remote->peer);
  if (s->remote->peer->instance->stopped) return SLIPWAY_E_CANCELED;
  if (target == NULL) return SLIPWAY_E_PEER;
  slipway_mr* const mr = find_mr(target, s->remote->key);
  if (mr == NULL) return SLIPWAY_E_STALE_REMOTE;
  char* const there = mr->addr + s->remote_offset;
  ++mr->users;
  unlock();
  if (s->op == SLIPWAY_OP_READ) {
    memmove(s->local_addr, there, s->length);
  } else {
    memmove(there, s->local_addr, s->length);
  }
  lock();
  --mr->users;
  return SLIPWAY_OK;
}

slipway_status channel_poll(slipway_channel* c, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  if (n == NULL) return SLIPWAY_E_INVALID;
  *n = 0;
  if (c == NULL || out == NULL || stride < sizeof(*out)) return SLIPWAY_E_INVALID;
  slipway_instance* const i = c->instance;
  if (!mine(i)) return SLIPWAY_E_FORKED;
  uint64_t bytes = 0;
  lock();
  ++i->polling;
  while (*n < max && c->count > 0 && bytes < SLICE_BYTES_MAX) { /* one poll moves little, so that it returns soon */
    const slipway_slice* const s = &c->ring[c->first];
    const slipway_status status = move(s);
    --s->remote->inflight;
    const slipway_completion done = {
        .token = s->token, .status = status, .bytes = status == SLIPWAY_OK ? s->length : 0};
    memcpy((char*)out + (size_t)stride * (*n)++, &done, sizeof(done));
    bytes += s->length;
    c->first = (c->first + 1) % INFLIGHT_MAX;
    --c->count;
  }
  --i->polling;
  unlock();
  if (c->count > 0) i->host->wake(i->host->ctx, c->cookie);
  return SLIPWAY_OK;
}
