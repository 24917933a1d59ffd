// A process that a measurement needs: this program again in another role, or somebody else's. It ends with the object,
// and with this process, however that ends.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_CHILD_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_CHILD_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "slipway/status.hpp"

namespace slipway::cli::bench {

// Move-only owner of a process, its standard input and its output. Not thread-safe. Every wait ends early, with
// E_CANCELED, once the user has asked for the end (interrupt.h).
class Child {
 public:
  Child() = default;
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();  // kills the process and its group, and waits for its end

  // `words[0]` is looked up in PATH. What it prints on either stream is one text.
  static Result<Child> Start(const std::vector<std::string>& words);
  // This program, as `slipway bench --role ROLE`; its standard error is ours.
  static Result<Child> StartSelf(const std::string& role);

  Status WriteLine(const std::string& line);
  // Without its end of line. E_TIMEOUT after `seconds`; E_PEER when the process closed its output.
  Result<std::string> ReadLine(double seconds);
  // Reads until `text` came, for a process that says when it listens. As ReadLine otherwise.
  Status WaitFor(const std::string& text, double seconds);

  // Whether it closes its output within `seconds`, as a process does that ends.
  bool EndsWithin(double seconds);

  struct Ending {
    int exit_status = 0;  // 128 + n after signal n
    std::string output;   // what had not been read, at most 1 MiB
  };
  // Everything up to the process's end.
  Result<Ending> Finish(double seconds);

 private:
  Child(pid_t pid, int in, int out) : pid_(pid), in_(in), out_(out) {}
  // Waits for output and appends it to buffer_. False: the output has ended.
  Result<bool> ReadMore(double seconds);
  void End();

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string buffer_;
};

// Whether a program of this name is on the PATH.
bool IsInstalled(const std::string& program);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_CHILD_H_
