#include "runtime/block_pool.h"

#include <numeric>

#include "core/check.h"

namespace infernum {

BlockPool::BlockPool(int64_t blocks) {
  check(blocks >= 0 && blocks <= INT32_MAX, "block pool: a number of blocks", blocks);
  const auto count = static_cast<size_t>(blocks);
  free_.resize(count);
  std::iota(free_.rbegin(), free_.rend(), 0);  // low numbers go out first
  references_.assign(count, 0);
  cached_.assign(count, false);
  next_.assign(count + 1, count);
  previous_.assign(count + 1, count);
}

void BlockPool::check_in_use(int32_t block, const char* rule) const {
  check(block >= 0 && block < size() && references(block) > 0, rule, block);
}

void BlockPool::link(size_t block) {
  const size_t anchor = references_.size();
  next_[block] = anchor, previous_[block] = previous_[anchor];
  next_[previous_[anchor]] = block, previous_[anchor] = block;
  reclaimable_++;
}

void BlockPool::unlink(size_t block) {
  next_[previous_[block]] = next_[block], previous_[next_[block]] = previous_[block];
  reclaimable_--;
}

std::optional<int32_t> BlockPool::take() {
  if (free_.empty() && !reclaim_oldest()) return {};
  const int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

bool BlockPool::reclaim_oldest() {
  if (reclaimable_ == 0) return false;
  const auto block = static_cast<int32_t>(next_[references_.size()]);
  reclaim_(block);
  check(!cached(block), "block pool: the cache gives back what is reclaimed", block);
  return true;
}

void BlockPool::share(int32_t block) {
  check_in_use(block, "block pool: only a block in use can be shared");
  const auto b = static_cast<size_t>(block);
  if (cached_[b] && references_[b] == 1) unlink(b);
  references_[b]++;
}

void BlockPool::release(int32_t block) {
  check_in_use(block, "block pool: only a block in use can be released");
  const auto b = static_cast<size_t>(block);
  check(references_[b] > 1 || !cached_[b], "block pool: the cache lets its blocks go by uncache()", block);
  references_[b]--;
  if (references_[b] == 0) free_.push_back(block);
  if (references_[b] == 1 && cached_[b]) link(b);
}

void BlockPool::cache(int32_t block) {
  check_in_use(block, "block pool: only a block in use can be cached");
  const auto b = static_cast<size_t>(block);
  check(!cached_[b], "block pool: a block is cached once", block);
  cached_[b] = true;
  references_[b]++;
}

void BlockPool::uncache(int32_t block) {
  check_in_use(block, "block pool: only a cached block can be uncached");
  const auto b = static_cast<size_t>(block);
  check(cached_[b], "block pool: only a cached block can be uncached", block);
  if (references_[b] == 1) unlink(b);
  cached_[b] = false;
  release(block);
}

}  // namespace infernum
