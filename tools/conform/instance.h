// One instance under test with its host, and the calls that cases make on it.
#ifndef SLIPWAY_TOOLS_CONFORM_INSTANCE_H_
#define SLIPWAY_TOOLS_CONFORM_INSTANCE_H_

#include <string>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/fake_host.h"

namespace slipway::conform {

// What query_registered answered.
struct Answer {
  slipway_status status = SLIPWAY_OK;
  uint32_t state = 0;
  uint64_t prefix = 0, generation = 0;
  slipway_mr* mr = nullptr;
};
const char* StateName(uint32_t state);

// Made with `config`; a failure to make it fails the case. Destroyed with it.
class Instance {
 public:
  explicit Instance(const Context& c, Shape shape = Shape::kPlain) : Instance(c, c.profile().config, shape) {}
  Instance(const Context& c, const std::string& config, Shape shape = Shape::kPlain);
  ~Instance() { Destroy(); }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  void Destroy();

  slipway_instance* get() const { return handle_; }
  const slipway_attrs& attrs() const { return attrs_; }
  FakeHost& host() { return host_; }
  const slipway_transport& t() const { return *c_.t; }
  Shape shape() const { return shape_; }
  bool Has(uint64_t caps) const { return (attrs_.caps & caps) == caps; }
  // The access rights that need a registration here.
  uint32_t NeedyAccess() const;

  slipway_status TryRegister(void* addr, uint64_t length, uint32_t access, slipway_mr** out, Report* report = nullptr,
                             uint64_t mem_kind = SLIPWAY_MEM_HOST);
  slipway_mr* Register(void* addr, uint64_t length, uint32_t access = SLIPWAY_ACCESS_ALL,
                       uint64_t mem_kind = SLIPWAY_MEM_HOST);
  slipway_status TryDeregister(slipway_mr* mr) { return t().deregister_memory(handle_, mr); }
  void Deregister(slipway_mr* mr);
  Answer Query(const void* addr, uint64_t length, uint32_t access);

  std::string Address();
  std::string Blob(slipway_mr* mr);
  slipway_channel* OpenChannel(void* cookie);

 private:
  const Context& c_;
  const Shape shape_;
  FakeHost host_;
  slipway_instance* handle_ = nullptr;
  slipway_attrs attrs_{};
};

// create() with any text; *out as the plugin left it.
slipway_status TryCreate(const Context& c, const FakeHost& host, const char* json, size_t length,
                         slipway_instance** out, Report& report);
// probe() with any text.
slipway_status TryProbe(const Context& c, const FakeHost& host, const char* json, size_t length, slipway_attrs& attrs,
                        Report& report);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_INSTANCE_H_
