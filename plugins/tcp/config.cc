#include "plugins/tcp/config.h"

#include <nlohmann/json.hpp>

namespace slipway::tcp {
namespace {

using Json = nlohmann::json;

// One pass over the object: every key is asked for once, and what was never asked for is unknown.
class Reader {
 public:
  Reader(const Json& object, sdk::Error& err) : object_(object), err_(err) {}

  template <typename T>
  void Integer(const char* key, uint64_t min, uint64_t max, T* out) {
    const Json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_number_integer()) return Wrong(key, *v, "an integer");
    if ((v->is_number_unsigned() ? v->get<uint64_t>() > max || v->get<uint64_t>() < min : true)) {
      return Refuse("/" + std::string(key), "found " + v->dump() + ", expected an integer from " + std::to_string(min) +
                                                " to " + std::to_string(max));
    }
    *out = static_cast<T>(v->get<uint64_t>());
  }
  void Boolean(const char* key, bool* out) {
    const Json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_boolean()) return Wrong(key, *v, "true or false");
    *out = v->get<bool>();
  }
  void String(const char* key, size_t max_bytes, std::string* out) {
    const Json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_string()) return Wrong(key, *v, "a string");
    const auto& s = v->get_ref<const std::string&>();
    if (s.empty() || s.size() > max_bytes) {
      return Refuse("/" + std::string(key), "expected a string of 1 to " + std::to_string(max_bytes) + " bytes");
    }
    *out = s;
  }
  void Strings(const char* key, size_t min, std::vector<std::string>* out) {
    const Json* v = Find(key);
    if (v == nullptr) return;
    if (!v->is_array()) return Wrong(key, *v, "an array of strings");
    if (v->size() < min || v->size() > 16) {
      return Refuse("/" + std::string(key), "expected " + std::to_string(min) + " to 16 entries");
    }
    std::vector<std::string> items;
    for (size_t i = 0; i < v->size(); ++i) {
      const std::string where = std::string(key) + "/" + std::to_string(i);
      if (!(*v)[i].is_string()) return Wrong(where.c_str(), (*v)[i], "a string");
      items.push_back((*v)[i].get<std::string>());
      if (items.back().empty() || items.back().size() > 255) {
        return Refuse("/" + where, "expected a string of 1 to 255 bytes");
      }
    }
    *out = std::move(items);
  }
  void NothingElse() {
    if (seen_ == object_.size()) return;
    for (const auto& [key, value] : object_.items()) {
      bool known = false;
      for (const char* k : known_) known = known || key == k;
      if (!known) return Refuse("/" + Escaped(key), "unknown key: remove it, or see the schema for what there is");
    }
  }
  void Refuse(const std::string& where, const std::string& message) {
    if (status_ != SLIPWAY_OK) return;
    status_ = err_.Fail(SLIPWAY_E_CONFIG, message, where);
  }
  slipway_status status() const { return status_; }

 private:
  const Json* Find(const char* key) {
    known_.push_back(key);
    const auto it = object_.find(key);
    if (it == object_.end()) return nullptr;
    ++seen_;
    return &*it;
  }
  void Wrong(const char* key, const Json& v, const char* expected) {
    Refuse("/" + std::string(key), "found " + std::string(v.type_name()) + ", expected " + expected);
  }
  // RFC 6901.
  static std::string Escaped(const std::string& key) {
    std::string out;
    for (const char c : key) {
      if (c == '~') {
        out += "~0";
      } else if (c == '/') {
        out += "~1";
      } else {
        out += c;
      }
    }
    return out;
  }

  const Json& object_;
  sdk::Error& err_;
  std::vector<const char*> known_;
  size_t seen_ = 0;
  slipway_status status_ = SLIPWAY_OK;
};

}  // namespace

slipway_status ParseConfig(std::string_view json, Config* out, sdk::Error& err) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return err.Fail(SLIPWAY_E_CONFIG, "the configuration is not JSON", "");
  if (!root.is_object()) {
    return err.Fail(SLIPWAY_E_CONFIG, std::string("found ") + root.type_name() + ", expected an object", "");
  }
  Config c;
  Reader r(root, err);
  r.Strings("listen", 1, &c.listen);
  r.Strings("advertise", 0, &c.advertise);
  r.Integer("peer_timeout_ms", 100, 3600000, &c.peer_timeout_ms);
  r.Integer("connect_timeout_ms", 10, 600000, &c.connect_timeout_ms);
  r.Integer("handshake_timeout_ms", 10, 600000, &c.handshake_timeout_ms);
  r.Integer("keepalive_s", 1, 32767, &c.keepalive_s);
  r.Integer("max_connections", 1, 65536, &c.max_connections);
  r.Integer("max_inflight", 1, 65536, &c.max_inflight);
  r.Integer("max_requests_per_connection", 1, 65536, &c.max_requests_per_connection);
  r.Integer("max_slice_bytes", 4096, uint64_t{1} << 30, &c.max_slice_bytes);
  r.Integer("preferred_slice_bytes", 4096, uint64_t{1} << 30, &c.preferred_slice_bytes);
  r.Integer("lanes", 1, 16, &c.lanes);
  r.Integer("io_threads", 1, 64, &c.io_threads);
  r.String("congestion", 15, &c.congestion);
  r.Integer("socket_buffer_bytes", 0, uint64_t{1} << 30, &c.socket_buffer_bytes);
  r.Boolean("nodelay", &c.nodelay);
  r.Integer("busy_poll_us", 0, 1000000, &c.busy_poll_us);
  r.Boolean("poll_receives", &c.poll_receives);
  r.Integer("inline_send_bytes", 0, uint64_t{64} << 20, &c.inline_send_bytes);
  r.Integer("splice_bytes", 0, uint64_t{1} << 30, &c.splice_bytes);
  r.NothingElse();
  if (r.status() == SLIPWAY_OK && c.preferred_slice_bytes > c.max_slice_bytes) {
    if (root.contains("preferred_slice_bytes")) {
      r.Refuse("/preferred_slice_bytes", "larger than max_slice_bytes: lower it or raise max_slice_bytes");
    } else {
      c.preferred_slice_bytes = c.max_slice_bytes;
    }
  }
  if (r.status() == SLIPWAY_OK) *out = std::move(c);
  return r.status();
}

}  // namespace slipway::tcp
