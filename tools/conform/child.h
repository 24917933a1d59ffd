// The process that opens the plugin. What it finds goes to its parent as lines of JSON on one descriptor:
//   {"note": "..."}                                        what it is at, any number of them
//   {"status": "pass|fail|skip", "reason": "...", "data": {...}}   the end
#ifndef SLIPWAY_TOOLS_CONFORM_CHILD_H_
#define SLIPWAY_TOOLS_CONFORM_CHILD_H_

#include <string>

#include "tools/conform/spec.h"

namespace slipway::conform {

inline constexpr int kChildFd = 3;  // where the result goes, or the peer's socket
inline constexpr int kSpecFd = 4;   // the Spec as text
inline constexpr int kStackFd = 5;  // stacks, when it crashes or is asked for them

// In place of a case's id: what the plugin is, and what an instance (or provider) of it offers.
inline constexpr char kDescribe[] = "describe";
inline constexpr char kTryTransport[] = "try-transport";
inline constexpr char kTryProvider[] = "try-provider";

// Stacks on crashes and on SIGUSR2, and limits for this process.
void PrepareChild();

[[noreturn]] void ChildMain();

// Runs the spec's case in this process, for a debugger: prints what it comes to and ends the process.
[[noreturn]] void RunHere(const Spec& spec);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_CHILD_H_
