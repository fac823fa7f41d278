// SequenceCache: the state of one sequence, as the blocks it holds in every group of layers. What no layer can read any more goes back to
// its pool, unless a checkpoint keeps it; sequences with the same beginning share its blocks and never write a shared one.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "models/model.h"
#include "runtime/block_pool.h"

namespace infernum {

/// The pools of a model's groups of layers. Shared by all its sequences; used by one thread.
class CachePools {
 public:
  /// What checkpoints hold at a time, beside running sequences.
  struct Checkpoints {
    int64_t windows = 0, states = 0;
  };
  /// Allocates the model's cache for `tokens` tokens in all sequences together, of which there are at most `max_sequences` and which
  /// advance by at most `step_tokens` per step (0: any number). Windowed and recurrent groups get no more than their sequences hold, and
  /// what checkpoints keep.
  CachePools(Model& model, int64_t tokens, int64_t max_sequences, int64_t step_tokens, Checkpoints checkpoints);
  CachePools(Model& model, int64_t tokens, int64_t max_sequences, int64_t step_tokens = 0, int64_t checkpoints = 0)
      : CachePools(model, tokens, max_sequences, step_tokens, Checkpoints{checkpoints, checkpoints}) {}
  /// The bytes that such a cache takes.
  static int64_t bytes_for(const ModelInfo& info, int64_t tokens, int64_t max_sequences, int64_t step_tokens, Checkpoints checkpoints);
  const ModelInfo& info() const { return *info_; }
  BlockPool& group(int g) { return pools_[static_cast<size_t>(g)]; }
  int groups() const { return static_cast<int>(pools_.size()); }
  int64_t bytes() const;

 private:
  const ModelInfo* info_;
  std::vector<BlockPool> pools_;
};

/// Owns references to blocks and gives them back when it goes. Move-only. A border is a position that is a multiple of block_tokens.
class SequenceCache {
 public:
  explicit SequenceCache(CachePools& pools) : pools_(&pools), tables_(static_cast<size_t>(pools.groups())) {}
  ~SequenceCache() { clear(); }
  SequenceCache(SequenceCache&& other) noexcept;
  SequenceCache& operator=(SequenceCache&&) = delete;

  /// Makes room for positions 0 .. tokens - 1 and the checkpoints among them; false, changing nothing, when a pool has too few blocks.
  bool reserve(int64_t tokens);
  /// To be called before a step that computes positions first .. end - 1, with `first` the length: names the blocks in which recurrent
  /// layers find and leave their state. Needs a reserve() since the last keep(), rewind() or fork().
  void begin_step(int64_t first, int64_t end);
  /// The step up to `end` is done: gives back every block that neither a later query nor a checkpoint reads.
  void end_step(int64_t end);
  /// The step that was begun failed part-way. Where it may have overwritten the state it started from, the length falls back to a beginning
  /// that can still go on; what was reserved is to be reserved anew.
  void fail_step();
  /// Tokens whose state is here.
  int64_t length() const { return length_; }

  /// Makes `border` a checkpoint: what a continuation there reads stays here. Before the length it has to be here still. A recurrent state
  /// needs a block for it.
  void keep(int64_t border);
  /// It is no checkpoint any more.
  void forget(int64_t border);

  /// The longest beginning, of at most `tokens` tokens, whose every block that a continuation reads is here, and is not shared where it
  /// would write.
  int64_t longest_prefix(int64_t tokens) const;
  /// Back to a beginning that longest_prefix() allows.
  void rewind(int64_t tokens);
  /// Another sequence with the same first `border` tokens, which shares the blocks that its continuation reads; nothing when one of them
  /// is gone.
  std::optional<SequenceCache> fork(int64_t border) const;
  /// Of a cache without tokens: it now begins with `tokens` tokens of which others hold the blocks: block_of(group, block), or -1 for one
  /// that is not here. All that a continuation reads must be; a checkpoint before is kept if all that it reads is. A block that is not full
  /// has to be let go by the others before a step.
  void adopt(int64_t tokens, const std::function<int32_t(int group, int64_t block)>& block_of);
  /// Shares `equal`, a block with the same content, in place of a full block of its own.
  void replace(int group, int64_t block, int32_t equal);
  void clear();

  /// Block numbers by position / block_tokens; -1: no block, or one without a state in recurrent groups.
  const std::vector<int32_t>& table(int group) const { return tables_[static_cast<size_t>(group)].blocks; }
  /// References to blocks, shared ones included.
  int64_t blocks_held() const;

 private:
  struct Table {
    std::vector<int32_t> blocks;
    std::vector<int32_t> spare;  ///< recurrent: blocks for coming states, so that a step never overwrites a state of another block
  };
  const Retention& retention(size_t group) const { return pools_->info().groups[group]; }
  bool recurrent(size_t group) const { return retention(group).kind == Retention::Kind::Recurrent; }
  BlockPool& pool(size_t group) const { return pools_->group(static_cast<int>(group)); }
  bool needed(size_t group, int64_t block) const;
  bool resumable(int64_t position) const;
  size_t spare_for(size_t group, int64_t tokens) const;
  void drop(size_t group, size_t block);
  void take_back_unfinished();
  void trim_spare();

  CachePools* pools_;
  std::vector<Table> tables_;
  std::vector<int64_t> kept_;  ///< the checkpoints
  int64_t length_ = 0;
};

}  // namespace infernum
