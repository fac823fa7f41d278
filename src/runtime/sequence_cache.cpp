#include "runtime/sequence_cache.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/device_error.h"
#include "ops/batch.h"

namespace infernum {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + block_tokens - 1) / block_tokens; }

std::vector<int64_t> blocks_of_groups(const ModelInfo& info, int64_t tokens, int64_t max_sequences, int64_t step_tokens,
                                      CachePools::Checkpoints checkpoints) {
  std::vector<int64_t> blocks;
  for (const Retention& r : info.groups) {
    const bool recurrent = r.kind == Retention::Kind::Recurrent;
    int64_t wanted = max_sequences * r.blocks_held(tokens, step_tokens > 0 ? step_tokens : tokens) +
                     (recurrent ? checkpoints.states : checkpoints.windows) * r.checkpoint_blocks();
    if (!recurrent) wanted = std::min(wanted, blocks_for(tokens) + max_sequences);
    blocks.push_back(wanted);
  }
  return blocks;
}

int64_t bytes_of_blocks(const ModelInfo& info, const std::vector<int64_t>& blocks) {
  int64_t sum = 0;
  for (size_t g = 0; g < blocks.size(); g++) sum += blocks[g] * info.block_bytes(static_cast<int>(g));
  return sum;
}

bool reads(const Retention& r, int64_t position, int64_t block) {
  return r.oldest_read(position) / block_tokens <= block && block * block_tokens < position;
}

}  // namespace

CachePools::CachePools(Model& model, int64_t tokens, int64_t max_sequences, int64_t step_tokens, Checkpoints checkpoints)
    : info_(&model.info()) {
  const std::vector<int64_t> blocks = blocks_of_groups(*info_, tokens, max_sequences, step_tokens, checkpoints);
  try {
    for (const int64_t n : blocks) pools_.emplace_back(n);
    model.allocate_cache(blocks);
  } catch (const std::exception& e) {
    const auto shortage = memory_shortage(e);
    if (!shortage) throw;
    throw OutOfMemory("the key-value cache does not fit, " + mebibytes(bytes_of_blocks(*info_, blocks)) + " for " + std::to_string(tokens) +
                      " tokens and " + std::to_string(max_sequences) + " sequences: " + *shortage +
                      "; take fewer tokens (--kv-cache-tokens, --max-model-len), fewer sequences (--max-num-seqs) or smaller values "
                      "(--kv-cache-dtype)");
  }
}

int64_t CachePools::bytes_for(const ModelInfo& info, int64_t tokens, int64_t max_sequences, int64_t step_tokens, Checkpoints checkpoints) {
  return bytes_of_blocks(info, blocks_of_groups(info, tokens, max_sequences, step_tokens, checkpoints));
}

int64_t CachePools::bytes() const {
  std::vector<int64_t> blocks;
  for (const BlockPool& pool : pools_) blocks.push_back(pool.size());
  return bytes_of_blocks(*info_, blocks);
}

SequenceCache::SequenceCache(SequenceCache&& other) noexcept
    : pools_(other.pools_), tables_(std::move(other.tables_)), kept_(std::move(other.kept_)), length_(std::exchange(other.length_, 0)) {
  other.tables_.clear();
  other.kept_.clear();
}

bool SequenceCache::reserve(int64_t tokens) {
  const auto missing = [&](size_t g) {
    const Table& t = tables_[g];
    size_t wanted = static_cast<size_t>(blocks_for(tokens)), have = t.blocks.size();
    if (recurrent(g)) {
      const auto states = static_cast<std::ptrdiff_t>(std::min(static_cast<size_t>(blocks_for(length_)), t.blocks.size()));
      const auto unfinished = std::count_if(t.blocks.begin() + states, t.blocks.end(), [](int32_t b) { return b >= 0; });
      wanted = spare_for(g, tokens), have = t.spare.size() + static_cast<size_t>(unfinished);
    }
    return wanted - std::min(wanted, have);
  };
  for (size_t g = 0; g < tables_.size(); g++)
    if (static_cast<int64_t>(missing(g)) > pool(g).available()) return false;
  for (size_t g = 0; g < tables_.size(); g++) {
    auto& list = recurrent(g) ? tables_[g].spare : tables_[g].blocks;
    for (size_t n = missing(g); n > 0; n--) list.push_back(*pool(g).take());
  }
  return true;
}

