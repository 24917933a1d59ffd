#include "plugins/cuda/lane.h"

#include <algorithm>
#include <utility>

namespace slipway::cuda {
namespace {

// See README.md for the measurements that these come from.
// Shorter pieces are a kernel's, longer ones the copy engines', which cost a busy device nothing. The engines begin
// each piece anew, which a kernel's writes to the host gain more by than its reads from there do.
constexpr uint64_t kKernelBelow = uint64_t{32} << 10, kKernelBelowDown = uint64_t{128} << 10;
// From here on a copy of its own costs nothing that shows.
constexpr uint64_t kLongBytes = uint64_t{4} << 20;
// So few short pieces are not worth a kernel.
constexpr uint32_t kKernelPieces = 4;
// What a warp should have at least, so that sharing a piece pays.
constexpr uint64_t kShareBytes = 8192;
// Four entries of a list of equal pieces are two sectors, and one request.
constexpr uint32_t kLogRunMax = 2;

// The driver takes half a microsecond a piece to prepare a batch, and the engines begin when it is done: batches begin
// small.
constexpr uint32_t kFirstBatch = 16, kBatchPieces = 128;

}  // namespace

Lane::Lane(const Driver& driver, Device& device, Direction direction, const Config& config, Ring& ring,
           Counters& counters, CudaQueue& queue)
    : driver_(driver),
      device_(device),
      direction_(direction),
      config_(config),
      ring_(ring),
      counters_(counters),
      queue_(queue) {}

// Flights that have not landed (their copies never ended) keep their stream and events, which the driver still uses.
Lane::~Lane() {
  if (streams_.empty()) return;
  const ThreadGuard guard(driver_, context_);
  if (first_ != nullptr) {
    for (std::unique_ptr<Flight>& f : flights_) f.release();
    return;
  }
  for (std::unique_ptr<Flight>& f : flights_) driver_.EventDestroy(f->event);
  if (flag_.word != nullptr) ring_.GiveFlag(flag_);
  if (ahead_ != 0) driver_.MemFree(ahead_);
  for (const Stream stream : streams_) driver_.StreamDestroy(stream);
}

slipway_status Lane::Open(sdk::Error& err) {
  if (const slipway_status s = device_.Use(context_, err); s != SLIPWAY_OK) return s;
  const ThreadGuard guard(driver_, context_);
  // The most urgent priority: where a kernel of the application's fills the device, ours, which is small, gets the
  // first places that become free.
  const size_t count = direction_ == Direction::kUp ? kTurns + 1 : kTurns;
  streams_.reserve(count);
  while (streams_.size() < count) {
    Stream stream = nullptr;
    const Result r = driver_.StreamCreateWithPriority(&stream, kStreamNonBlocking, device_.stream_priority());
    if (r != kSuccess) return driver_.Fail(err, r, "cuStreamCreateWithPriority");
    streams_.push_back(stream);
  }
  if (driver_.StreamWriteValue32 != nullptr) flag_ = ring_.TakeFlag();
  const Method method = config_.method;
  batches_ = driver_.has_batch_copy() && method != Method::kSingle;
  const bool kernel = device_.kernel() != nullptr && (method == Method::kAuto || method == Method::kKernel);
  const uint64_t below = direction_ == Direction::kDown ? kKernelBelowDown : kKernelBelow;
  if (kernel) kernel_below_ = method == Method::kKernel || !batches_ ? kLongBytes : below;
  if (method == Method::kKernel || !batches_) misaligned_bytes_ = UINT32_MAX;
  return SLIPWAY_OK;
}

// ---- issuing -----------------------------------------------------------------------------------------------------

Result Lane::CopyOneByOne(const KernelPiece* pieces, uint32_t count, Stream stream) {
  for (uint32_t i = 0; i < count; ++i) {
    const Result r = driver_.MemcpyAsync(pieces[i].dst, pieces[i].src, pieces[i].bytes, stream);
    if (r != kSuccess) return r;
  }
  Count(counters_.single_copies, count);
  return kSuccess;
}

Result Lane::CopyBatched(const KernelPiece* pieces, uint32_t count, Stream stream) {
  DeviceAddress dst[kBatchPieces], src[kBatchPieces];
  size_t bytes[kBatchPieces];
  MemcpyAttributes attributes{};
  attributes.source_access_order = kSourceOrderStream;
  size_t start = 0, failed = 0;
  uint32_t most = kFirstBatch;
  for (uint32_t done = 0; done < count;) {
    const uint32_t n = std::min(most, count - done);
    most = std::min(2 * most, kBatchPieces);
    for (uint32_t i = 0; i < n; ++i) {
      dst[i] = pieces[done + i].dst;
      src[i] = pieces[done + i].src;
      bytes[i] = pieces[done + i].bytes;
    }
    const Result r = driver_.MemcpyBatchAsync2 != nullptr
                         ? driver_.MemcpyBatchAsync2(dst, src, bytes, n, &attributes, &start, 1, stream)
                         : driver_.MemcpyBatchAsync(dst, src, bytes, n, &attributes, &start, 1, &failed, stream);
    if (r != kSuccess) return r;
    done += n;
    Count(counters_.batch_calls);
  }
  Count(counters_.batch_copies, count);
  return kSuccess;
}

Result Lane::CopyByKernel(const PieceList& list, uint32_t count, uint64_t bytes, Stream stream) {
  const uint32_t blocks_max = direction_ == Direction::kUp ? config_.kernel_blocks_up : config_.kernel_blocks_down;
  const uint32_t warps_max = blocks_max * kWarpsPerBlock;
  // Few long pieces are shared among warps.
  uint32_t log_shares = 0;
  while ((count << log_shares) < warps_max && (bytes / count >> log_shares) > kShareBytes) ++log_shares;
  const uint32_t warps = std::min(count << log_shares, warps_max);
  const uint32_t blocks = (warps + kWarpsPerBlock - 1) / kWarpsPerBlock;
  DeviceAddress pieces = list.address;
  void* params[] = {&pieces, &count, &log_shares};
  return Launch(device_.kernel(), blocks, params, count, stream);
}

Result Lane::CopyEqual(const Flight& flight, Stream stream) {
  uint32_t count = flight.count, bytes = flight.equal_bytes;
  const EqualPiece* const listed = flight.block->equal();
  if (count < kKernelPieces) {
    for (uint32_t i = 0; i < count; ++i) {
      const Result r = driver_.MemcpyAsync(listed[i].dst, listed[i].src, bytes, stream);
      if (r != kSuccess) return r;
    }
    Count(counters_.single_copies, count);
    return kSuccess;
  }
  const uint32_t blocks_max = direction_ == Direction::kUp ? config_.kernel_blocks_up : config_.kernel_blocks_down;
  const uint32_t warps_max = blocks_max * kWarpsPerBlock;
  uint32_t log_run = 0;
  while (log_run < kLogRunMax && (count >> log_run) > warps_max) ++log_run;
  const uint32_t runs = (count + (1u << log_run) - 1) >> log_run;
  const uint32_t blocks = std::min((runs + kWarpsPerBlock - 1) / kWarpsPerBlock, blocks_max);
  DeviceAddress pieces = flight.block->address;
  void* params[] = {&pieces, &count, &bytes, &log_run};
  return Launch(device_.equal_kernel(), blocks, params, count, stream);
}

Result Lane::Launch(Function kernel, uint32_t blocks, void** params, uint32_t count, Stream stream) {
  const Result r = driver_.LaunchKernel(kernel, blocks, 1, 1, kKernelThreads, 1, 1, 0, stream, params, nullptr);
  if (r != kSuccess) return r;
  Count(counters_.kernel_copies, count);
  Count(counters_.kernel_launches);
  return kSuccess;
}

Result Lane::CopyByEngines(const KernelPiece* pieces, uint32_t count, Stream stream) {
  return batches_ && count > 1 ? CopyBatched(pieces, count, stream) : CopyOneByOne(pieces, count, stream);
}

// Those for the kernel first, long ones last; others between them.
Result Lane::Issue(PieceList& list, Stream stream) {
  KernelPiece* const pieces = list.pieces;
  uint32_t small = 0, end = list.count;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < end;) {
    if (IsKernels(pieces[i])) {
      bytes += pieces[i].bytes;
      if (small != i) std::swap(pieces[small], pieces[i]);
      ++small;
      ++i;
    } else if (pieces[i].bytes >= kLongBytes) {
      std::swap(pieces[i], pieces[--end]);
    } else {
      ++i;
    }
  }
  if (small < kKernelPieces || list.address == 0) small = 0;
  Result r = kSuccess;
  if (end < list.count) r = CopyOneByOne(pieces + end, list.count - end, stream);
  if (r == kSuccess && small < end) r = CopyByEngines(pieces + small, end - small, stream);
  if (r == kSuccess && small > 0) r = CopyByKernel(list, small, bytes, stream);
  return r;
}

