#include "tools/slipway/exit_code.h"

namespace slipway::cli {

Exit ExitFor(slipway_status status) {
  if (status == SLIPWAY_OK) return kExitOk;
  switch (status) {
    case SLIPWAY_E_INVALID:
      return kExitUsage;
    case SLIPWAY_E_CONFIG:
    case SLIPWAY_E_PLUGIN_CONFIG:
      return kExitConfig;
    case SLIPWAY_E_ADDRESS:
    case SLIPWAY_E_UNREACHABLE:
    case SLIPWAY_E_BAD_REPLY:
      return kExitUnreachable;
    case SLIPWAY_E_ADDRESS_IN_USE:
      return kExitAddressInUse;
    case SLIPWAY_E_UNAUTHENTICATED:
    case SLIPWAY_E_TLS:
      return kExitDenied;
    case SLIPWAY_E_NO_SEGMENT:
    case SLIPWAY_E_SEGMENT_EXISTS:
    case SLIPWAY_E_SEGMENT_RANGE:
    case SLIPWAY_E_SEGMENT_ACCESS:
    case SLIPWAY_E_NOT_FOUND:
    case SLIPWAY_E_NO_STORE:
      return kExitSegment;
    case SLIPWAY_E_NOMEM:
    case SLIPWAY_E_INTERNAL:
    case SLIPWAY_E_FORKED:
      return kExitInternal;
    default:
      break;
  }
  if (status <= -1001 && status > -1100) return kExitPlugin;
  if (status <= -1101 && status > -1200) return kExitConfig;
  return kExitTransfer;
}

std::string NextStep(slipway_status status) {
  switch (status) {
    case SLIPWAY_E_PLUGIN_NOT_FOUND:
      return "'slipway plugins' lists what is there; name more folders with plugin_path or --plugin-path";
    case SLIPWAY_E_PLUGIN_OPEN:
    case SLIPWAY_E_PLUGIN_ARCH:
    case SLIPWAY_E_PLUGIN_NO_ENTRY:
    case SLIPWAY_E_PLUGIN_INCOMPLETE:
      return "rebuild or reinstall that plugin for this machine and this version; 'slipway plugins' shows each one";
    case SLIPWAY_E_CONFIG_FILE:
    case SLIPWAY_E_CONFIG_SYNTAX:
    case SLIPWAY_E_CONFIG_TYPE:
    case SLIPWAY_E_CONFIG_KEY:
    case SLIPWAY_E_CONFIG_VALUE:
    case SLIPWAY_E_CONFIG_CONFLICT:
      return "correct the file and check it with 'slipway config check FILE'";
    case SLIPWAY_E_ADDRESS:
      return "a segment's address is HOST:PORT/NAME, as 'slipway serve' prints it; check the host's name";
    case SLIPWAY_E_BAD_REPLY:
      return "check that this is the address that 'slipway serve' printed, and whether one side alone uses TLS";
    case SLIPWAY_E_UNREACHABLE:
      return "check that 'slipway serve' runs there and that its port can be reached from here";
    case SLIPWAY_E_ADDRESS_IN_USE:
      return "choose another port in control.listen (0: any free one), or stop who listens there";
    case SLIPWAY_E_UNAUTHENTICATED:
      return "both ends need the same control.secret_file";
    case SLIPWAY_E_NO_SEGMENT:
      return "'slipway describe HOST:PORT' lists the segments of that node";
    case SLIPWAY_E_SEGMENT_ACCESS:
      return "serve it with :rw (to push) or :ro (to pull)";
    case SLIPWAY_E_NOT_FOUND:
      return "'slipway ls HOST:PORT' lists the keys that there are";
    case SLIPWAY_E_NO_STORE:
      return "serve one there: 'slipway serve --store SIZE', or store.segments in its configuration";
    case SLIPWAY_E_NO_SPACE:
      return "remove something, keep fewer objects pinned, or give the store larger segments";
    case SLIPWAY_E_NO_ROUTE:
      return "'slipway explain' shows, for each transport, why it cannot serve the request";
    case SLIPWAY_E_DEADLINE:
    case SLIPWAY_E_TIMEOUT:
      return "allow more time with --timeout, or look at the peer: it may be overloaded or stopped";
    case SLIPWAY_E_PEER:
      return "the peer is gone or silent: look at its log, start it again and repeat the command";
    case SLIPWAY_E_STAGING_EXHAUSTED:
      return "raise memory.staging.bytes, or move fewer things at once";
    case SLIPWAY_E_PIN_LIMIT:
    case SLIPWAY_E_PIN_BUDGET:
      return "raise the limit on locked memory (ulimit -l) or memory.budget_bytes";
    default:
      return "";
  }
}

}  // namespace slipway::cli
