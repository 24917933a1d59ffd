#include "plugins/rdma-verbs/config.h"

namespace slipway::rdma {

const char kConfigSchema[] = R"json({
  "$schema": "http://json-schema.org/draft-07/schema#",
  "title": "rdma-verbs",
  "description": "Transfers by RDMA (InfiniBand, RoCE) through the verbs of rdma-core.",
  "type": "object",
  "additionalProperties": false,
  "definitions": {
    "bytes": {"anyOf": [{"type": "integer", "minimum": 4096, "maximum": 1073741824},
                        {"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$"}]}
  },
  "properties": {
    "devices": {
      "description": "Devices to use, as NAME or NAME:PORT (see ibv_devices); all of them are used, in this order. Empty: those with an active port and an address are chosen, the nearest to this processor's memory first.",
      "type": "array", "items": {"type": "string", "pattern": "^[^:]{1,63}(:[0-9]{1,3})?$"}, "maxItems": 8, "default": []
    },
    "max_devices": {
      "description": "How many are chosen where devices is empty. Every device pins what is registered once more.",
      "type": "integer", "minimum": 1, "maximum": 8, "default": 1
    },
    "address_family": {
      "description": "Which of a port's addresses are used.",
      "enum": ["any", "ipv4", "ipv6"], "default": "any"
    },
    "gid_index": {
      "description": "Entry of the port's GID table to use; absent: the first RoCE v2 entry with an IP address, or what there is.",
      "type": "integer", "minimum": 0, "maximum": 255
    },
    "listen_port": {
      "description": "Port of the connection manager that peers connect to, on each device's address; 0: any.",
      "type": "integer", "minimum": 0, "maximum": 65535, "default": 0
    },
    "peer_timeout_ms": {
      "description": "Within this time after a peer's host or the network died, every slice for it is E_PEER. The device's own acknowledgement timer is derived from it and from retry_count.",
      "type": "integer", "minimum": 100, "maximum": 3600000, "default": 5000
    },
    "connect_timeout_ms": {
      "description": "To reach a peer, over all of its addresses together.",
      "type": "integer", "minimum": 10, "maximum": 600000, "default": 3000
    },
    "keepalive_s": {
      "description": "A target probes connections this often, so that those of initiators that vanished do not stay.",
      "type": "integer", "minimum": 1, "maximum": 3600, "default": 10
    },
    "link_down_grace_ms": {
      "description": "A port whose link is down for this long has its connections given up, without waiting for retries.",
      "type": "integer", "minimum": 0, "maximum": 600000, "default": 1000
    },
    "retry_count": {
      "description": "Retransmissions by the device before it gives a connection up.",
      "type": "integer", "minimum": 0, "maximum": 7, "default": 7
    },
    "rnr_retry_count": {
      "description": "Retries after a peer said that it is not ready to receive (of keep-alive messages alone).",
      "type": "integer", "minimum": 0, "maximum": 6, "default": 6
    },
    "max_connections": {
      "description": "Connections accepted at once; further ones are refused.",
      "type": "integer", "minimum": 1, "maximum": 65536, "default": 1024
    },
    "max_inflight": {
      "description": "Slices accepted and not yet polled, per channel.",
      "type": "integer", "minimum": 1, "maximum": 16384, "default": 1024
    },
    "max_registrations": {
      "description": "Registrations at once; 0: as many as the device has. Other processes share the device's.",
      "type": "integer", "minimum": 0, "maximum": 16777216, "default": 0
    },
    "max_slice_bytes": {
      "description": "The longest slice accepted; never more than the device's longest message. 4 KiB to 1 GiB.",
      "$ref": "#/definitions/bytes", "default": 67108864
    },
    "on_demand_paging": {
      "description": "Registers without pinning: the device faults pages in. Refused where a device cannot.",
      "type": "boolean", "default": false
    },
    "relaxed_ordering": {
      "description": "Lets the device order its accesses to memory as it likes. Faster on some machines, and the end of one slice then says nothing about what a reader of the target's memory sees of another.",
      "type": "boolean", "default": false
    },
    "dmabuf": {
      "description": "Offers to register device memory by its DMA-BUF where the driver can.",
      "type": "boolean", "default": true
    },
    "fork_safe": {
      "description": "Prepares for forks on kernels (before 5.12) that do not copy pinned pages when a process forks.",
      "type": "boolean", "default": false
    },
    "preferred_slice_bytes": {
      "description": "The length that requests are cut at. 4 KiB to 1 GiB.",
      "$ref": "#/definitions/bytes", "default": 1048576
    },
    "lanes": {
      "description": "Queue pairs to each peer from each channel, spread over the devices.",
      "type": "integer", "minimum": 1, "maximum": 16, "default": 2
    },
    "queue_depth": {
      "description": "Work requests that a queue pair holds.",
      "type": "integer", "minimum": 2, "maximum": 8192, "default": 128
    },
    "max_reads": {
      "description": "Reads under way at once on a queue pair, within what both devices can.",
      "type": "integer", "minimum": 1, "maximum": 255, "default": 16
    },
    "inline_bytes": {
      "description": "Writes up to this long travel in the work request itself, as far as the device can.",
      "type": "integer", "minimum": 0, "maximum": 4096, "default": 220
    },
    "signal_interval": {
      "description": "Of small work requests posted together, every so many-th brings a completion, and the last.",
      "type": "integer", "minimum": 1, "maximum": 1024, "default": 16
    },
    "mtu_bytes": {
      "description": "Upper bound of the path's MTU: 256, 512, 1024, 2048 or 4096; 0: the smaller of both ports'.",
      "type": "integer", "minimum": 0, "maximum": 4096, "default": 0
    },
    "traffic_class": {
      "description": "Type-of-service byte of the connections, for lossless classes of a network.",
      "type": "integer", "minimum": 0, "maximum": 255, "default": 0
    },
    "event_delay_us": {
      "description": "How long after a completion polling alone finds the next one, before the device is asked to interrupt for it. As long as those who wait for transfers poll (transfer.spin_us), it saves two system calls a completion.",
      "type": "integer", "minimum": 0, "maximum": 1000000, "default": 50
    },
    "completion": {
      "description": "event: the device interrupts for a completion that is waited for. polling: a thread looks for completions all the time, and takes a core.",
      "enum": ["event", "polling"], "default": "event"
    }
  }
})json";

}  // namespace slipway::rdma
