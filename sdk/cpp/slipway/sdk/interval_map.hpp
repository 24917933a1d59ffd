// Which registrations cover an address, and how far: a balanced tree of ranges that may nest, overlap, touch and
// repeat.
//
// A B+ tree (Comer, "The Ubiquitous B-Tree", 1979) ordered by start, in which every block knows the largest end below
// each of its children, separately for every combination of access rights. Each operation is O(log n). With a million
// ranges a lookup waits for memory once: what it reads above the leaves stays in the processor's caches, the lines of
// the leaf are fetched together, and the answer stands there. The nodes are not touched.
#ifndef SLIPWAY_SDK_INTERVAL_MAP_HPP_
#define SLIPWAY_SDK_INTERVAL_MAP_HPP_

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "slipway/abi/memory.h"
#include "slipway/sdk/block_pool.hpp"
#include "slipway/sdk/interval_blocks.hpp"

namespace slipway::sdk {

// One range; derive from it or embed it. Must not move or die while it is in an index, and is in one at most.
class alignas(detail::kAccessMasks) RegistrationNode {
 public:
  RegistrationNode() = default;
  RegistrationNode(const RegistrationNode&) = delete;
  RegistrationNode& operator=(const RegistrationNode&) = delete;

  // As given to Insert().
  uint64_t start() const { return start_; }
  uint64_t length() const { return end_ - start_; }
  uint64_t end() const { return end_; }  // exclusive
  uint32_t access() const { return access_; }
  bool indexed() const { return indexed_; }

  // Whether [addr, addr + length) lies within, and every bit of `access` is granted.
  bool Covers(uint64_t addr, uint64_t length, uint32_t access) const {
    return addr >= start_ && addr <= end_ && length <= end_ - addr && (access_ & access) == access;
  }

 private:
  friend class RegistrationIndex;

  uint64_t start_ = 0, end_ = 0;
  uint32_t access_ = 0;
  bool indexed_ = false;
};

// Not thread-safe: guard it with a mutex or a shared mutex (const operations may run together). The nodes are the
// caller's; the blocks of the tree, all but a single one, are freed when the last range leaves it.
class RegistrationIndex {
 public:
  using Node = RegistrationNode;
  struct Prefix {
    Node* node = nullptr;  // NULL: nothing covers the first byte
    uint64_t bytes = 0;    // from addr, at most the length asked about
  };
  struct Next {
    bool found = false;
    uint64_t start = 0;
  };

  RegistrationIndex() = default;
  RegistrationIndex(const RegistrationIndex&) = delete;
  RegistrationIndex& operator=(const RegistrationIndex&) = delete;

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  Node* any() const;  // some node, NULL when empty: for taking an index apart

  // The caller makes sure that length > 0, start + length does not overflow, access has known bits only, and that
  // `node` is in no index. Throws std::bad_alloc, and then nothing has changed.
  void Insert(Node& node, uint64_t start, uint64_t length, uint32_t access);
  // `node` is in this index; it may be inserted again or freed afterwards, and keeps its range.
  void Erase(Node& node);

  // How much of [addr, addr + length) from its beginning lies in ONE range that grants all of `access`, and which. Of
  // several, one that reaches as far as any.
  Prefix LongestPrefix(uint64_t addr, uint64_t length, uint32_t access) const;
  // The smallest start greater than `addr` of a range that grants all of `access`: where a gap ends.
  Next NextStart(uint64_t addr, uint32_t access) const;

  // Calls visit(const Node&) for every range, by ascending start.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    if (root_ != nullptr) VisitBelow(root_, height_, visit);
  }

 private:
  using Key = detail::IndexKey;
  using Leaf = detail::IndexLeaf;
  using Inner = detail::IndexInner;

  // A block that was split or merged changes eight times before its parent must be split: 2^64 changes are not enough.
  static constexpr uint32_t kMaxHeight = 24;

