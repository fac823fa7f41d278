#include "runtime/sequence_cache.h"

#include <algorithm>

#include "core/check.h"
#include "ops/batch.h"

namespace infernum {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + block_tokens - 1) / block_tokens; }

}  // namespace

CachePools::CachePools(Model& model, int64_t tokens, int64_t max_sequences, int64_t step_tokens) : info_(&model.info()) {
  std::vector<int64_t> blocks;
  for (size_t g = 0; g < info_->group_windows.size(); g++) {
    int64_t wanted = blocks_for(tokens) + max_sequences;  // a sequence's last block is rarely full
    if (const int window = info_->group_windows[g]; window > 0 && step_tokens > 0)
      wanted = std::min(wanted, max_sequences * (blocks_for(window + step_tokens) + 1));  // the window need not begin with a block
    blocks.push_back(wanted);
    pools_.emplace_back(blocks.back());
  }
  model.allocate_cache(blocks);
}

int64_t CachePools::bytes() const {
  int64_t sum = 0;
  for (size_t g = 0; g < pools_.size(); g++) sum += pools_[g].size() * info_->block_bytes(static_cast<int>(g));
  return sum;
}

bool SequenceCache::reserve(int64_t tokens) {
  const auto wanted = static_cast<size_t>(blocks_for(tokens));
  for (size_t g = 0; g < tables_.size(); g++) {
    const size_t have = tables_[g].blocks.size();
    if (wanted > have && static_cast<int64_t>(wanted - have) > pools_->group(static_cast<int>(g)).available()) return false;
  }
  for (size_t g = 0; g < tables_.size(); g++)
    while (tables_[g].blocks.size() < wanted) tables_[g].blocks.push_back(*pools_->group(static_cast<int>(g)).take());
  return true;
}

void SequenceCache::release_passed(int64_t next_position) {
  for (size_t g = 0; g < tables_.size(); g++) {
    const int window = pools_->info().group_windows[g];
    if (window == 0) continue;
    Table& t = tables_[g];
    const auto first_needed = static_cast<size_t>(std::max<int64_t>(0, next_position - window + 1) / block_tokens);
    for (; t.passed < std::min(first_needed, t.blocks.size()); t.passed++) {
      pools_->group(static_cast<int>(g)).release(t.blocks[t.passed]);
      t.blocks[t.passed] = 0;
    }
  }
}

void SequenceCache::clear() {
  for (size_t g = 0; g < tables_.size(); g++) {
    Table& t = tables_[g];
    for (size_t i = t.passed; i < t.blocks.size(); i++) pools_->group(static_cast<int>(g)).release(t.blocks[i]);
    t = {};
  }
}

int64_t SequenceCache::blocks_held() const {
  size_t n = 0;
  for (const Table& t : tables_) n += t.blocks.size() - t.passed;
  return static_cast<int64_t>(n);
}

}  // namespace infernum
