#include "core/store/record.h"

#include <cstring>
#include <new>

namespace slipway {

Record* Record::Make(std::string_view key, uint32_t replicas, uint64_t checksums) {
  const size_t bytes = sizeof(Record) + replicas * sizeof(Replica) + checksums * sizeof(uint64_t) + key.size();
  void* memory = ::operator new(bytes);
  auto* record = new (memory) Record();
  record->replica_count = static_cast<uint8_t>(replicas);
  record->checksum_count = static_cast<uint32_t>(checksums);
  record->key_length = static_cast<uint32_t>(key.size());
  for (uint32_t i = 0; i < replicas; ++i) new (record->replicas().data() + i) Replica();
  for (uint64_t i = 0; i < checksums; ++i) new (record->checksums().data() + i) uint64_t(0);
  std::memcpy(const_cast<char*>(record->key().data()), key.data(), key.size());
  return record;
}

void Record::Destroy(Record* record) {
  record->~Record();
  ::operator delete(record);
}

}  // namespace slipway
