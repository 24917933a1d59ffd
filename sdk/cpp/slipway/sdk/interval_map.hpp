// Which registrations cover an address, and how far: a balanced tree of ranges that may nest, overlap, touch and
// repeat.
//
// An AVL tree (Adelson-Velsky and Landis, 1962) ordered by start, in which every node knows the largest end below it,
// separately for every combination of access rights. Each operation is O(log n). Nodes are the caller's, so nothing is
// allocated.
#ifndef SLIPWAY_SDK_INTERVAL_MAP_HPP_
#define SLIPWAY_SDK_INTERVAL_MAP_HPP_

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "slipway/abi/memory.h"

namespace slipway::sdk {

// One range; derive from it or embed it. Must not move or die while it is in an index, and is in one at most.
class RegistrationNode {
 public:
  RegistrationNode() = default;
  RegistrationNode(const RegistrationNode&) = delete;
  RegistrationNode& operator=(const RegistrationNode&) = delete;

  // As given to Insert().
  uint64_t start() const { return start_; }
  uint64_t length() const { return end_ - start_; }
  uint64_t end() const { return end_; }  // exclusive
  uint32_t access() const { return access_; }
  bool indexed() const { return height_ != 0; }

  // Whether [addr, addr + length) lies within, and every bit of `access` is granted.
  bool Covers(uint64_t addr, uint64_t length, uint32_t access) const {
    return addr >= start_ && addr <= end_ && length <= end_ - addr && (access_ & access) == access;
  }

 private:
  friend class RegistrationIndex;

  uint64_t start_ = 0, end_ = 0;
  uint32_t access_ = 0;
  int32_t height_ = 0;  // 0: in no index
  RegistrationNode* left_ = nullptr;
  RegistrationNode* right_ = nullptr;
  // By access mask q: the largest end in this subtree among the nodes that grant all of q; 0 where there is none.
  std::array<uint64_t, SLIPWAY_ACCESS_ALL + 1> max_end_{};
};

// Not thread-safe: guard it with a mutex or a shared mutex (const operations may run together).
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

  bool empty() const { return root_ == nullptr; }
  size_t size() const { return size_; }
  Node* any() const { return root_; }  // some node, NULL when empty: for taking an index apart

  // The caller makes sure that length > 0, start + length does not overflow, access has known bits only, and that
  // `node` is in no index.
  void Insert(Node& node, uint64_t start, uint64_t length, uint32_t access) {
    assert(!node.indexed() && length > 0 && start + length > start && (access & ~SLIPWAY_ACCESS_ALL) == 0);
    node.start_ = start;
    node.end_ = start + length;
    node.access_ = access;
    node.left_ = node.right_ = nullptr;
    root_ = InsertInto(root_, &node);
    ++size_;
  }

  // `node` is in this index; it may be inserted again or freed afterwards, and keeps its range.
  void Erase(Node& node) {
    assert(node.indexed());
    root_ = EraseFrom(root_, &node);
    node.left_ = node.right_ = nullptr;
    node.height_ = 0;
    --size_;
  }

  // How much of [addr, addr + length) from its beginning lies in ONE range that grants all of `access`, and which. Of
  // several, one that reaches as far as any.
  Prefix LongestPrefix(uint64_t addr, uint64_t length, uint32_t access) const {
    // The candidates (start <= addr) are, on the way down to addr, the nodes turned right at with their left subtrees.
    uint64_t best_end = 0;
    Node* best = nullptr;
    bool in_subtree = false;  // else `best` itself
    for (Node* n = root_; n != nullptr;) {
      if (n->start_ > addr) {
        n = n->left_;
        continue;
      }
      if (const uint64_t end = OwnEnd(n, access); end > best_end) {
        best_end = end;
        best = n;
        in_subtree = false;
      }
      if (const uint64_t end = MaxEnd(n->left_, access); end > best_end) {
        best_end = end;
        best = n->left_;
        in_subtree = true;
      }
      n = n->right_;
    }
    if (best_end <= addr) return {};
    while (in_subtree && OwnEnd(best, access) != best_end) {
      best = MaxEnd(best->left_, access) == best_end ? best->left_ : best->right_;
    }
    return {best, std::min(length, best_end - addr)};
  }

