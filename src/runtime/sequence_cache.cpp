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
  for (const Retention& r : info_->groups) {
    int64_t wanted = max_sequences * r.blocks_held(tokens, step_tokens > 0 ? step_tokens : tokens);
    if (r.kind != Retention::Kind::Recurrent) wanted = std::min(wanted, blocks_for(tokens) + max_sequences);
    blocks.push_back(wanted);
    pools_.emplace_back(wanted);
  }
  model.allocate_cache(blocks);
}

int64_t CachePools::bytes() const {
  int64_t sum = 0;
  for (size_t g = 0; g < pools_.size(); g++) sum += pools_[g].size() * info_->block_bytes(static_cast<int>(g));
  return sum;
}

bool SequenceCache::reserve(int64_t tokens) {
  const auto missing = [&](size_t g) -> size_t {
    const Table& t = tables_[g];
    if (recurrent(g)) return tokens > 0 ? 2 - t.slots.size() : 0;
    const auto wanted = static_cast<size_t>(blocks_for(tokens));
    return wanted - std::min(wanted, t.blocks.size());
  };
  for (size_t g = 0; g < tables_.size(); g++)
    if (static_cast<int64_t>(missing(g)) > pools_->group(static_cast<int>(g)).available()) return false;
  for (size_t g = 0; g < tables_.size(); g++) {
    auto& list = recurrent(g) ? tables_[g].slots : tables_[g].blocks;
    for (size_t n = missing(g); n > 0; n--) list.push_back(*pools_->group(static_cast<int>(g)).take());
  }
  return true;
}

void SequenceCache::begin_step(int64_t first, int64_t end) {
  const int64_t last_block = (end - 1) / block_tokens, read_block = std::max<int64_t>(0, first - 1) / block_tokens;
  for (size_t g = 0; g < tables_.size(); g++) {
    Table& t = tables_[g];
    if (!recurrent(g)) continue;
    check(t.slots.size() == 2, "cache: a step needs a reserved sequence");
    t.blocks.assign(static_cast<size_t>(last_block) + 1, -1);
    for (const int64_t block : {read_block, last_block}) t.blocks[static_cast<size_t>(block)] = t.slots[static_cast<size_t>(block % 2)];
  }
}

void SequenceCache::release_passed(int64_t next_position) {
  for (size_t g = 0; g < tables_.size(); g++) {
    if (recurrent(g)) continue;
    Table& t = tables_[g];
    const auto first_needed = static_cast<size_t>(pools_->info().groups[g].oldest_read(next_position) / block_tokens);
    for (; t.passed < std::min(first_needed, t.blocks.size()); t.passed++) {
      pools_->group(static_cast<int>(g)).release(t.blocks[t.passed]);
      t.blocks[t.passed] = 0;
    }
  }
}

void SequenceCache::clear() {
  for (size_t g = 0; g < tables_.size(); g++) {
    Table& t = tables_[g];
    BlockPool& pool = pools_->group(static_cast<int>(g));
    if (!recurrent(g))
      for (size_t i = t.passed; i < t.blocks.size(); i++) pool.release(t.blocks[i]);
    for (int32_t slot : t.slots) pool.release(slot);
    t = {};
  }
}

int64_t SequenceCache::blocks_held() const {
  size_t n = 0;
  for (size_t g = 0; g < tables_.size(); g++) n += recurrent(g) ? tables_[g].slots.size() : tables_[g].blocks.size() - tables_[g].passed;
  return static_cast<int64_t>(n);
}

bool SequenceCache::recurrent(size_t group) const { return pools_->info().groups[group].kind == Retention::Kind::Recurrent; }

}  // namespace infernum
