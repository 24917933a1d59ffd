// The command line: reads it, and runs the command it names.
#ifndef SLIPWAY_TOOLS_SLIPWAY_ARGUMENTS_H_
#define SLIPWAY_TOOLS_SLIPWAY_ARGUMENTS_H_

namespace slipway::cli {

// Gives the process's exit status (exit_code.h). The only place that knows the command line's words.
int ParseAndRun(int argc, char** argv);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_ARGUMENTS_H_