  static const Inner& AsInner(const void* block) { return *static_cast<const Inner*>(block); }
  static const Leaf& AsLeaf(const void* block) { return *static_cast<const Leaf*>(block); }
  static Node* ToNode(uintptr_t node) { return reinterpret_cast<Node*>(node); }
  // `level` is the block's: 0 is a leaf's.
  static uint64_t MaxEnd(const void* block, uint32_t level, uint32_t access) {
    return level == 0 ? AsLeaf(block).MaxEnd(access) : AsInner(block).MaxEnd(access);
  }
  static bool Full(const void* block, uint32_t level) {
    return level == 0 ? AsLeaf(block).node[Leaf::kCapacity - 1] != 0 : AsInner(block).used == Inner::kCapacity;
  }
  // The child where they stand: behind everything that starts at or before addr, or is at most `key`.
  static uint32_t ChildFor(const Inner& inner, uint64_t addr) { return detail::AtMost(inner.start, addr) - 1; }
  static uint32_t ChildFor(const Inner& inner, Key key) { return detail::AtMost(inner, key) - 1; }
  template <typename T>
  static void Prefetch(const T& lines) {
    for (size_t i = 0; i < sizeof(T); i += 64) __builtin_prefetch(reinterpret_cast<const char*>(&lines) + i);
  }

  Inner* TakeInner() {
    Inner* const inner = inners_.Take();
    inner->rest = rests_.Take();
    return inner;
  }
  void Give(Inner* inner) {
    rests_.Give(inner->rest);
    inners_.Give(inner);
  }
  void Give(Leaf* leaf) { leaves_.Give(leaf); }

  void AddChild(Inner& inner, uint32_t i, Key first, void* child, uint32_t level);
  void SplitChild(Inner& inner, uint32_t i, uint32_t level, Key added);
  template <typename Block>
  void RemoveChild(Inner& inner, uint32_t i);
  template <typename Block>
  bool MergeChild(Inner& inner, uint32_t i);
  static bool LowerMaxEnd(Inner& inner, uint32_t i, uint32_t level, const Node& gone);
  Prefix Farthest(uint64_t addr, uint64_t length, uint32_t access) const;

  template <typename Visit>
  static void VisitBelow(const void* block, uint32_t level, Visit& visit) {
    if (level > 0) {
      for (uint32_t i = 0; i < AsInner(block).used; ++i) VisitBelow(AsInner(block).child[i], level - 1, visit);
      return;
    }
    for (uint32_t i = 0; i < AsLeaf(block).count(); ++i) visit(*ToNode(AsLeaf(block).NodeAt(i)));
  }

  void* root_ = nullptr;  // at level height_; NULL, or a leaf, when empty
  uint32_t height_ = 0;
  size_t size_ = 0;
  BlockPool<Leaf> leaves_;
  BlockPool<Inner> inners_;
  BlockPool<Inner::Rest> rests_;
};

// ---- looking up
// ------------------------------------------------------------------------------------------------------

inline RegistrationIndex::Node* RegistrationIndex::any() const {
  if (root_ == nullptr) return nullptr;
  const void* block = root_;
  for (uint32_t level = height_; level > 0; --level) block = AsInner(block).child[0];
  return ToNode(AsLeaf(block).NodeAt(0));
}

inline RegistrationIndex::Prefix RegistrationIndex::LongestPrefix(uint64_t addr, uint64_t length,
                                                                  uint32_t access) const {
  if (root_ == nullptr || addr == detail::kNoStart) return {};
  const void* block = root_;
  for (uint32_t level = height_; level > 0; --level) {
    // Which child it is depends on the starts: fetched together, the two cost one wait.
    const Inner& inner = AsInner(block);
    Prefetch(inner.start);
    Prefetch(inner.child);
    block = inner.child[ChildFor(inner, addr)];
  }
  const Leaf& leaf = AsLeaf(block);
  Prefetch(leaf);
  // Mostly the nearest start is that of the range; and where one reaches the end of what was asked, none does better.
  if (const uint32_t n = detail::AtMost(leaf.start, addr); n > 0) {
    const uint64_t end = leaf.EndAt(n - 1, access);
    if (end > addr && end - addr >= length) return {ToNode(leaf.NodeAt(n - 1)), length};
  }
  return Farthest(addr, length, access);
}

