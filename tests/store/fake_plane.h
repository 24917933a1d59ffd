// An engine that does what it is told, and remembers the order.
#ifndef SLIPWAY_TESTS_STORE_FAKE_PLANE_H_
#define SLIPWAY_TESTS_STORE_FAKE_PLANE_H_

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/store/data_plane.h"
#include "slipway/abi/memory.h"

namespace slipway {

// Segments are memory of this process, opened by name or by "host:port/name".
class FakePlane final : public DataPlane {
 public:
  struct Segment final : OpenSegment {
    explicit Segment(FakePlane& plane, char* address) : plane(plane), base(address) {}
    ~Segment() override { plane.steps.push_back("close"); }
    FakePlane& plane;
    char* const base;
  };

  uint64_t KindOf(const void* address, uint64_t) override {
    const auto* at = static_cast<const char*>(address);
    return at >= device && at < device + device_bytes ? SLIPWAY_MEM_CUDA : SLIPWAY_MEM_HOST;
  }
  Status Declare(void*, uint64_t) override { return Step("declare"); }
  Status Undeclare(void*, uint64_t, uint64_t) override { return Step("undeclare"); }
  Status Publish(const std::string&, void* address, uint64_t) override {
    Status status = Step("publish");
    if (status.ok()) published = static_cast<char*>(address);
    return status;
  }
  Status Withdraw(const std::string&) override { return Step("withdraw"); }
  Result<std::unique_ptr<OpenSegment>> Open(const std::string&, uint64_t) override {
    Status status = Step("open");
    if (!status.ok()) return status;
    return std::unique_ptr<OpenSegment>(std::make_unique<Segment>(*this, published));
  }
  std::vector<Status> Transfer(std::span<const Move> moves, uint64_t, const StreamOrder&) override {
    std::vector<Status> out(moves.size());
    for (size_t i = 0; i < moves.size(); ++i) {
      const Move& move = moves[i];
      char* const there = static_cast<Segment*>(move.segment)->base + move.offset;
      moved_bytes += move.length;
      if (transfer_fails != SLIPWAY_OK && i + 1 == moves.size()) {
        out[i] = Status(transfer_fails, "told so");
      } else {
        std::memcpy(move.write ? there : move.local, move.write ? move.local : there, move.length);
      }
    }
    return out;
  }
  bool has_transports() const override { return true; }

  std::vector<std::string> steps;
  std::string fails;  // this step does
  slipway_status transfer_fails = SLIPWAY_OK;
  uint64_t moved_bytes = 0;
  const char* device = nullptr;  // taken for a device's, and touched by nobody but Transfer
  size_t device_bytes = 0;
  char* published = nullptr;

 private:
  Status Step(const std::string& name) {
    if (fails == name) return Status(SLIPWAY_E_IO, name + " was told to fail");
    steps.push_back(name);
    return {};
  }
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_STORE_FAKE_PLANE_H_
