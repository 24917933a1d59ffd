// What the fuzzers feed. Each ends the process when something that must hold does not.
#ifndef SLIPWAY_TESTS_FUZZ_CONFIG_TARGETS_H_
#define SLIPWAY_TESTS_FUZZ_CONFIG_TARGETS_H_

#include <cstddef>
#include <cstdint>

namespace slipway {

// The bytes are a configuration. Whatever the reader accepts, the writer writes so that it is read as the same.
void FuzzParse(const uint8_t* data, size_t size);

// The bytes are a schema, a line break of two, and options.
void FuzzSchema(const uint8_t* data, size_t size);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_FUZZ_CONFIG_TARGETS_H_