// Out of line, so that what it saves and restores costs the common case nothing.
__attribute__((noinline)) inline RegistrationIndex::Prefix RegistrationIndex::Farthest(uint64_t addr, uint64_t length,
                                                                                       uint32_t access) const {
  // The candidates (start <= addr) are all that is below the children before the way to the leaf of addr, and in the
  // leaf what is before its place.
  uint64_t best_end = addr;
  const void* best = nullptr;
  uint32_t best_level = 0;
  const void* block = root_;
  for (uint32_t level = height_; level > 0; --level) {
    const Inner& inner = AsInner(block);
    const uint32_t at = ChildFor(inner, addr);
    for (uint32_t i = 0; i < at; ++i) {
      if (inner.rest->max_end[access][i] <= best_end) continue;
      best_end = inner.rest->max_end[access][i];
      best = inner.child[i];
      best_level = level - 1;
    }
    block = inner.child[at];
  }
  const Leaf& leaf = AsLeaf(block);
  Node* node = nullptr;
  for (uint32_t i = 0; i < detail::AtMost(leaf.start, addr); ++i) {
    if (leaf.EndAt(i, access) <= best_end) continue;
    best_end = leaf.EndAt(i, access);
    node = ToNode(leaf.NodeAt(i));
  }
  if (best_end == addr) return {};
  if (node == nullptr) {
    for (; best_level > 0; --best_level) {
      const uint64_t* const ends = AsInner(best).rest->max_end[access];
      best = AsInner(best).child[std::find(ends, ends + Inner::kCapacity, best_end) - ends];
    }
    uint32_t i = 0;
    while (AsLeaf(best).EndAt(i, access) != best_end) ++i;
    node = ToNode(AsLeaf(best).NodeAt(i));
  }
  return {node, std::min(length, best_end - addr)};
}

inline RegistrationIndex::Next RegistrationIndex::NextStart(uint64_t addr, uint32_t access) const {
  if (root_ == nullptr || addr == detail::kNoStart) return {};
  // In the leaf of addr, or else below the first child behind the way to it, at the lowest level where there is one.
  const void* block = root_;
  const void* after = nullptr;
  uint32_t after_level = 0;
  for (uint32_t level = height_; level > 0; --level) {
    const Inner& inner = AsInner(block);
    const uint32_t at = ChildFor(inner, addr);
    uint32_t i = at + 1;
    while (i < inner.used && inner.rest->max_end[access][i] == 0) ++i;
    if (i < inner.used) {
      after = inner.child[i];
      after_level = level - 1;
    }
    block = inner.child[at];
  }
  const Leaf& leaf = AsLeaf(block);
  for (uint32_t i = detail::AtMost(leaf.start, addr); i < Leaf::kCapacity; ++i) {
    if (leaf.EndAt(i, access) != 0) return {true, leaf.start[i]};
  }
  if (after == nullptr) return {};
  uint32_t i = 0;
  for (; after_level > 0; --after_level, i = 0) {
    while (AsInner(after).rest->max_end[access][i] == 0) ++i;
    after = AsInner(after).child[i];
  }
  while (AsLeaf(after).EndAt(i, access) == 0) ++i;
  return {true, AsLeaf(after).start[i]};
}

// ---- changing
// --------------------------------------------------------------------------------------------------------

