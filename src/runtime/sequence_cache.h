// SequenceCache: the state of one sequence, as the blocks it holds in every group of layers. What no layer can read any more goes back to
// its pool.
#pragma once
#include <memory>
#include <vector>

#include "models/model.h"
#include "runtime/block_pool.h"

namespace infernum {

/// The pools of a model's groups of layers. Shared by all its sequences; used by one thread.
class CachePools {
 public:
  /// Allocates the model's cache for `tokens` tokens in all sequences together, of which there are at most `max_sequences` and which
  /// advance by at most `step_tokens` per step (0: any number). Windowed and recurrent groups get no more than their sequences hold.
  CachePools(Model& model, int64_t tokens, int64_t max_sequences, int64_t step_tokens = 0);
  const ModelInfo& info() const { return *info_; }
  BlockPool& group(int g) { return pools_[static_cast<size_t>(g)]; }
  int groups() const { return static_cast<int>(pools_.size()); }
  int64_t bytes() const;

 private:
  const ModelInfo* info_;
  std::vector<BlockPool> pools_;
};

/// Owns references to blocks and gives them back when it goes. Move-only.
class SequenceCache {
 public:
  explicit SequenceCache(CachePools& pools) : pools_(&pools), tables_(static_cast<size_t>(pools.groups())) {}
  ~SequenceCache() { clear(); }
  SequenceCache(SequenceCache&& other) noexcept : pools_(other.pools_), tables_(std::move(other.tables_)) { other.tables_.clear(); }
  SequenceCache& operator=(SequenceCache&&) = delete;

  /// Makes room for positions 0 .. tokens - 1; false, changing nothing, when a pool has too few blocks.
  bool reserve(int64_t tokens);
  /// To be called before a step that computes positions first .. end - 1: names the blocks in which recurrent layers find and leave their
  /// state.
  void begin_step(int64_t first, int64_t end);
  /// Gives back every block that no query at `next_position` or later reads.
  void release_passed(int64_t next_position);
  void clear();

  /// Block numbers by position / block_tokens. Freed entries are 0 and never read; in recurrent groups entries without a state are -1.
  const std::vector<int32_t>& table(int group) const { return tables_[static_cast<size_t>(group)].blocks; }
  int64_t blocks_held() const;

 private:
  bool recurrent(size_t group) const;
  struct Table {
    std::vector<int32_t> blocks;
    size_t passed = 0;           ///< leading entries already given back
    std::vector<int32_t> slots;  ///< recurrent: the two blocks used in turn, so that a step never overwrites the state it starts from
  };
  CachePools* pools_;
  std::vector<Table> tables_;
};

}  // namespace infernum
