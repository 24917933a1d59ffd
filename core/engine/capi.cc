// The C API of engines, memory, segments and transfers: checks arguments, stops exceptions, and calls the node.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/config/reader.h"
#include "core/engine/caller_requests.h"
#include "core/engine/handles.h"
#include "slipway/engine.h"

namespace slipway {
namespace {

// A batch handle is the batch itself.
BatchState* Unwrap(slipway_batch* batch) { return reinterpret_cast<BatchState*>(batch); }
slipway_batch* Wrap(BatchState* batch) { return reinterpret_cast<slipway_batch*>(batch); }

uint64_t ToNs(uint64_t ms) { return ms > UINT64_MAX / 1'000'000 ? UINT64_MAX : ms * 1'000'000; }

slipway_status Create(Result<Options> options, const std::string& source, slipway_engine** out,
                      slipway_failure* error) {
  if (!options.ok()) return Report(options.status(), error);
  Result<std::shared_ptr<Node>> node = Node::Create(std::move(*options), source);
  if (!node.ok()) return Report(node.status(), error);
  *out = new slipway_engine{std::move(*node)};
  return SLIPWAY_OK;
}

// Whether a request that is complete at once can be told from one with other options.
bool IsPlain(const slipway_submit_options* options) {
  if (options == nullptr) return true;
  return (!SLIPWAY_HAS(options, slipway_submit_options, priority) || options->priority <= SLIPWAY_PRIORITY_BULK) &&
         (!SLIPWAY_HAS(options, slipway_submit_options, user) || options->on_complete == nullptr) &&
         (!SLIPWAY_HAS(options, slipway_submit_options, stream) || options->stream_kind == 0);
}

BatchSpec ToBatchSpec(const slipway_submit_options* options) {
  BatchSpec spec;
  if (options == nullptr) return spec;
  if (SLIPWAY_HAS(options, slipway_submit_options, priority))
    spec.priority = static_cast<PriorityClass>(std::min(options->priority, 255u));
  if (SLIPWAY_HAS(options, slipway_submit_options, timeout_ms)) spec.timeout_ns = ToNs(options->timeout_ms);
  if (SLIPWAY_HAS(options, slipway_submit_options, user) && options->on_complete != nullptr) {
    spec.on_complete = [call = options->on_complete, user = options->user](BatchState* batch) {
      call(user, Wrap(batch));
    };
  }
  if (SLIPWAY_HAS(options, slipway_submit_options, stream)) {
    spec.stream_kind = options->stream_kind;
    spec.stream = options->stream;
  }
  return spec;
}

// Null: it is not one that is copied while it is submitted, or is not known to be.
BatchState* SubmitAlone(const slipway_engine& engine, const slipway_request& request, size_t dispatcher) {
  Dispatcher& mine = engine.node->dispatchers()[dispatcher];
  if (!mine.RemembersAlone()) return nullptr;
  KindLookup kinds = engine.node->Kinds();
  RequestSpec spec;
  const char* why = "";
  if (ToSpec(engine, request, dispatcher, kinds, &spec, &why) != SLIPWAY_OK) return nullptr;
  return mine.SubmitAlone(spec);
}

// Apart from what a request alone takes, which needs none of this room on the stack.
[[gnu::noinline]] slipway_status SubmitMany(const slipway_engine& engine, const slipway_request* requests, size_t count,
                                            const slipway_submit_options* options, size_t dispatcher,
                                            slipway_batch** out, slipway_failure* error) {
  RequestsOfCaller source(engine, requests, count, dispatcher);
  BatchSpec spec = ToBatchSpec(options);
  spec.owner = engine.node;
  Result<BatchState*> batch =
      engine.node->dispatchers()[dispatcher].Submit(source, std::move(spec), [&](BatchState* b) { *out = Wrap(b); });
  return batch.ok() ? slipway_status{SLIPWAY_OK} : Report(batch.status(), error);
}

// With the lock held that guards the batch; one without a dispatcher does not change any more.
template <typename Look>
void LookAt(const BatchState& batch, Look look) {
  batch.dispatcher != nullptr ? batch.dispatcher->Look(look) : look();
}

void FillResult(const BatchState& batch, const RequestState& request, slipway_request_result* out) {
  static_assert(sizeof(TransportLabel) == sizeof(slipway_request_result::transport));
  slipway_request_result result{};
  result.struct_size = out->struct_size;
  result.status = request.status;
  result.bytes = std::min(request.bytes_done, request.length);
  result.slices = request.slices;
  result.staged_slices = request.staged_slices;
  result.retries = request.retries;
  std::string_view name = "";  // never a null pointer: memcpy takes none, not even for no bytes
  if (request.transport == RequestState::kMixed)
    name = "mixed";
  else if (batch.dispatcher == nullptr)
    name = batch.served_by.data();
  else if (request.transport != RequestState::kNoTransport)
    name = static_cast<const Node*>(batch.owner.get())->TransportName(request.transport);
  std::memcpy(result.transport, name.data(), std::min(name.size(), sizeof result.transport - 1));
  std::memcpy(out, &result, std::min<size_t>(out->struct_size, sizeof result));
}

}  // namespace
}  // namespace slipway