bool Lane::Launch(Flight& flight, PieceList& list) {
  flight.commands += 2;  // a kernel, and the event
  const bool idle = commands_.fetch_add(flight.commands, std::memory_order_relaxed) == 0;
  // Chunks keep to one stream: on two they would share the link and land together, late. What comes alone keeps to the
  // stream before it, as a device takes more than a microsecond to turn to another.
  const bool by_turns = flight.chunk == nullptr && !flight.ahead && !flight.from_ahead;
  const uint32_t turn = by_turns ? turn_.fetch_add(idle ? 0 : 1, std::memory_order_relaxed) % kTurns : 0;
  const Stream stream = streams_[flight.ahead || flight.from_ahead ? kTurns : turn];
  flight.result = flight.equal_bytes != 0 ? CopyEqual(flight, stream) : Issue(list, stream);
  // To be told by an event that it is complete takes longer than a microsecond, which only what is short and alone
  // suffers from.
  const bool waited_for = flight.chunk != nullptr ? flight.chunk->caller_copies : flight.block == nullptr;
  if (idle && waited_for && flag_.word != nullptr && flight.result == kSuccess) SetFlag(flight, stream);
  const Result recorded = driver_.EventRecord(flight.event, stream);
  if (recorded == kSuccess) return true;
  // Nothing tells when what was issued is done, so it is waited for; where the context has failed that is at once.
  driver_.StreamSynchronize(stream);
  if (flight.result == kSuccess) flight.result = recorded;
  commands_.fetch_sub(flight.commands, std::memory_order_relaxed);
  return false;
}