// `first`: the least key that may be below the child, which is at `level`. There is room.
inline void RegistrationIndex::AddChild(Inner& inner, uint32_t i, Key first, void* child, uint32_t level) {
  detail::OpenAt(inner.start, i);
  detail::OpenAt(inner.child, i);
  detail::OpenAt(inner.rest->node, i);
  inner.start[i] = first.start;
  inner.child[i] = child;
  inner.rest->node[i] = first.node;
  for (uint32_t q = 0; q < detail::kAccessMasks; ++q) {
    detail::OpenAt(inner.rest->max_end[q], i);
    inner.rest->max_end[q][i] = MaxEnd(child, level, q);
  }
  ++inner.used;
}

// Child i, at `level`, is full, and `inner` is not. `added` is about to come.
inline void RegistrationIndex::SplitChild(Inner& inner, uint32_t i, uint32_t level, Key added) {
  const auto split = [&](auto& left, auto* right) {
    // In two halves; but what grows at its end leaves full blocks behind.
    const bool grows_at_end = i + 1 == inner.used && detail::AtMost(left, added) == left.kCapacity;
    detail::MoveLast(left, grows_at_end ? 1 : left.kCapacity / 2, *right);
    for (uint32_t q = 0; q < detail::kAccessMasks; ++q) inner.rest->max_end[q][i] = left.MaxEnd(q);
    AddChild(inner, i + 1, {right->start[0], right->NodeAt(0)}, right, level);
  };
  if (level == 0) {
    split(*static_cast<Leaf*>(inner.child[i]), leaves_.Take());
  } else {
    split(*static_cast<Inner*>(inner.child[i]), TakeInner());
  }
}

inline void RegistrationIndex::Insert(Node& node, uint64_t start, uint64_t length, uint32_t access) {
  assert(!node.indexed() && length > 0 && start + length > start && (access & ~SLIPWAY_ACCESS_ALL) == 0);
  const bool grow = root_ != nullptr && Full(root_, height_);
  leaves_.Reserve(1);
  inners_.Reserve(height_ + grow);
  rests_.Reserve(height_ + grow);
  node.start_ = start;
  node.end_ = start + length;
  node.access_ = access;
  node.indexed_ = true;
  const Key key{start, reinterpret_cast<uintptr_t>(&node)};

  if (root_ == nullptr) root_ = leaves_.Take();
  if (grow) {
    assert(height_ < kMaxHeight);
    Inner* const above = TakeInner();
    AddChild(*above, 0, {0, 0}, root_, height_++);
    root_ = above;
  }
  // Full blocks are split on the way down, so that each has room for what splitting its child adds.
  void* block = root_;
  for (uint32_t level = height_; level-- > 0;) {
    Inner& inner = *static_cast<Inner*>(block);
    uint32_t i = ChildFor(inner, key);
    if (Full(inner.child[i], level)) {
      SplitChild(inner, i, level, key);
      i = ChildFor(inner, key);
    }
    for (uint32_t q = 0; q < detail::kAccessMasks; ++q) {
      uint64_t& max_end = inner.rest->max_end[q][i];
      if ((access & q) == q) max_end = std::max(max_end, node.end_);
    }
    block = inner.child[i];
  }
  Leaf& leaf = *static_cast<Leaf*>(block);
  const uint32_t i = detail::AtMost(leaf, key);
  detail::OpenAt(leaf.start, i);
  detail::OpenAt(leaf.end, i);
  detail::OpenAt(leaf.node, i);
  leaf.start[i] = start;
  leaf.end[i] = node.end_;
  leaf.node[i] = key.node | access;
  ++size_;
}

// Frees it too; nothing is below it.
template <typename Block>
void RegistrationIndex::RemoveChild(Inner& inner, uint32_t i) {
  Give(static_cast<Block*>(inner.child[i]));
  detail::CloseAt(inner.start, i, detail::kNoStart);
  detail::CloseAt(inner.child, i, static_cast<void*>(nullptr));
  detail::CloseAt(inner.rest->node, i, uintptr_t{0});
  for (uint32_t q = 0; q < detail::kAccessMasks; ++q) detail::CloseAt(inner.rest->max_end[q], i, uint64_t{0});
  --inner.used;
}

