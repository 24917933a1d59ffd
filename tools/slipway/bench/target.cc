#include "tools/slipway/bench/target.h"

#include <array>
#include <iostream>
#include <span>
#include <sstream>

#include "tools/slipway/bench/child.h"
#include "tools/slipway/exit_code.h"

#ifdef __SANITIZE_THREAD__
// Of the thread sanitizer's run-time library, which has no header for them.
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace slipway::cli::bench {
namespace {

constexpr char kSegment[] = "bench";
constexpr double kStartSeconds = 30, kOrderSeconds = 120;  // a gigabyte in a slow virtual machine takes a while

Status PublishWhole(const Engine& engine, std::span<std::byte> memory) {
  const std::array spans = {slipway_span{memory.data(), memory.size()}};
  return engine.Publish(kSegment, spans);
}

class OwnTarget final : public Target {
 public:
  OwnTarget(const Engine& engine, const Mapping& memory) : engine_(engine), memory_(memory) {}
  ~OwnTarget() override { (void)engine_.Withdraw(kSegment); }
  std::string url() const override { return std::string("/") + kSegment; }
  Status Fill(uint64_t bytes, uint64_t seed) override {
    FillPattern(memory_.data(), bytes, seed);
    return {};
  }
  Status Check(const Layout& layout, uint64_t seed) override {
    const auto at = FindDifference(memory_.data(), layout, Side::kRemote, seed);
    return at ? WrongData(*at) : Status();
  }

 private:
  const Engine& engine_;
  const Mapping& memory_;
};

class ChildTarget final : public Target {
 public:
  ChildTarget(Child child, std::string url) : child_(std::move(child)), url_(std::move(url)) {}
  std::string url() const override { return url_; }
  Status Fill(uint64_t bytes, uint64_t seed) override {
    return Order("fill " + std::to_string(bytes) + " " + std::to_string(seed));
  }
  Status Check(const Layout& layout, uint64_t seed) override {
    return Order("check " + std::to_string(layout.bytes) + " " + std::to_string(layout.slots) + " " +
                 (layout.scattered ? "1 " : "0 ") + std::to_string(seed));
  }

 private:
  Status Order(const std::string& line) {
    SLIPWAY_RETURN_IF_ERROR(child_.WriteLine(line));
    const auto reply = child_.ReadLine(kOrderSeconds);
    if (!reply.ok()) return reply.status();
    if (*reply == "ok") return {};
    if (reply->starts_with("differs ")) return WrongData(std::stoull(reply->substr(8)));
    return {SLIPWAY_E_BAD_REPLY, "the target process says: " + *reply};
  }

  Child child_;
  const std::string url_;
};

// What a transport did to the memory comes before an order, since the parent waited for the one and then gave the
// other. That goes through another process, where the thread sanitizer does not see it: in a scope of this it does not
// look.
class OrderedByParent {
 public:
#ifdef __SANITIZE_THREAD__
  OrderedByParent() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~OrderedByParent() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  OrderedByParent() {}
#endif
};

// One order from the parent; gives the reply.
std::string Obey(const std::string& line, std::span<std::byte> memory) {
  const OrderedByParent ordered;
  std::istringstream words(line);
  std::string verb;
  uint64_t seed = 0;
  words >> verb;
  if (verb == "fill") {
    uint64_t bytes = 0;
    if (!(words >> bytes >> seed) || bytes > memory.size()) return "what? " + line;
    FillPattern(memory.data(), bytes, seed);
    return "ok";
  }
  Layout layout;
  if (verb != "check" || !(words >> layout.bytes >> layout.slots >> layout.scattered >> seed) ||
      layout.Room() > memory.size())
    return "what? " + line;
  const auto at = FindDifference(memory.data(), layout, Side::kRemote, seed);
  return at ? "differs " + std::to_string(*at) : "ok";
}

void Say(const std::string& line) { std::cout << line << std::endl; }

Status Serve() {
  std::string config, line;
  if (!std::getline(std::cin, config) || !std::getline(std::cin, line))
    return {SLIPWAY_E_INVALID, "a part of `slipway bench`, not to be run by hand"};
  const auto engine = Engine::FromJson(config);
  if (!engine.ok()) return engine.status();
  // As a serving node's segments: memory that peers of this host map, where the transport has such.
  const auto memory = engine->Allocate(std::stoull(line));
  if (!memory.ok()) return memory.status();
  SLIPWAY_RETURN_IF_ERROR(PublishWhole(*engine, memory->bytes()));
  const auto address = engine->ControlAddress();
  if (!address.ok()) return address.status();
  Say("ready " + *address + "/" + kSegment);
  while (std::getline(std::cin, line)) Say(Obey(line, memory->bytes()));
  return engine->Withdraw(kSegment);
}

}  // namespace

Status WrongData(uint64_t position) {
  return {SLIPWAY_E_INTERNAL,
          "WRONG DATA: bytes differ from those that were sent, first at " + std::to_string(position)};
}

Result<std::unique_ptr<Target>> MakeOwnTarget(const Engine& engine, const Mapping& memory) {
  SLIPWAY_RETURN_IF_ERROR(PublishWhole(engine, {memory.data(), memory.size()}));
  return std::unique_ptr<Target>(std::make_unique<OwnTarget>(engine, memory));
}

Result<std::unique_ptr<Target>> MakeChildTarget(const PathPlan& plan, uint64_t room) {
  auto child = Child::StartSelf("target");
  if (!child.ok()) return child.status();
  SLIPWAY_RETURN_IF_ERROR(child->WriteLine(plan.target_config));
  SLIPWAY_RETURN_IF_ERROR(child->WriteLine(std::to_string(room)));
  const auto reply = child->ReadLine(kStartSeconds);
  if (!reply.ok()) return reply.status();
  constexpr std::string_view kReady = "ready ";
  if (!reply->starts_with(kReady)) return Status(SLIPWAY_E_PEER, "the target process did not start: " + *reply);
  return std::unique_ptr<Target>(std::make_unique<ChildTarget>(std::move(*child), reply->substr(kReady.size())));
}

int RunTarget() {
  const Status status = Serve();
  if (!status.ok()) Say(std::string(slipway_status_name(status.code())) + ": " + status.message());
  return ExitFor(status.code());
}

}  // namespace slipway::cli::bench