void Lane::SetFlag(Flight& flight, Stream stream) {
  uint32_t value = flags_set_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (value == 0) value = flags_set_.fetch_add(1, std::memory_order_relaxed) + 1;
  // Where the device cannot, the event tells.
  if (driver_.StreamWriteValue32(stream, flag_.address, value, 0) == kSuccess) flight.flag = value;
}

Result Lane::Look(const Flight& flight) {
  if (flight.flag != 0) {
    if (flag_.word->load(std::memory_order_acquire) == flight.flag) return kSuccess;
    if (++looks_ % kLooksAtFlag != 0) return kErrorNotReady;
  }
  return driver_.EventQuery(flight.event);
}

// ---- the group ---------------------------------------------------------------------------------------------------

void Lane::BeginGroup(Flight& flight) {
  group_ = &flight;
  group_pieces_ = flight.few;
  const bool idle = commands_.load(std::memory_order_relaxed) == 0;
  group_limit_ = idle ? kFirstGroup : std::min(2 * std::max(group_limit_, kFirstGroup), Block::kPieces);
}

// Without a block the group is over, and small ones follow.
void Lane::MoveToBlock() {
  Block* const block = ring_.TakeBlock();
  if (block == nullptr) {
    group_limit_ = group_->count;
    return;
  }
  std::copy_n(group_->few, group_->count, block->pieces);
  group_->block = block;
  group_pieces_ = block->pieces;
}

DeviceAddress Lane::AheadMemory() {
  if (config_.ahead_bytes == 0 || std::exchange(ahead_asked_, true)) return ahead_;
  if (driver_.MemAlloc(&ahead_, config_.ahead_bytes) != kSuccess) ahead_ = 0;
  return ahead_;
}

Block* Lane::TakeBlockForEqual() {
  Block* const block = ring_.TakeBlock();
  if (block == nullptr || block->address != 0) return block;
  ring_.GiveBlock(block);
  return nullptr;
}

void Lane::MakeEqual(Block& block, uint32_t bytes) {
  group_->block = &block;
  group_->equal_bytes = bytes;
  if (group_limit_ == Block::kPieces) group_limit_ = Block::kEqualPieces;
}

bool Lane::LaunchGroup() {
  Flight& group = *group_;
  PieceList list{group.pieces(), group.block != nullptr ? group.block->address : 0, group.count};
  group_ = nullptr;
  return Launch(group, list);
}

// ---- flights -----------------------------------------------------------------------------------------------------

Flight* Lane::TakeFlight(bool always) {
  Flight* flight = free_;
  if (flight != nullptr) {
    free_ = flight->next;
  } else if (flights_.size() < kFlightsMax || always) {
    auto made = std::make_unique<Flight>();
    flights_.reserve(flights_.size() + 1);
    if (driver_.EventCreate(&made->event, kEventDisableTiming) != kSuccess) return nullptr;
    made->lane = this;
    flight = made.get();
    flights_.push_back(std::move(made));
  } else {
    return nullptr;
  }
  flight->next = nullptr;
  flight->result = kSuccess;
  flight->chunk = nullptr;
  flight->op = nullptr;
  flight->block = nullptr;
  flight->equal_bytes = flight->flag = 0;
  flight->ahead = flight->from_ahead = false;
  flight->count = flight->commands = flight->told = 0;
  return flight;
}

void Lane::GiveFlight(Flight* flight) {
  if (flight->block != nullptr) ring_.GiveBlock(flight->block);
  flight->block = nullptr;
  flight->next = free_;
  free_ = flight;
}

void Lane::Push(Flight* flight) {
  flight->next = nullptr;
  (last_ != nullptr ? last_->next : first_) = flight;
  last_ = flight;
}

Flight* Lane::PopFront() {
  Flight* const flight = first_;
  first_ = flight->next;
  if (first_ == nullptr) last_ = nullptr;
  commands_.fetch_sub(flight->commands, std::memory_order_relaxed);
  return flight;
}

}  // namespace slipway::cuda