// Makes one of child i and a neighbour if there is room for more in it, and removes it if it is alone and empty. False:
// nothing has changed.
template <typename Block>
bool RegistrationIndex::MergeChild(Inner& inner, uint32_t i) {
  const auto child = [&](uint32_t j) -> Block& { return *static_cast<Block*>(inner.child[j]); };
  if (inner.used == 1) {
    if (child(0).count() > 0) return false;
    RemoveChild<Block>(inner, 0);
    return true;
  }
  const auto fits = [&](uint32_t j) {
    const uint32_t left = child(j).count(), right = child(j + 1).count();
    return left == 0 || right == 0 || left + right <= Block::kCapacity * 3 / 4;
  };
  if (i + 1 == inner.used || (i > 0 && fits(i - 1))) --i;
  if (!fits(i)) return false;
  detail::MoveLast(child(i + 1), child(i + 1).count(), child(i));
  if constexpr (std::is_same_v<Block, Inner>) {  // had it been empty, it would begin later than before
    child(i).start[0] = inner.start[i];
    child(i).rest->node[0] = inner.rest->node[i];
  }
  for (auto& max_end : inner.rest->max_end) max_end[i] = std::max(max_end[i], max_end[i + 1]);
  RemoveChild<Block>(inner, i + 1);
  return true;
}

// After `gone` left child i, which is at `level`. False: nothing has changed.
inline bool RegistrationIndex::LowerMaxEnd(Inner& inner, uint32_t i, uint32_t level, const Node& gone) {
  bool changed = false;
  for (uint32_t q = 0; q < detail::kAccessMasks; ++q) {
    uint64_t& max_end = inner.rest->max_end[q][i];
    if ((gone.access_ & q) != q || max_end != gone.end_) continue;
    max_end = MaxEnd(inner.child[i], level, q);
    changed |= max_end != gone.end_;
  }
  return changed;
}

inline void RegistrationIndex::Erase(Node& node) {
  assert(node.indexed());
  const Key key{node.start_, reinterpret_cast<uintptr_t>(&node)};
  struct Step {
    Inner* inner;
    uint32_t child;
  } way[kMaxHeight];  // from the leaf up
  void* block = root_;
  for (uint32_t level = height_; level-- > 0;) {
    Inner* const inner = static_cast<Inner*>(block);
    way[level] = {inner, ChildFor(*inner, key)};
    block = inner->child[way[level].child];
  }
  Leaf& leaf = *static_cast<Leaf*>(block);
  const uint32_t i = detail::AtMost(leaf, key) - 1;
  assert(i < Leaf::kCapacity && leaf.NodeAt(i) == key.node);  // else the node is another index's
  detail::CloseAt(leaf.start, i, detail::kNoStart);
  detail::CloseAt(leaf.end, i, uint64_t{0});
  detail::CloseAt(leaf.node, i, uintptr_t{0});
  node.indexed_ = false;
  --size_;

  bool lower = true, merge = true;
  for (uint32_t level = 0; level < height_ && (lower || merge); ++level) {
    const auto [inner, child] = way[level];
    if (lower) lower = LowerMaxEnd(*inner, child, level, node);
    if (merge) merge = level == 0 ? MergeChild<Leaf>(*inner, child) : MergeChild<Inner>(*inner, child);
  }
  while (height_ > 0 && AsInner(root_).used == 1) {
    Inner* const above = static_cast<Inner*>(root_);
    root_ = above->child[0];
    --height_;
    Give(above);
  }
  if (size_ > 0 || inners_.empty()) return;  // a single leaf stays for the next
  root_ = nullptr;
  height_ = 0;
  leaves_.Clear();
  inners_.Clear();
  rests_.Clear();
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_INTERVAL_MAP_HPP_