void SequenceCache::begin_step(int64_t first, int64_t end) {
  check(first == length_ && end > first, "cache: a step begins where the last one ended", "length", length_, "step", first, end);
  take_back_unfinished();
  for (size_t g = 0; g < tables_.size(); g++) {
    Table& t = tables_[g];
    if (recurrent(g)) {
      t.blocks.resize(static_cast<size_t>(blocks_for(end)), -1);
      const auto place = [&](int64_t position) {
        int32_t& block = t.blocks[static_cast<size_t>((position - 1) / block_tokens)];
        if (block >= 0) return;
        check(!t.spare.empty(), "cache: a step needs a reserved sequence", "group", g, "tokens", end);
        block = t.spare.back();
        t.spare.pop_back();
      };
      place(end);
      for (int64_t border : kept_)
        if (border > first && border < end) place(border);
    }
    check(static_cast<int64_t>(t.blocks.size()) >= blocks_for(end), "cache: a step needs a reserved sequence", "group", g, "tokens", end);
    for (int64_t b = first / block_tokens; b < blocks_for(end); b++) {
      const int32_t block = t.blocks[static_cast<size_t>(b)];
      check(block < 0 || pool(g).references(block) == 1, "cache: a step must not write a shared block", "group", g, "block", block);
    }
  }
}

void SequenceCache::end_step(int64_t end) {
  for (size_t g = 0; g < tables_.size(); g++) {
    const auto& blocks = tables_[g].blocks;
    const bool begun = static_cast<int64_t>(blocks.size()) >= blocks_for(end) && (!recurrent(g) || blocks.back() >= 0);
    check(end > length_ && begun, "cache: a step that ends was begun", "length", length_, "end", end);
  }
  const int64_t before = std::exchange(length_, end);
  for (size_t g = 0; g < tables_.size(); g++) {
    const int64_t held = static_cast<int64_t>(tables_[g].blocks.size()), last = retention(g).oldest_read(end) / block_tokens;
    for (int64_t b = retention(g).oldest_read(before) / block_tokens; b < std::min(held, last); b++)
      if (!needed(g, b)) drop(g, static_cast<size_t>(b));
  }
  trim_spare();
}

void SequenceCache::fail_step() {
  take_back_unfinished();
  // A recurrent state within a block gave way to a later one in the same place: that of the block's end or of the step's.
  if (length_ % block_tokens == 0) return;
  bool lost = false;
  for (size_t g = 0; g < tables_.size(); g++) {
    if (!recurrent(g)) continue;
    drop(g, static_cast<size_t>(length_ / block_tokens));
    lost = true;
  }
  if (lost) rewind(longest_prefix(length_));
}

void SequenceCache::keep(int64_t border) {
  check(border % block_tokens == 0 && (border >= length_ || resumable(border)),
        "cache: a checkpoint is a multiple of the block's tokens whose state is not gone", border, length_);
  if (std::find(kept_.begin(), kept_.end(), border) == kept_.end()) kept_.push_back(border);
}

void SequenceCache::forget(int64_t border) {
  if (std::erase(kept_, border) == 0) return;
  for (size_t g = 0; g < tables_.size(); g++) {
    const int64_t end = std::min(border / block_tokens, static_cast<int64_t>(tables_[g].blocks.size()));
    for (int64_t b = retention(g).oldest_read(border) / block_tokens; b < end; b++)
      if (!needed(g, b)) drop(g, static_cast<size_t>(b));
  }
  trim_spare();
}

int64_t SequenceCache::longest_prefix(int64_t tokens) const {
  const int64_t limit = std::clamp<int64_t>(tokens, 0, length_), border = limit / block_tokens * block_tokens;
  if (resumable(limit)) return limit;
  int64_t best = resumable(border) ? border : 0;
  for (int64_t kept : kept_)
    if (kept <= limit && kept > best && resumable(kept)) best = kept;
  return best;
}

void SequenceCache::rewind(int64_t tokens) {
  check(longest_prefix(tokens) == tokens, "cache: what a continuation there reads is not here", tokens, length_);
  std::erase_if(kept_, [&](int64_t border) { return border > tokens; });
  for (size_t g = 0; g < tables_.size(); g++) {
    auto& blocks = tables_[g].blocks;
    const auto left = std::min(static_cast<size_t>(blocks_for(tokens)), blocks.size());
    for (size_t b = blocks.size(); b-- > left;) drop(g, b);
    blocks.resize(left);
  }
  length_ = tokens;
  trim_spare();
}

std::optional<SequenceCache> SequenceCache::fork(int64_t border) const {
  if (border % block_tokens != 0 || border < 0 || border > length_ || !resumable(border)) return {};
  SequenceCache other(*pools_);
  other.adopt(border, [this](int g, int64_t b) { return table(g)[static_cast<size_t>(b)]; });
  return other;
}

void SequenceCache::adopt(int64_t tokens, const std::function<int32_t(int, int64_t)>& block_of) {
  check(length_ == 0 && blocks_held() == 0, "cache: only an empty sequence adopts a beginning", length_);
  std::erase_if(kept_, [&](int64_t border) {
    bool here = true;
    for (size_t g = 0; border < tokens && g < tables_.size(); g++)
      for (int64_t b = retention(g).oldest_read(border) / block_tokens; b < border / block_tokens; b++)
        here &= block_of(static_cast<int>(g), b) >= 0;
    return !here;
  });
  for (size_t g = 0; g < tables_.size(); g++) {
    auto& blocks = tables_[g].blocks;
    blocks.assign(static_cast<size_t>(blocks_for(tokens)), -1);
    for (int64_t b = 0; b < blocks_for(tokens); b++) {
      const auto by_a_checkpoint = [&](int64_t border) { return border < tokens && reads(retention(g), border, b); };
      if (b < retention(g).oldest_read(tokens) / block_tokens && std::none_of(kept_.begin(), kept_.end(), by_a_checkpoint)) continue;
      const int32_t block = block_of(static_cast<int>(g), b);
      check(block >= 0, "cache: a block that a continuation reads is not here", "group", g, "block", b, "tokens", tokens);
      pool(g).share(block);
      blocks[static_cast<size_t>(b)] = block;
    }
  }
  length_ = tokens;
}

