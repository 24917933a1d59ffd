// slipway-config-gen FOLDER: writes reference.json, slipway.schema.json and the tables of README.md there.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "core/config/generate.h"

namespace {

bool Write(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
  return static_cast<bool>(out);
}

int Run(const std::string& folder) {
  std::ifstream in(folder + "/README.md", std::ios::binary);
  const std::string readme((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::optional<std::string> updated = slipway::UpdateReadme(readme);
  if (!updated) {
    std::fprintf(stderr, "%s/README.md: cannot be read, or lacks the marks of its tables\n", folder.c_str());
    return 1;
  }
  const bool written = Write(folder + "/reference.json", slipway::ReferenceJson()) &&
                       Write(folder + "/slipway.schema.json", slipway::EditorSchemaJson()) &&
                       Write(folder + "/README.md", *updated);
  return written ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: slipway-config-gen FOLDER\n");
    return 2;
  }
  try {
    return Run(argv[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
