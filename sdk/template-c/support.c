/* See support.h. */
#include "support.h"

#include <string.h>

slipway_status fail(slipway_error* e, slipway_status code, const char* where, const char* message) {
  if (e == NULL) return code;
  if (SLIPWAY_HAS(e, slipway_error, code)) e->code = code;
  if (SLIPWAY_HAS(e, slipway_error, native)) e->native = 0;
  if (SLIPWAY_HAS(e, slipway_error, flags)) {
    const bool again = code == SLIPWAY_E_AGAIN || code == SLIPWAY_E_NOMEM;
    e->flags = again ? SLIPWAY_ERR_RETRYABLE : 0;
  }
  if (SLIPWAY_HAS(e, slipway_error, where)) {
    memset(e->where, 0, sizeof(e->where));
    strncpy(e->where, where, sizeof(e->where) - 1);
  }
  if (SLIPWAY_HAS(e, slipway_error, message)) {
    memset(e->message, 0, sizeof(e->message));
    strncpy(e->message, message, sizeof(e->message) - 1);
  }
  return code;
}

slipway_status give(void* out, const void* whole, size_t size) {
  uint32_t room = 0;
  memcpy(&room, out, sizeof(room));
  if (room <= sizeof(room)) return SLIPWAY_E_INVALID;
  const size_t n = (room < size ? room : size) - sizeof(room);
  memcpy((char*)out + sizeof(room), (const char*)whole + sizeof(room), n);
  return SLIPWAY_OK;
}

slipway_status give_bytes(const void* bytes, size_t size, void* buf, size_t* len, slipway_error* e) {
  if (len == NULL || (buf == NULL && *len != 0)) return fail(e, SLIPWAY_E_INVALID, "", "NULL buffer or length");
  const size_t room = *len;
  *len = size;
  if (room < size) {
    return fail(e, SLIPWAY_E_BUFFER_TOO_SMALL, "", "the buffer is too small; its length says what is needed");
  }
  memcpy(buf, bytes, size);
  return SLIPWAY_OK;
}

bool usable(const slipway_host* host) {
  return host != NULL && SLIPWAY_HAS(host, slipway_host, wake) && host->abi_major == SLIPWAY_ABI_MAJOR;
}

const char kSchema[] =
    "{\"$schema\": \"http://json-schema.org/draft-07/schema#\", \"type\": \"object\", "
    "\"additionalProperties\": false, \"properties\": {}}";

static size_t skip_space(const char* json, size_t len, size_t at) {
  while (at < len && memchr(" \t\r\n", json[at], 4) != NULL) ++at;
  return at;
}

slipway_status read_config(const char* json, size_t len, slipway_error* e) {
  size_t at = skip_space(json, len, 0);
  if (at < len && json[at] == '{') {
    at = skip_space(json, len, at + 1);
    if (at < len && json[at] == '}' && skip_space(json, len, at + 1) == len) return SLIPWAY_OK;
    const char* const key = json + at + 1;
    const char* const end = at < len && json[at] == '"' ? memchr(key, '"', len - at - 1) : NULL;
    if (end != NULL) {
      char where[64] = "/";
      const size_t n = (size_t)(end - key) < sizeof(where) - 2 ? (size_t)(end - key) : sizeof(where) - 2;
      memcpy(where + 1, key, n);
      return fail(e, SLIPWAY_E_CONFIG, where, "unknown key; it takes no keys");
    }
  }
  return fail(e, SLIPWAY_E_CONFIG, "", "the configuration is not a JSON object");
}

slipway_status check_range(const slipway_range* r, slipway_error* e) {
  if (r == NULL || !SLIPWAY_HAS(r, slipway_range, dmabuf_offset)) {
    return fail(e, SLIPWAY_E_INVALID, "", "the range is NULL or its struct_size is not set");
  }
  const bool wraps = (uintptr_t)r->addr > UINT64_MAX - r->length;
  const bool one_kind = r->mem_kind != 0 && (r->mem_kind & (r->mem_kind - 1)) == 0;
  if (r->addr == NULL || r->length == 0 || wraps || r->access == 0 || (r->access & ~SLIPWAY_ACCESS_ALL) != 0 ||
      !one_kind) {
    return fail(e, SLIPWAY_E_INVALID, "",
                "the range is empty, at NULL, wraps around, or has an unknown access or memory kind");
  }
  return SLIPWAY_OK;
}

/* FNV-1a (Fowler, Noll, Vo). It notices damage; what a liar writes is checked against the registrations there are. */
static uint64_t sum_of(const name* n) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < offsetof(name, sum); ++i) hash = (hash ^ ((const unsigned char*)n)[i]) * 0x100000001b3u;
  return hash;
}

slipway_status give_name(name* n, const char* magic, void* buf, size_t* len, slipway_error* e) {
  memcpy(n->magic, magic, sizeof(n->magic));
  n->sum = sum_of(n);
  return give_bytes(n, sizeof(*n), buf, len, e);
}

bool take_name(const void* bytes, size_t len, const char* magic, name* out) {
  if (bytes == NULL || len != sizeof(*out)) return false;
  memcpy(out, bytes, sizeof(*out));
  return memcmp(out->magic, magic, sizeof(out->magic)) == 0 && out->sum == sum_of(out);
}
