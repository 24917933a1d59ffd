// Answers one client in another process: a message in, a message out.
#ifndef SLIPWAY_CORE_STORE_SESSION_H_
#define SLIPWAY_CORE_STORE_SESSION_H_

#include <optional>
#include <string>
#include <string_view>

#include "core/store/leases.h"
#include "core/store/local_directory.h"
#include "core/store/wire.h"

namespace slipway {

struct SessionOptions {
  uint64_t lease_ms = 0;
  uint64_t max_reply_bytes = 0;
  uint64_t instance = 0;  // another for each store that ever was
};

// One thread at a time; many sessions share directory and leases.
class Session {
 public:
  Session(LocalDirectory& directory, Leases& leases, const SessionOptions& options, Counters& counters)
      : directory_(directory), leases_(leases), options_(options), counters_(counters) {}

  // The frame to answer with: empty where there is none to send; nothing where the message breaks the protocol, and
  // the connection should end.
  std::optional<std::string> Answer(std::string_view message);

 private:
  bool Dispatch(WireReader& in, WireWriter& out);
  void Hello(WireWriter& out);
  bool Begin(WireReader& in, WireWriter& out);
  bool Commit(WireReader& in, WireWriter& out);
  bool Abort(WireReader& in, WireWriter& out);
  bool Lookup(WireReader& in, WireWriter& out);
  bool Release(WireReader& in);
  bool Stat(WireReader& in, WireWriter& out);
  bool Remove(WireReader& in, WireWriter& out);
  bool RemoveAll(WireReader& in, WireWriter& out);
  bool List(WireReader& in, WireWriter& out);
  bool ReadKeys(WireReader& in, std::vector<std::string_view>* keys);
  bool TooManyLeases(size_t more, WireWriter& out);
  uint64_t LeaseNs(uint64_t asked_ms) const;
  static void WritePlaces(const Ticket& ticket, WireWriter& out);

  LocalDirectory& directory_;
  Leases& leases_;
  const SessionOptions options_;
  Counters& counters_;
  bool replies_ = true;  // the message being answered wants one
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_SESSION_H_
