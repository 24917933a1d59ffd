// JSON that the library made, for a person to read.
#ifndef SLIPWAY_TOOLS_SLIPWAY_JSON_VIEW_H_
#define SLIPWAY_TOOLS_SLIPWAY_JSON_VIEW_H_

#include <string>
#include <string_view>
#include <vector>

#include "slipway/status.hpp"

namespace slipway::cli {

// Indented "key: value" lines, lists as "- " items. E_BAD_REPLY when `json` is not JSON.
Result<std::string> JsonAsText(std::string_view json);
// The same JSON on one line, or E_BAD_REPLY: what comes from another process is not passed on unread.
Result<std::string> JsonOnOneLine(std::string_view json);

struct PluginFile {
  std::string name, file;
};
// Reads the reply of slipway_plugins_list.
Result<std::vector<PluginFile>> ReadPluginList(std::string_view json);

struct PluginSummary {
  std::string version;
  std::string offers;  // "transport tcp, memory provider cuda"
};
// Reads the reply of slipway_plugin_describe; what is missing there is empty here.
Result<PluginSummary> ReadPluginSummary(std::string_view json);

// How to reach control listeners: the part of a configuration that a client of one needs.
struct ControlAccess {
  std::string secret_file, certificate_file, key_file, ca_file;  // empty: none
  std::string secret;                                            // what secret_file holds, once it was read
};
// From a configuration's text, of which slipway_config_check approved.
Result<ControlAccess> ReadControlAccess(std::string_view json);

// Whether a configuration has a store of its own to host, rather than none or another node's. From a text of which
// slipway_config_check approved.
bool ReadsAsStoreHost(std::string_view json);

// The message of a control listener's error reply; the text itself, shortened, when it is none.
std::string ReadErrorMessage(std::string_view json);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_JSON_VIEW_H_
