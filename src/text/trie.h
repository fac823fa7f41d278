// A byte trie over token texts, for longest and all-prefix matches.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace infernum::text {

/// Immutable; children of a node lie side by side, sorted by byte.
class Trie {
 public:
  Trie() { root_.fill(-1); }
  /// Keys may repeat: the last one of equal keys counts. Empty keys are ignored.
  explicit Trie(std::vector<std::pair<std::string_view, int32_t>> keys);

  /// Calls visit(length, value) for every key that is a prefix of text, shortest first.
  template <class Visit>
  void prefixes(std::string_view text, Visit&& visit) const {
    if (text.empty()) return;
    int32_t node = root_[static_cast<unsigned char>(text[0])];
    for (size_t length = 1; node >= 0; ++length) {
      if (nodes_[static_cast<size_t>(node)].value >= 0) visit(length, nodes_[static_cast<size_t>(node)].value);
      if (length == text.size()) return;
      node = child(nodes_[static_cast<size_t>(node)], static_cast<unsigned char>(text[length]));
    }
  }

  struct Match {
    size_t length = 0;
    int32_t value = -1;
  };
  Match longest(std::string_view text) const {
    Match best;
    prefixes(text, [&](size_t length, int32_t value) { best = {length, value}; });
    return best;
  }
  /// Whether some key starts with this byte.
  bool starts(char byte) const { return root_[static_cast<unsigned char>(byte)] >= 0; }
  bool empty() const { return nodes_.empty(); }
  size_t deepest() const { return deepest_; }

 private:
  struct Node {
    int32_t value = -1;
    int32_t first = 0;  // index of the first child
    uint16_t count = 0;
    uint8_t byte = 0;
  };
  int32_t child(const Node& node, uint8_t byte) const;

  std::vector<Node> nodes_;
  std::array<int32_t, 256> root_;
  size_t deepest_ = 0;
};

}  // namespace infernum::text
