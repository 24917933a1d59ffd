/* Statuses that the core adds to those of the ABI (slipway/abi/status.h): what an application can be told.
 * Codes below -1000 never come from a plugin. Each names one way to fail; slipway_status_name gives it as a word. */
#ifndef SLIPWAY_STATUS_H_
#define SLIPWAY_STATUS_H_

#include "slipway/abi/status.h"

enum {
  /* Loading a plugin. */
  SLIPWAY_E_PLUGIN_NOT_FOUND = -1001, /* no file of that name on the plugin path; the message lists where it looked */
  SLIPWAY_E_PLUGIN_OPEN = -1002,      /* the system's loader refused it; its words are in the message */
  SLIPWAY_E_PLUGIN_ARCH = -1003,      /* a shared object for another machine or word size */
  SLIPWAY_E_PLUGIN_NO_ENTRY = -1004,  /* opened, but exports no slipway_plugin_v<major> of its own */
  SLIPWAY_E_PLUGIN_ABI_NEWER = -1005, /* made for a newer major than this core has */
  SLIPWAY_E_PLUGIN_ABI_OLDER = -1006, /* made for an older major than this core has */
  SLIPWAY_E_PLUGIN_ABI_MISMATCH = -1007, /* header fields that do not fit; all of them are listed */
  SLIPWAY_E_PLUGIN_INCOMPLETE = -1008,   /* required entries are missing; all of them are listed */
  SLIPWAY_E_PLUGIN_NAME = -1009,         /* says another name than the one it was asked for by */
  SLIPWAY_E_PLUGIN_DUPLICATE = -1010,    /* two files offer the same name */
  SLIPWAY_E_PLUGIN_NO_TRANSPORT = -1011, /* loaded, but has no transport or provider of the configured name */
  SLIPWAY_E_PLUGIN_CONFIG = -1012,       /* the plugin refused its configuration; the message holds the JSON path */

  /* Configuration. */
  SLIPWAY_E_CONFIG_FILE = -1101,     /* cannot be read */
  SLIPWAY_E_CONFIG_SYNTAX = -1102,   /* not JSON, or nested too deeply */
  SLIPWAY_E_CONFIG_TYPE = -1103,     /* a value of the wrong JSON type */
  SLIPWAY_E_CONFIG_KEY = -1104,      /* an unknown or repeated key */
  SLIPWAY_E_CONFIG_VALUE = -1105,    /* right type, but out of range or not one of the choices */
  SLIPWAY_E_CONFIG_CONFLICT = -1106, /* values that cannot go together */
  SLIPWAY_E_CONFIG_ENV = -1107,      /* an environment override that does not parse */

  /* Control plane. */
  SLIPWAY_E_ADDRESS = -1201,         /* does not parse or does not resolve */
  SLIPWAY_E_ADDRESS_IN_USE = -1202,  /* cannot listen there: somebody does */
  SLIPWAY_E_UNREACHABLE = -1203,     /* nobody answers at that control address */
  SLIPWAY_E_UNAUTHENTICATED = -1204, /* the secret is missing or wrong */
  SLIPWAY_E_NO_SEGMENT = -1205,      /* the node has no segment of that name */
  SLIPWAY_E_SEGMENT_EXISTS = -1206,  /* published already */
  SLIPWAY_E_BAD_REPLY = -1207,       /* the node answered with something that is not the protocol */
  SLIPWAY_E_TLS = -1208,             /* certificate or key unusable, or the peer's not trusted */

  /* Memory and transfers. */
  SLIPWAY_E_NO_ROUTE = -1301,               /* no transport can serve the request; the message says why not, for each */
  SLIPWAY_E_STAGING_EXHAUSTED = -1302,      /* no staging buffer came free before the deadline */
  SLIPWAY_E_STAGING_NOT_CONFIGURED = -1303, /* the request needs staging and memory.staging.bytes is 0 */
  SLIPWAY_E_PIN_BUDGET = -1304,             /* would exceed the pin budget */
  SLIPWAY_E_NOT_DECLARED = -1305,           /* no such region */
  SLIPWAY_E_REGION_BUSY = -1306,            /* in use by requests or a published segment; try again */
  SLIPWAY_E_SEGMENT_RANGE = -1307,          /* outside the segment */
  SLIPWAY_E_SEGMENT_ACCESS = -1308,         /* the segment was not published for this access */
  SLIPWAY_E_TOO_LARGE = -1309,              /* more than the configured limit */
  SLIPWAY_E_DEADLINE = -1310,               /* the request's deadline passed; no byte moves any more */
  SLIPWAY_E_CLOSED = -1311,                 /* the engine or the segment was closed */
  SLIPWAY_E_STUCK = -1312, /* a transport did not complete within its bound; its memory must not be freed */

  /* The store. */
  SLIPWAY_EXISTS = 2,           /* no error: the key has a value already, which was kept */
  SLIPWAY_E_EXISTS = -1401,     /* the same, where the caller asked for an error */
  SLIPWAY_E_NOT_FOUND = -1402,  /* no object under that key */
  SLIPWAY_E_NO_SPACE = -1403,   /* no room, and nothing that could be evicted; the message says how much is free */
  SLIPWAY_E_CHECKSUM = -1404,   /* the bytes are not those that were written */
  SLIPWAY_E_NOT_TENSOR = -1405, /* the object is not a tensor, or another than the caller's */
  SLIPWAY_E_NO_STORE = -1406    /* the node has no store */
};

#endif /* SLIPWAY_STATUS_H_ */
