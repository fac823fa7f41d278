// Construction of the byte trie, level by level over the sorted keys.
#include "text/trie.h"

#include <algorithm>

namespace infernum::text {
namespace {
struct Pending {  // keys [begin, end) share a prefix of `depth` bytes; node < 0 is the root
  int32_t node;
  size_t begin, end, depth;
};
}  // namespace

Trie::Trie(std::vector<std::pair<std::string_view, int32_t>> keys) {
  root_.fill(-1);
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Pending> queue{{-1, 0, keys.size(), 0}};
  for (size_t head = 0; head < queue.size(); ++head) {
    const Pending work = queue[head];
    const size_t first_child = nodes_.size();
    size_t at = work.begin;
    while (at < work.end && keys[at].first.size() == work.depth) ++at;  // keys that end here: already stored in the node
    while (at < work.end) {
      const auto byte = static_cast<uint8_t>(keys[at].first[work.depth]);
      size_t end = at;
      Node node;
      node.byte = byte;
      while (end < work.end && static_cast<uint8_t>(keys[end].first[work.depth]) == byte) {
        if (keys[end].first.size() == work.depth + 1) node.value = keys[end].second;
        ++end;
      }
      queue.push_back({static_cast<int32_t>(nodes_.size()), at, end, work.depth + 1});
      nodes_.push_back(node);
      deepest_ = std::max(deepest_, work.depth + 1);
      at = end;
    }
    for (size_t i = first_child; work.node < 0 && i < nodes_.size(); ++i) root_[nodes_[i].byte] = static_cast<int32_t>(i);
    if (work.node >= 0) {
      nodes_[static_cast<size_t>(work.node)].first = static_cast<int32_t>(first_child);
      nodes_[static_cast<size_t>(work.node)].count = static_cast<uint16_t>(nodes_.size() - first_child);
    }
  }
}

int32_t Trie::child(const Node& node, uint8_t byte) const {
  const Node* first = nodes_.data() + node.first;
  const Node* last = first + node.count;
  if (node.count > 8) {
    first = std::lower_bound(first, last, byte, [](const Node& n, uint8_t b) { return n.byte < b; });
  } else {
    while (first != last && first->byte < byte) ++first;
  }
  return first != last && first->byte == byte ? static_cast<int32_t>(first - nodes_.data()) : -1;
}

}  // namespace infernum::text
