// The C table of a transport class. Authors do not use this header directly.
#ifndef SLIPWAY_SDK_TRANSPORT_TABLE_HPP_
#define SLIPWAY_SDK_TRANSPORT_TABLE_HPP_

#include "slipway/sdk/transport_glue.hpp"

namespace slipway::sdk::detail {

// The constant table of transport T.
template <typename T>
constexpr slipway_transport MakeTransportTable() {
  const TransportInfo& i = T::kInfo;
  slipway_transport t{};
  t.struct_size = sizeof(slipway_transport);
  t.name = i.name;
  t.version = i.version;
  t.vendor = i.vendor;
  t.description = i.description;
  t.protocol = i.protocol;
  t.protocol_min = i.protocol_min;
  t.protocol_max = i.protocol_max;
  t.caps = i.caps;
  t.mem_kinds = i.mem_kinds;
  t.config_schema = i.config_schema;
  t.probe = Glue::Probe<T>;
  t.create = Glue::Create<T>;
  t.get_attrs = Glue::GetAttrs;
  t.quiesce = Glue::Quiesce;
  t.destroy = Glue::Destroy;
  t.register_memory = Glue::RegisterMemory;
  t.deregister_memory = Glue::DeregisterMemory;
  t.query_registered = Glue::QueryRegistered;
  t.export_address = Glue::ExportAddress;
  t.export_mr = Glue::ExportMr;
  t.connect = Glue::Connect;
  t.peer_ready = Glue::PeerReady;
  t.disconnect = Glue::Disconnect;
  t.import_mr = Glue::ImportMr;
  t.release_remote = Glue::ReleaseRemote;
  t.channel_open = Glue::ChannelOpen;
  t.channel_close = Glue::ChannelClose;
  t.submit = Glue::Submit;
  t.poll = Glue::Poll;
  if (i.caps & SLIPWAY_CAP_CANCEL) t.cancel = Glue::Cancel;
  if (i.caps & SLIPWAY_CAP_EVENT_FD) t.event_fd = Glue::EventFd;
  t.stats_json = Glue::StatsJson;
  if constexpr (HasGetExtension<T>) t.get_extension = Glue::GetExtension<T>;
  return t;
}

template <typename T>
inline constexpr slipway_transport kTransportTable = MakeTransportTable<T>();

}  // namespace slipway::sdk::detail

#endif  // SLIPWAY_SDK_TRANSPORT_TABLE_HPP_