void SequenceCache::replace(int group, int64_t block, int32_t equal) {
  const auto g = static_cast<size_t>(group);
  auto& blocks = tables_[g].blocks;
  check(block >= 0 && block < static_cast<int64_t>(blocks.size()) && blocks[static_cast<size_t>(block)] >= 0,
        "cache: only a block that is here can be replaced", group, block);
  pool(g).share(equal);
  pool(g).release(std::exchange(blocks[static_cast<size_t>(block)], equal));
}

/// The last block first, so that pools reclaim the ends of what is cached before the beginnings that lead to them.
void SequenceCache::clear() {
  for (size_t g = 0; g < tables_.size(); g++) {
    auto& t = tables_[g];
    for (int32_t block : t.spare) pool(g).release(block);
    for (size_t b = t.blocks.size(); b-- > 0;)
      if (t.blocks[b] >= 0) pool(g).release(t.blocks[b]);
    t = {};
  }
  kept_.clear();
  length_ = 0;
}

int64_t SequenceCache::blocks_held() const {
  size_t n = 0;
  for (const Table& t : tables_)
    n += t.spare.size() + static_cast<size_t>(std::count_if(t.blocks.begin(), t.blocks.end(), [](int32_t b) { return b >= 0; }));
  return static_cast<int64_t>(n);
}

/// Whether anyone reads this block, or it is for tokens to come.
bool SequenceCache::needed(size_t group, int64_t block) const {
  const auto by = [&](int64_t position) { return reads(retention(group), position, block); };
  return (block + 1) * block_tokens > length_ || by(length_) || std::any_of(kept_.begin(), kept_.end(), by);
}

/// Whether every block that a continuation at `position` reads is here, and no other sequence reads the block it would write into.
bool SequenceCache::resumable(int64_t position) const {
  for (size_t g = 0; g < tables_.size(); g++) {
    const auto& blocks = tables_[g].blocks;
    const int64_t first = retention(g).oldest_read(position) / block_tokens, end = blocks_for(position);
    if (end > static_cast<int64_t>(blocks.size())) return false;
    for (int64_t b = first; b < end; b++) {
      const int32_t block = blocks[static_cast<size_t>(b)];
      const bool written = (b + 1) * block_tokens > position;
      if (block < 0 || (written && pool(g).references(block) > 1)) return false;
      // A recurrent state is that of the length, or of a border.
      if (recurrent(g) && written && position != length_) return false;
    }
  }
  return true;
}

/// Blocks a recurrent group needs beside its states to advance to `tokens`: two in turn, where one may be that of the state it starts from,
/// and one per checkpoint.
size_t SequenceCache::spare_for(size_t group, int64_t tokens) const {
  if (tokens <= length_) return 0;
  const auto checkpoints = std::count_if(kept_.begin(), kept_.end(), [&](int64_t b) { return b > length_ && b <= tokens; });
  const bool kept = std::find(kept_.begin(), kept_.end(), length_) != kept_.end();
  const bool own =
      length_ > 0 && !kept && pool(group).references(tables_[group].blocks[static_cast<size_t>((length_ - 1) / block_tokens)]) == 1;
  return static_cast<size_t>(checkpoints) + (own ? 1 : 2);
}

void SequenceCache::drop(size_t group, size_t block) {
  const int32_t dropped = std::exchange(tables_[group].blocks[block], -1);
  if (dropped < 0) return;
  if (recurrent(group) && pool(group).references(dropped) == 1)
    tables_[group].spare.push_back(dropped);
  else
    pool(group).release(dropped);
}

/// A step that failed left blocks without a state behind the length.
void SequenceCache::take_back_unfinished() {
  for (size_t g = 0; g < tables_.size(); g++) {
    if (!recurrent(g)) continue;
    auto& blocks = tables_[g].blocks;
    const auto states = std::min(static_cast<size_t>(blocks_for(length_)), blocks.size());
    for (size_t b = states; b < blocks.size(); b++) drop(g, b);
    blocks.resize(states);
  }
}

void SequenceCache::trim_spare() {
  for (size_t g = 0; g < tables_.size(); g++) {
    if (!recurrent(g)) continue;
    auto& spare = tables_[g].spare;
    for (const size_t most = spare_for(g, INT64_MAX); spare.size() > most; spare.pop_back()) pool(g).release(spare.back());
  }
}

}  // namespace infernum
