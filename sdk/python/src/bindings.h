// The parts of the module.
#ifndef SLIPWAY_SDK_PYTHON_SRC_BINDINGS_H_
#define SLIPWAY_SDK_PYTHON_SRC_BINDINGS_H_

#include <pybind11/pybind11.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "memory.h"
#include "slipway/engine.hpp"

namespace slipway::python {

// An engine that Python closes when it likes. Segments, batches and stores share it, so that none outlives it.
struct EngineHandle {
  Engine engine;
  // What peers and requests may use until it is taken back; with the interpreter's lock. Destroyed before the engine
  // is, they would leave it with memory that is gone, so ~EngineHandle and close() end the engine first.
  std::map<std::string, std::vector<Memory>> published;
  std::multimap<std::pair<void*, uint64_t>, Memory> declared;

  ~EngineHandle() { Close(); }
  void Close();
  // Raises E_CLOSED once close() was called.
  const Engine& open() const;
};

// A configuration as it was given: text, or the path of a file that holds it.
struct ConfigSource {
  std::string text, path;  // one of them
};
// From a dict, a path, or JSON text that begins with a brace.
ConfigSource ConfigOf(const pybind11::object& config);

// From None (plain local memory and TCP) or what ConfigOf takes.
std::shared_ptr<EngineHandle> MakeEngine(const pybind11::object& config);

void BindEngine(pybind11::module_& module);
void BindStore(pybind11::module_& module);

}  // namespace slipway::python

#endif  // SLIPWAY_SDK_PYTHON_SRC_BINDINGS_H_
