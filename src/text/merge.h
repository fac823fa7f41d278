// The merge loop of byte-pair encoding: the lowest-ranked adjacent pair first, the leftmost of equals.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace infernum::text {

/// A symbol: its id (-1 = no token of its own yet) and its bytes in the piece.
struct MergeSymbol {
  int32_t id;
  uint32_t begin, end;
};

struct Merge {
  uint32_t rank = UINT32_MAX;  // UINT32_MAX: the pair does not merge
  int32_t id = -1;
};

namespace detail {

inline constexpr size_t short_merge = 40;

/// Few symbols: keep the merge of every pair beside it and scan for the least. No memory is allocated.
template <class Rank>
size_t merge_short(MergeSymbol* symbols, size_t count, const Rank& rank) {
  Merge merges[short_merge];
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = rank(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == UINT32_MAX) break;
    symbols[best] = {merges[best].id, symbols[best].begin, symbols[best + 1].end};
    --count;
    for (size_t i = best + 1; i < count; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 1 < count; ++i) merges[i] = merges[i + 1];
    if (best > 0) merges[best - 1] = rank(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = rank(symbols[best], symbols[best + 1]);
  }
  return count;
}

/// Many symbols: a linked list and a heap of (rank, position), O(n log n). An entry is stale when its pair's rank has changed since.
template <class Rank>
size_t merge_long(std::vector<MergeSymbol>& symbols, const Rank& rank) {
  constexpr uint32_t no_entry = UINT32_MAX;
  const auto count = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> previous(count), next(count);
  std::vector<Merge> merges(count);
  std::vector<uint64_t> heap;
  heap.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? no_entry : i - 1;
    next[i] = i + 1 == count ? no_entry : i + 1;
    if (i + 1 < count) merges[i] = rank(symbols[i], symbols[i + 1]);
    if (merges[i].rank != no_entry) heap.push_back(static_cast<uint64_t>(merges[i].rank) << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto update = [&](uint32_t i) {
    merges[i] = next[i] == no_entry ? Merge{} : rank(symbols[i], symbols[next[i]]);
    if (merges[i].rank == no_entry) return;
    heap.push_back(static_cast<uint64_t>(merges[i].rank) << 32 | i);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    const uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const auto i = static_cast<uint32_t>(top);
    if (merges[i].rank != top >> 32) continue;
    const uint32_t gone = next[i];
    symbols[i] = {merges[i].id, symbols[i].begin, symbols[gone].end};
    merges[gone] = {};
    next[i] = next[gone];
    if (next[i] != no_entry) previous[next[i]] = i;
    update(i);
    if (previous[i] != no_entry) update(previous[i]);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != no_entry && i < count; i = next[i]) symbols[kept++] = symbols[i];
  symbols.resize(kept);
  return kept;
}

}  // namespace detail

/// Symbols of one piece: on the stack while few.
class SymbolList {
 public:
  void add(MergeSymbol s) {
    if (!overflow_ && count_ < detail::short_merge) {
      few_[count_++] = s;
      return;
    }
    if (!overflow_) many_.assign(few_, few_ + count_);
    overflow_ = true;
    many_.push_back(s);
  }
  template <class Rank>
  void merge(const Rank& rank) {
    if (overflow_) {
      detail::merge_long(many_, rank);
    } else {
      count_ = detail::merge_short(few_, count_, rank);
    }
  }
  const MergeSymbol* begin() const { return overflow_ ? many_.data() : few_; }
  const MergeSymbol* end() const { return overflow_ ? many_.data() + many_.size() : few_ + count_; }

 private:
  MergeSymbol few_[detail::short_merge];
  size_t count_ = 0;
  bool overflow_ = false;
  std::vector<MergeSymbol> many_;
};

}  // namespace infernum::text
