// Whether the user has asked for the end, by SIGINT, SIGTERM or SIGHUP. Everything that takes long looks here.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_INTERRUPT_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_INTERRUPT_H_

namespace slipway::cli::bench {

// The first such signal is noted; a second one ends the process at once, and its children with it.
void NoteInterrupts();
bool Interrupted();
// Ends the process as the noted signal would have done without us, so that a shell sees why.
[[noreturn]] void EndAsInterrupted();

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_INTERRUPT_H_
