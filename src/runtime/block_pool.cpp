#include "runtime/block_pool.h"

#include <numeric>

#include "core/check.h"

namespace infernum {

BlockPool::BlockPool(int64_t blocks) {
  check(blocks >= 0 && blocks <= INT32_MAX, "block pool: a number of blocks", blocks);
  free_.resize(static_cast<size_t>(blocks));
  std::iota(free_.rbegin(), free_.rend(), 0);  // low numbers go out first
  references_.assign(static_cast<size_t>(blocks), 0);
}

std::optional<int32_t> BlockPool::take() {
  if (free_.empty()) return {};
  const int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void BlockPool::share(int32_t block) {
  check(block >= 0 && block < size() && references(block) > 0, "block pool: only a block in use can be shared", block);
  references_[static_cast<size_t>(block)]++;
}

void BlockPool::release(int32_t block) {
  check(block >= 0 && block < size() && references(block) > 0, "block pool: only a block in use can be released", block);
  if (--references_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

}  // namespace infernum
