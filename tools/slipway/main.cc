#include <signal.h>

#include "tools/slipway/arguments.h"
#include "tools/slipway/local_file.h"

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  slipway::cli::ExplainBusErrors();
  return slipway::cli::ParseAndRun(argc, argv);
}
