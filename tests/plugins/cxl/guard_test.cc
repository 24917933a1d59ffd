// Memory that goes away ends the access, and nothing else.
#include "plugins/cxl/guard.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <thread>

#include "tests/plugins/cxl/window_file.h"

namespace slipway::cxl {
namespace {

using test::Mapping;
using test::WindowFile;

constexpr uint64_t kBytes = 1 << 20;

// Memory behind which there is nothing any more.
struct Gone {
  Gone() : file(kBytes), mapping(file, 0, kBytes) { file.Resize(0); }
  volatile char& at(size_t i) const { return mapping.data()[i]; }
  WindowFile file;
  Mapping mapping;
};

TEST(Guard, AnAccessToMemoryThatIsGoneFailsAndSaysWhere) {
  const FaultHandler handler;
  const Gone gone;
  for (int round = 0; round < 3; ++round) {
    Fault fault;
    bool after = false;
    EXPECT_FALSE(Guarded(fault, [&] {
      gone.at(5000) = 1;
      after = true;
    }));
    EXPECT_FALSE(after);
    EXPECT_EQ(fault.address, &gone.at(5000));
    EXPECT_EQ(fault.code, BUS_ADRERR);
  }
  Fault fault;
  EXPECT_TRUE(Guarded(fault, [] {})) << "what is well stays well";
}

TEST(Guard, TheInnermostCatches) {
  const FaultHandler handler;
  const Gone gone;
  Fault outer, inner;
  bool inner_whole = true;
  EXPECT_TRUE(Guarded(outer, [&] { inner_whole = Guarded(inner, [&] { gone.at(0) = 1; }); }));
  EXPECT_FALSE(inner_whole);
  EXPECT_FALSE(Guarded(outer, [&] {
    (void)Guarded(inner, [] {});
    gone.at(1) = 1;
  }));
}

TEST(Guard, EveryThreadForItselfAlsoWithAllSignalsBlocked) {
  const FaultHandler handler;
  const Gone gone;
  std::vector<std::thread> threads;
  std::atomic<int> caught{0};
  for (size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_BLOCK, &all, nullptr);
      for (int round = 0; round < 100; ++round) {
        Fault fault;
        caught += !Guarded(fault, [&] { gone.at(64 * i) = 1; });
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(caught, 400);
}

TEST(GuardDeathTest, OtherAccessesDieAsTheyWould) {
  EXPECT_EXIT(
      {
        signal(SIGBUS, SIG_DFL);
        const FaultHandler handler;
        const Gone gone;
        gone.at(0) = 1;
      },
      testing::KilledBySignal(SIGBUS), "");
}

int applications_calls = 0;
sigjmp_buf applications_escape;
void ApplicationsHandler(int) {
  ++applications_calls;
  siglongjmp(applications_escape, 1);
}

void TouchAsTheApplication(const Gone& gone) {
  if (sigsetjmp(applications_escape, 1) == 0) gone.at(0) = 1;
}

TEST(Guard, TheApplicationsHandlerIsCalledForTheRestAndIsBackAtTheEnd) {
  struct sigaction its = {}, before = {}, now = {};
  its.sa_handler = ApplicationsHandler;
  its.sa_flags = SA_NODEFER;
  sigaction(SIGBUS, &its, &before);
  const Gone gone;
  {
    const FaultHandler handler, again;
    for (int round = 0; round < 2; ++round) {
      TouchAsTheApplication(gone);
      Fault fault;
      EXPECT_FALSE(Guarded(fault, [&] { gone.at(0) = 1; }));
    }
  }
  EXPECT_EQ(applications_calls, 2);
  sigaction(SIGBUS, &before, &now);
  EXPECT_EQ(now.sa_handler, ApplicationsHandler);
}

struct sigaction below;
void OnTop(int number, siginfo_t* info, void* context) {
  ++applications_calls;
  below.sa_sigaction(number, info, context);
}

TEST(GuardDeathTest, HandlersThatPassOnToEachOtherDoNotDoSoForEver) {
  EXPECT_EXIT(
      {
        signal(SIGBUS, SIG_DFL);
        {
          const FaultHandler first;
          struct sigaction top = {};
          top.sa_sigaction = OnTop;
          top.sa_flags = SA_SIGINFO;
          sigaction(SIGBUS, &top, &below);
        }  // which keeps it in the chain
        const FaultHandler second;
        const Gone gone;
        Fault fault;
        if (Guarded(fault, [&] { gone.at(0) = 1; })) _exit(1);
        alarm(10);
        gone.at(0) = 1;
      },
      testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace slipway::cxl