using slipway::BatchState;
using slipway::Guarded;
using slipway::Report;
using slipway::Status;
using slipway::Unwrap;

extern "C" {

SLIPWAY_API slipway_status slipway_engine_create_from_file(const char* path, slipway_engine** out,
                                                           slipway_failure* error) {
  if (path == nullptr || out == nullptr) return Report(SLIPWAY_E_INVALID, "path or out is null", error);
  return Guarded(error, [&] {
    return slipway::Create(slipway::LoadOptionsFile(path, slipway::ProcessEnvironment()), path, out, error);
  });
}

SLIPWAY_API slipway_status slipway_engine_create_from_json(const char* json, size_t length, slipway_engine** out,
                                                           slipway_failure* error) {
  if (json == nullptr || out == nullptr) return Report(SLIPWAY_E_INVALID, "json or out is null", error);
  return Guarded(error, [&] {
    const std::string source = "configuration";
    return slipway::Create(slipway::ParseOptions({json, length}, source, slipway::ProcessEnvironment()), source, out,
                           error);
  });
}

SLIPWAY_API void slipway_engine_destroy(slipway_engine* engine) {
  if (engine == nullptr) return;
  (void)Guarded(nullptr, [&] {
    engine->node->Shutdown();
    return SLIPWAY_OK;
  });
  delete engine;
}

SLIPWAY_API slipway_status slipway_engine_control_address(slipway_engine* engine, char* text, size_t* len) {
  if (engine == nullptr) return SLIPWAY_E_INVALID;
  return Guarded(nullptr, [&] { return slipway::PutText(engine->node->ControlAddress(), text, len); });
}

SLIPWAY_API slipway_status slipway_engine_describe(slipway_engine* engine, char* text, size_t* len) {
  if (engine == nullptr) return SLIPWAY_E_INVALID;
  return Guarded(nullptr, [&] { return slipway::PutText(engine->node->DescribeJson(), text, len); });
}

SLIPWAY_API slipway_status slipway_memory_declare(slipway_engine* engine, void* address, uint64_t length,
                                                  uint32_t flags, slipway_failure* error) {
  if (engine == nullptr) return Report(SLIPWAY_E_INVALID, "engine is null", error);
  return Guarded(error, [&] { return Report(engine->node->Declare(address, length, flags), error); });
}

SLIPWAY_API slipway_status slipway_memory_undeclare(slipway_engine* engine, void* address, uint64_t length,
                                                    uint64_t timeout_ms, slipway_failure* error) {
  if (engine == nullptr) return Report(SLIPWAY_E_INVALID, "engine is null", error);
  return Guarded(error,
                 [&] { return Report(engine->node->Undeclare(address, length, slipway::ToNs(timeout_ms)), error); });
}

SLIPWAY_API slipway_status slipway_memory_allocate(slipway_engine* engine, uint64_t length,
                                                   const slipway_memory_options* options, void** out,
                                                   slipway_failure* error) {
  if (engine == nullptr || out == nullptr) return Report(SLIPWAY_E_INVALID, "engine or out is null", error);
  return Guarded(error, [&] {
    int32_t numa = -1;
    std::string transport;
    if (options != nullptr && SLIPWAY_HAS(options, slipway_memory_options, numa_node)) numa = options->numa_node;
    if (options != nullptr && SLIPWAY_HAS(options, slipway_memory_options, transport) &&
        options->transport != nullptr) {
      transport = options->transport;
    }
    const slipway::Result<void*> memory = engine->node->Allocate(length, numa, transport);
    if (!memory.ok()) return Report(memory.status(), error);
    *out = *memory;
    return slipway_status{SLIPWAY_OK};
  });
}

SLIPWAY_API slipway_status slipway_memory_free(slipway_engine* engine, void* address, slipway_failure* error) {
  if (engine == nullptr) return Report(SLIPWAY_E_INVALID, "engine is null", error);
  return Guarded(error, [&] { return Report(engine->node->Free(address), error); });
}

SLIPWAY_API slipway_status slipway_segment_publish(slipway_engine* engine, const char* name, const slipway_span* spans,
                                                   size_t count, uint32_t access, slipway_failure* error) {
  if (engine == nullptr || name == nullptr || (spans == nullptr && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "engine, name or spans is null", error);
  }
  return Guarded(error, [&] {
    std::vector<slipway::Span> list;
    for (size_t i = 0; i < count; ++i) list.push_back({spans[i].address, spans[i].length});
    return Report(engine->node->Publish(name, list, access), error);
  });
}

SLIPWAY_API slipway_status slipway_segment_withdraw(slipway_engine* engine, const char* name, slipway_failure* error) {
  if (engine == nullptr || name == nullptr) return Report(SLIPWAY_E_INVALID, "engine or name is null", error);
  return Guarded(error, [&] { return Report(engine->node->Withdraw(name), error); });
}

SLIPWAY_API slipway_status slipway_segment_open(slipway_engine* engine, const char* url, uint64_t timeout_ms,
                                                slipway_segment** out, slipway_failure* error) {
  if (engine == nullptr || url == nullptr || out == nullptr) {
    return Report(SLIPWAY_E_INVALID, "engine, url or out is null", error);
  }
  return Guarded(error, [&] {
    constexpr uint64_t kLongestMs = 3'600'000;  // every wait is bounded
    slipway::Result<std::unique_ptr<slipway::SharedSegment>> opened =
        engine->node->Open(url, std::min(timeout_ms, kLongestMs));
    if (!opened.ok()) return Report(opened.status(), error);
    *out = new slipway_segment{engine->node, std::move(*opened)};
    return slipway_status{SLIPWAY_OK};
  });
}

SLIPWAY_API uint64_t slipway_segment_length(const slipway_segment* segment) {
  return segment == nullptr ? 0 : segment->segment->length();
}

SLIPWAY_API void slipway_segment_close(slipway_segment* segment) {
  if (segment == nullptr) return;
  (void)Guarded(nullptr, [&] {
    segment->node->dispatchers().Close(std::move(segment->segment));
    return SLIPWAY_OK;
  });
  delete segment;
}

SLIPWAY_API slipway_status slipway_submit(slipway_engine* engine, const slipway_request* requests, size_t count,
                                          const slipway_submit_options* options, slipway_batch** out,
                                          slipway_failure* error) {
  if (engine == nullptr || out == nullptr || (requests == nullptr && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "engine, requests or out is null", error);
  }
  return Guarded(error, [&] {
    const size_t mine = engine->node->dispatchers().Mine();
    if (count == 1 && slipway::IsPlain(options)) {
      if (BatchState* const batch = slipway::SubmitAlone(*engine, *requests, mine)) {
        *out = slipway::Wrap(batch);
        return slipway_status{SLIPWAY_OK};
      }
    }
    return slipway::SubmitMany(*engine, requests, count, options, mine, out, error);
  });
}

SLIPWAY_API slipway_status slipway_batch_poll(slipway_batch* batch) {
  if (batch == nullptr) return SLIPWAY_E_INVALID;
  return Guarded(nullptr, [&] {
    BatchState* b = Unwrap(batch);
    if (!b->done.load(std::memory_order_acquire)) b->dispatcher->Progress();
    return b->done.load(std::memory_order_acquire) ? b->status : SLIPWAY_IN_PROGRESS;
  });
}

SLIPWAY_API slipway_status slipway_batch_wait(slipway_batch* batch, uint64_t timeout_ms) {
  if (batch == nullptr) return SLIPWAY_E_INVALID;
  BatchState* const b = Unwrap(batch);
  if (b->done.load(std::memory_order_acquire)) return b->status;
  return Guarded(nullptr, [&] { return b->dispatcher->Wait(b, slipway::ToNs(timeout_ms)); });
}

SLIPWAY_API slipway_status slipway_batch_cancel(slipway_batch* batch) {
  if (batch == nullptr) return SLIPWAY_E_INVALID;
  return Guarded(nullptr, [&] {
    BatchState* const b = Unwrap(batch);
    if (b->dispatcher != nullptr) b->dispatcher->Cancel(b);
    return SLIPWAY_OK;
  });
}

SLIPWAY_API int slipway_batch_fd(slipway_batch* batch) {
  if (batch == nullptr) return -1;
  BatchState* const b = Unwrap(batch);
  return b->dispatcher != nullptr ? b->dispatcher->EventFd(b) : slipway::Dispatcher::EventFdAlone(b);
}

SLIPWAY_API slipway_status slipway_batch_release(slipway_batch* batch) {
  if (batch == nullptr) return SLIPWAY_OK;
  BatchState* const b = Unwrap(batch);
  if (b->dispatcher == nullptr) {
    slipway::Dispatcher::ReleaseAlone(b);
    return SLIPWAY_OK;
  }
  return Guarded(nullptr, [&] { return b->dispatcher->Release(b).code(); });
}

SLIPWAY_API slipway_status slipway_batch_result(slipway_batch* batch, size_t index, slipway_request_result* out) {
  if (batch == nullptr || out == nullptr || out->struct_size < sizeof out->struct_size) return SLIPWAY_E_INVALID;
  return Guarded(nullptr, [&] {
    BatchState* b = Unwrap(batch);
    if (index >= b->requests.size()) return SLIPWAY_E_RANGE;
    slipway::LookAt(*b, [&] { slipway::FillResult(*b, b->requests[index], out); });
    return SLIPWAY_OK;
  });
}

SLIPWAY_API slipway_status slipway_batch_message(slipway_batch* batch, size_t index, char* text, size_t* len) {
  if (batch == nullptr) return SLIPWAY_E_INVALID;
  return Guarded(nullptr, [&] {
    BatchState* b = Unwrap(batch);
    if (index >= b->requests.size()) return slipway_status{SLIPWAY_E_RANGE};
    std::string message;
    slipway::LookAt(*b, [&] {
      if (b->requests[index].message != nullptr) message = *b->requests[index].message;
    });
    return slipway::PutText(message, text, len);
  });
}

SLIPWAY_API slipway_status slipway_explain(slipway_engine* engine, const slipway_request* request, char* text,
                                           size_t* len, slipway_failure* error) {
  if (engine == nullptr || request == nullptr) return Report(SLIPWAY_E_INVALID, "engine or request is null", error);
  return Guarded(error, [&] {
    slipway::RequestSpec spec;
    slipway::KindLookup kinds = engine->node->Kinds();
    const char* why = "";
    const slipway_status status = slipway::ToSpec(*engine, *request, 0, kinds, &spec, &why);
    if (status != SLIPWAY_OK) return Report(status, why, error);
    slipway::Result<std::string> json = engine->node->ExplainJson(spec);
    if (!json.ok()) return Report(json.status(), error);
    return slipway::PutText(*json, text, len);
  });
}

}  // extern "C"
