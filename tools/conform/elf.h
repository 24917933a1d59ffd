// What a shared object's file says of its symbols and dependencies, read without opening it as a library.
#ifndef SLIPWAY_TOOLS_CONFORM_ELF_H_
#define SLIPWAY_TOOLS_CONFORM_ELF_H_

#include <string>
#include <vector>

namespace slipway::conform {

struct ElfSymbols {
  std::vector<std::string> exported;   // defined, visible to others
  std::vector<std::string> undefined;  // looked for in others, weak ones left out
  std::vector<std::string> needed;     // DT_NEEDED
};

// Reads a 64-bit little-endian file; a file that is damaged or something else gives what could be read, maybe nothing.
ElfSymbols ReadElf(const std::string& path);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_ELF_H_
