// What the fuzzers feed. Each ends the process when something that must hold does not.
#ifndef SLIPWAY_TESTS_FUZZ_CONTROL_TARGETS_H_
#define SLIPWAY_TESTS_FUZZ_CONTROL_TARGETS_H_

#include <cstddef>
#include <cstdint>

namespace slipway {

// The bytes are the body of POST /v1/open.
void FuzzOpenRequest(const uint8_t* data, size_t size);

// The bytes are the descriptor with which a node answers. Whatever is accepted keeps its promises and travels
// unchanged.
void FuzzDescriptor(const uint8_t* data, size_t size);

// The bytes are a node's other answers: its list of segments, its description, an error.
void FuzzReply(const uint8_t* data, size_t size);

// The bytes are the head of a request, and of a reply.
void FuzzHead(const uint8_t* data, size_t size);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_FUZZ_CONTROL_TARGETS_H_
