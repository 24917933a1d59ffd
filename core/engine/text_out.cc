#include "core/engine/text_out.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

namespace slipway {

slipway_status Report(slipway_status code, std::string_view message, slipway_failure* error) {
  if (error == nullptr) return code;
  if (SLIPWAY_HAS(error, slipway_failure, code)) error->code = code;
  const size_t header = offsetof(slipway_failure, message);
  if (error->struct_size <= header) return code;
  size_t room = std::min<size_t>(error->struct_size, sizeof *error) - header;
  room = std::min(room - 1, message.size());
  // Not in the middle of a UTF-8 sequence.
  while (room < message.size() && room > 0 && (static_cast<unsigned char>(message[room]) & 0xc0) == 0x80) --room;
  std::memcpy(error->message, message.data(), room);
  error->message[room] = '\0';
  return code;
}

slipway_status Report(const Status& status, slipway_failure* error) {
  return status.ok() ? SLIPWAY_OK : Report(status.code(), status.message(), error);
}

slipway_status PutText(std::string_view from, char* text, size_t* len) {
  if (len == nullptr) return SLIPWAY_E_INVALID;
  if (text == nullptr || *len < from.size() + 1) {
    *len = from.size() + 1;
    return SLIPWAY_E_BUFFER_TOO_SMALL;
  }
  std::memcpy(text, from.data(), from.size());
  text[from.size()] = '\0';
  *len = from.size();
  return SLIPWAY_OK;
}

slipway_status ReportException(slipway_failure* error) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return Report(SLIPWAY_E_NOMEM, "out of memory", error);
  } catch (const std::exception& e) {
    return Report(SLIPWAY_E_INTERNAL, e.what(), error);
  } catch (...) {
    return Report(SLIPWAY_E_INTERNAL, "an exception of unknown type", error);
  }
}

}  // namespace slipway
