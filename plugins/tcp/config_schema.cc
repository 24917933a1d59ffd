#include "plugins/tcp/config.h"

namespace slipway::tcp {

const char kConfigSchema[] = R"json({
  "$schema": "http://json-schema.org/draft-07/schema#",
  "title": "tcp",
  "description": "Transfers over TCP, between processes and hosts.",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "listen": {
      "description": "Where peers connect: host:port or [IPv6]:port, port 0 for any. The instance listens there and nowhere else.",
      "type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 16,
      "default": ["127.0.0.1:0"]
    },
    "advertise": {
      "description": "What the exported address names instead of the listening addresses: host, or host:port. Needed when listening on a wildcard address. A host without a port stands for the first listener's port.",
      "type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16, "default": []
    },
    "peer_timeout_ms": {
      "description": "A peer that moves no byte for this long while work is outstanding is given up, in both directions.",
      "type": "integer", "minimum": 100, "maximum": 3600000, "default": 5000
    },
    "connect_timeout_ms": {
      "description": "To reach a peer, over all of its addresses together.",
      "type": "integer", "minimum": 10, "maximum": 600000, "default": 3000
    },
    "handshake_timeout_ms": {
      "description": "A new connection must have said HELLO, and been answered, within this time.",
      "type": "integer", "minimum": 10, "maximum": 600000, "default": 2000
    },
    "keepalive_s": {
      "description": "Idle connections are probed by the kernel after so many seconds.",
      "type": "integer", "minimum": 1, "maximum": 32767, "default": 30
    },
    "max_connections": {
      "description": "Connections accepted at once; further ones are refused.",
      "type": "integer", "minimum": 1, "maximum": 65536, "default": 1024
    },
    "max_inflight": {
      "description": "Slices accepted and not yet polled, per channel. Beyond: E_AGAIN.",
      "type": "integer", "minimum": 1, "maximum": 65536, "default": 1024
    },
    "max_requests_per_connection": {
      "description": "Requests on the wire of one connection, as initiator and as target.",
      "type": "integer", "minimum": 1, "maximum": 65536, "default": 256
    },
    "max_slice_bytes": {
      "description": "The longest slice, sent and accepted.",
      "type": "integer", "minimum": 4096, "maximum": 1073741824, "default": 67108864
    },
    "preferred_slice_bytes": {
      "description": "What large requests are cut into; at most max_slice_bytes.",
      "type": "integer", "minimum": 4096, "maximum": 1073741824, "default": 1048576
    },
    "lanes": {
      "description": "Connections to each peer.",
      "type": "integer", "minimum": 1, "maximum": 16, "default": 2
    },
    "io_threads": {
      "description": "Threads that read and write sockets.",
      "type": "integer", "minimum": 1, "maximum": 64, "default": 1
    },
    "congestion": {
      "description": "Congestion control of each connection: auto (never bbr on loopback and links of the same subnet), system, or the name of an algorithm.",
      "type": "string", "minLength": 1, "maxLength": 15, "default": "auto"
    },
    "socket_buffer_bytes": {
      "description": "SO_SNDBUF and SO_RCVBUF. 0: 4 MiB on loopback and links of the same subnet where the system permits it, elsewhere the kernel adjusts them.",
      "type": "integer", "minimum": 0, "maximum": 1073741824, "default": 0
    },
    "nodelay": {
      "description": "TCP_NODELAY: small frames leave at once.",
      "type": "boolean", "default": true
    },
    "busy_poll_us": {
      "description": "How long an io thread looks for more before it sleeps, while short requests have lately come at shorter intervals than that: they are answered sooner, and a core is busy meanwhile. 0: it never does.",
      "type": "integer", "minimum": 0, "maximum": 1000000, "default": 50
    },
    "poll_receives": {
      "description": "Answers to short requests are received by whoever polls for them, instead of by an io thread that then wakes the poller.",
      "type": "boolean", "default": true
    },
    "inline_send_bytes": {
      "description": "How much one submit sends from the caller's own thread before it leaves the rest to an io thread.",
      "type": "integer", "minimum": 0, "maximum": 67108864, "default": 65536
    },
    "splice_bytes": {
      "description": "Writes from this length on are sent without a copy to a peer on this host that runs as the same user: their pages are lent to it. What reads are answered with, from four times that length on. 0: never.",
      "type": "integer", "minimum": 0, "maximum": 1073741824, "default": 65536
    }
  }
})json";

}  // namespace slipway::tcp
