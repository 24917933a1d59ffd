// Who has parts of the store.
#ifndef SLIPWAY_CORE_STORE_MEMBERSHIP_H_
#define SLIPWAY_CORE_STORE_MEMBERSHIP_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway {

struct Member {
  std::string address;  // host:port of its control listener; empty: this process
  uint64_t epoch = 0;   // another each time that it joins

  bool operator==(const Member&) const = default;
};

// Thread-safe.
class Membership {
 public:
  virtual ~Membership() = default;
  // Those that are alive. Grows with every change.
  virtual std::vector<Member> Members() = 0;
  virtual uint64_t Version() = 0;
};

// A list that does not change.
class StaticMembership final : public Membership {
 public:
  explicit StaticMembership(std::vector<Member> members) : members_(std::move(members)) {}
  std::vector<Member> Members() override { return members_; }
  uint64_t Version() override { return 1; }

 private:
  const std::vector<Member> members_;
};

// The home of a key, as every member computes it: the one whose hash together with the key is highest, so that a member
// that comes or goes moves only the keys that are or were its own (rendezvous hashing). `members` is not empty.
size_t HomeOf(std::string_view key, const std::vector<Member>& members);

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_MEMBERSHIP_H_