  // The smallest start greater than `addr` of a range that grants all of `access`: where a gap ends.
  Next NextStart(uint64_t addr, uint32_t access) const {
    // Remembers the last place where the way down turned left: the answer is there or below it.
    const Node* above = nullptr;
    const Node* subtree = nullptr;
    for (const Node* n = root_; n != nullptr;) {
      if (n->start_ <= addr) {
        n = n->right_;
        continue;
      }
      // Everything at n and to its right starts later than addr.
      if (OwnEnd(n, access) != 0) {
        above = n;
        subtree = nullptr;
      } else if (MaxEnd(n->right_, access) != 0) {
        above = nullptr;
        subtree = n->right_;
      }
      n = n->left_;
    }
    if (above != nullptr) return {true, above->start_};
    if (subtree == nullptr) return {};
    const Node* n = subtree;
    for (;;) {
      if (MaxEnd(n->left_, access) != 0) {
        n = n->left_;
      } else if (OwnEnd(n, access) != 0) {
        return {true, n->start_};
      } else {
        n = n->right_;
      }
    }
  }

  // Calls visit(const Node&) for every range, by ascending start.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    VisitInOrder(root_, visit);
  }

 private:
  static int32_t Height(const Node* n) { return n == nullptr ? 0 : n->height_; }
  static uint64_t MaxEnd(const Node* n, uint32_t access) { return n == nullptr ? 0 : n->max_end_[access]; }
  static uint64_t OwnEnd(const Node* n, uint32_t access) { return (n->access_ & access) == access ? n->end_ : 0; }

  // Ranges with the same start are told apart by where their nodes lie, so that Erase finds the one it was given.
  static bool Before(const Node* a, const Node* b) {
    return a->start_ != b->start_ ? a->start_ < b->start_ : std::less<const Node*>()(a, b);
  }

  static void Update(Node* n) {
    n->height_ = 1 + std::max(Height(n->left_), Height(n->right_));
    for (uint32_t q = 0; q <= SLIPWAY_ACCESS_ALL; ++q) {
      n->max_end_[q] = std::max({OwnEnd(n, q), MaxEnd(n->left_, q), MaxEnd(n->right_, q)});
    }
  }
  static Node* RotateRight(Node* n) {
    Node* top = n->left_;
    n->left_ = top->right_;
    top->right_ = n;
    Update(n);
    return top;
  }
  static Node* RotateLeft(Node* n) {
    Node* top = n->right_;
    n->right_ = top->left_;
    top->left_ = n;
    Update(n);
    return top;
  }
  // Makes n's subtree a valid one when its children are and their heights differ by at most two.
  static Node* Balance(Node* n) {
    const int32_t lean = Height(n->left_) - Height(n->right_);
    if (lean > 1) {
      if (Height(n->left_->left_) < Height(n->left_->right_)) n->left_ = RotateLeft(n->left_);
      n = RotateRight(n);
    } else if (lean < -1) {
      if (Height(n->right_->right_) < Height(n->right_->left_)) n->right_ = RotateRight(n->right_);
      n = RotateLeft(n);
    }
    Update(n);
    return n;
  }
  static Node* InsertInto(Node* tree, Node* node) {
    if (tree == nullptr) {
      Update(node);
      return node;
    }
    if (Before(node, tree)) {
      tree->left_ = InsertInto(tree->left_, node);
    } else {
      tree->right_ = InsertInto(tree->right_, node);
    }
    return Balance(tree);
  }
  static Node* TakeFirst(Node* tree, Node** first) {
    if (tree->left_ == nullptr) {
      *first = tree;
      return tree->right_;
    }
    tree->left_ = TakeFirst(tree->left_, first);
    return Balance(tree);
  }
  static Node* EraseFrom(Node* tree, Node* node) {
    assert(tree != nullptr);  // else the node is another index's
    if (tree == node) {
      if (node->left_ == nullptr) return node->right_;
      if (node->right_ == nullptr) return node->left_;
      Node* next = nullptr;
      Node* right = TakeFirst(node->right_, &next);
      next->left_ = node->left_;
      next->right_ = right;
      return Balance(next);
    }
    if (Before(node, tree)) {
      tree->left_ = EraseFrom(tree->left_, node);
    } else {
      tree->right_ = EraseFrom(tree->right_, node);
    }
    return Balance(tree);
  }
  template <typename Visit>
  static void VisitInOrder(const Node* n, Visit& visit) {
    if (n == nullptr) return;
    VisitInOrder(n->left_, visit);
    visit(*n);
    VisitInOrder(n->right_, visit);
  }

  Node* root_ = nullptr;
  size_t size_ = 0;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_INTERVAL_MAP_HPP_
