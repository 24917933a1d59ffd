#include "tests/store/ways.h"

#include <ostream>
#include <span>

namespace slipway {
namespace {

using Json = nlohmann::json;

Status Of(const BatchStatus& batch) { return batch.status(); }
Status Of(const Status& status) { return status; }
template <typename T>
Status Of(const Result<T>& result) {
  return result.ok() ? Status() : result.status();
}

}  // namespace

// The source as each call takes it.
struct WayArguments {
  WayArguments(const Store& s, const std::string& k, std::byte* source, size_t bytes)
      : store(s),
        key(k + "/0"),
        all(source, bytes),
        parts{all.first(101), all.subspan(101)},
        keys{key, k + "/1"},
        values{all.first(bytes / 2), all.subspan(bytes / 2)},
        addrs{values[0].data(), values[1].data()},
        sizes{bytes / 2, bytes / 2},
        all_addrs{{values[0].data(), values[0].data() + 77}, {values[1].data(), values[1].data() + 33}},
        all_sizes{{77, bytes / 2 - 77}, {33, bytes / 2 - 33}},
        shape{2, static_cast<int64_t>(bytes / 8)},
        half_shape{2, static_cast<int64_t>(bytes / 16)},
        tensor{source, shape, nullptr, 2, SLIPWAY_DTYPE_F32},
        tensors{{source, half_shape, nullptr, 2, SLIPWAY_DTYPE_F32},
                {source + bytes / 2, half_shape, nullptr, 2, SLIPWAY_DTYPE_F32}} {}
  WayArguments(const WayArguments&) = delete;
  WayArguments& operator=(const WayArguments&) = delete;

  const Store& store;
  const std::string key;
  const ConstBytes all;
  const std::vector<ConstBytes> parts;
  const std::vector<std::string> keys;
  const std::vector<ConstBytes> values;
  const std::vector<const void*> addrs;
  const std::vector<uint64_t> sizes;
  const std::vector<std::vector<const void*>> all_addrs;
  const std::vector<std::vector<uint64_t>> all_sizes;
  const int64_t shape[2], half_shape[2];
  const slipway_tensor tensor;
  const std::vector<slipway_tensor> tensors;
};

const std::vector<Way>& AllWays() {
  using A = const WayArguments&;
  static const std::vector<Way> ways = {
      {"put", 1, 1, false, [](A a) { return Of(a.store.Put(a.key, a.all)); }},
      {"put_parts", 1, 2, false, [](A a) { return Of(a.store.PutParts(a.key, a.parts)); }},
      {"put_batch", 2, 2, false, [](A a) { return Of(a.store.PutBatch(a.keys, a.values)); }},
      {"put_tensor", 1, 1, true, [](A a) { return Of(a.store.PutTensor(a.key, a.tensor)); }},
      {"batch_put_tensor", 2, 2, true, [](A a) { return Of(a.store.BatchPutTensor(a.keys, a.tensors)); }},
      {"upsert", 1, 1, false, [](A a) { return Of(a.store.Upsert(a.key, a.all)); }},
      {"upsert_parts", 1, 2, false, [](A a) { return Of(a.store.UpsertParts(a.key, a.parts)); }},
      {"upsert_batch", 2, 2, false, [](A a) { return Of(a.store.UpsertBatch(a.keys, a.values)); }},
      {"upsert_tensor", 1, 1, true, [](A a) { return Of(a.store.UpsertTensor(a.key, a.tensor)); }},
      {"batch_upsert_tensor", 2, 2, true, [](A a) { return Of(a.store.BatchUpsertTensor(a.keys, a.tensors)); }},
      {"put_from", 1, 1, false, [](A a) { return Of(a.store.PutFrom(a.key, a.all.data(), a.all.size())); }},
      {"batch_put_from", 2, 2, false, [](A a) { return Of(a.store.BatchPutFrom(a.keys, a.addrs, a.sizes)); }},
      {"batch_put_from_multi_buffers", 2, 4, false,
       [](A a) { return Of(a.store.BatchPutFromMultiBuffers(a.keys, a.all_addrs, a.all_sizes)); }},
      {"upsert_from", 1, 1, false, [](A a) { return Of(a.store.UpsertFrom(a.key, a.all.data(), a.all.size())); }},
      {"batch_upsert_from", 2, 2, false, [](A a) { return Of(a.store.BatchUpsertFrom(a.keys, a.addrs, a.sizes)); }},
      {"batch_upsert_from_multi_buffers", 2, 4, false,
       [](A a) { return Of(a.store.BatchUpsertFromMultiBuffers(a.keys, a.all_addrs, a.all_sizes)); }}};
  return ways;
}

Status Write(const Way& way, const Store& store, const std::string& key, std::byte* source, size_t bytes) {
  return way.write(WayArguments(store, key, source, bytes));
}

CopyCounts CountsOf(const Store& store) {
  const Result<std::string> text = internal::ReadText(
      [&](char* out, size_t* len) { return slipway_engine_describe(slipway_store_engine(store.get()), out, len); });
  const Json c = Json::parse(*text).at("counters");
  return {
      c.at("store_host_copies"), c.at("store_host_copied_bytes"), c.at("host_copies"),   c.at("staged_provider_copies"),
      c.at("staged_bytes"),      c.at("direct_provider_copies"),  c.at("slices_direct"), c.at("slices_staged")};
}

CopyCounts operator-(const CopyCounts& a, const CopyCounts& b) {
  return {a.store - b.store,
          a.store_bytes - b.store_bytes,
          a.host - b.host,
          a.provider - b.provider,
          a.staged_bytes - b.staged_bytes,
          a.direct - b.direct,
          a.slices_direct - b.slices_direct,
          a.slices_staged - b.slices_staged};
}

Json ToJson(const CopyCounts& counts) {
  return {{"store_copies", counts.store},
          {"store_bytes", counts.store_bytes},
          {"host_copies", counts.host},
          {"staged_provider_copies", counts.provider},
          {"staged_bytes", counts.staged_bytes},
          {"direct_provider_copies", counts.direct},
          {"slices_direct", counts.slices_direct},
          {"slices_staged", counts.slices_staged}};
}

std::ostream& operator<<(std::ostream& out, const CopyCounts& counts) { return out << ToJson(counts).dump(); }

std::string WrittenBy(const Way& way, const Store& store, const std::string& key, size_t bytes) {
  std::string all;
  for (size_t i = 0; i < way.values; ++i) {
    const Result<View> view = store.Get(key + "/" + std::to_string(i));
    const size_t share = bytes / way.values;
    if (!view.ok() || view->size() < share) return {};
    all += view->text().substr(view->size() - share);
  }
  return all;
}

uint64_t HeaderBytesOf(const Way& way, const Store& store, const std::string& key, size_t bytes) {
  uint64_t all = 0;
  for (size_t i = 0; i < way.values; ++i) all += *store.Size(key + "/" + std::to_string(i));
  return all - bytes;
}

}  // namespace slipway
