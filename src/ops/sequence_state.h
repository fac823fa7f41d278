// The state a layer keeps of every sequence, one notion for keys and values, latents and recurrent states: it lies in numbered blocks, and
// a sequence's block table names those it holds. Block j belongs to positions j * block_tokens and following. A cache keeps a row per token
// in it; a recurrent layer the state after the last of these tokens, so that an old block is a checkpoint from which a sequence with the
// same beginning can go on.
#pragma once
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "ops/params.h"

namespace infernum {

/// Tokens per block. 16 keys fill one 512-bit vector of scores.
inline constexpr int64_t block_tokens = 16;

/// How far back a layer looks. Layers that look equally far form a group and share a block table.
struct Retention {
  enum class Kind { All, Window, Chunk, Recurrent } kind = Kind::All;
  int64_t tokens = 0;  ///< of a Window or a Chunk
  friend bool operator==(const Retention& a, const Retention& b) { return a.kind == b.kind && a.tokens == b.tokens; }

  /// Oldest position whose block a query at `position` reads; a recurrent layer reads the state that its predecessor left.
  int64_t oldest_read(int64_t position) const;
  /// Blocks that one sequence holds at most when it has `length` tokens and advances by at most `step` tokens at once.
  int64_t blocks_held(int64_t length, int64_t step) const;
};

/// One tensor of a layer's state; its shape is (blocks, ...) with this rest.
struct StatePart {
  std::string_view name;
  Shape block;         ///< of this rank
  bool exact = false;  ///< F32 whatever the cache's dtype is
};

/// What one layer keeps on one rank.
struct SequenceState {
  Retention retention;
  std::vector<StatePart> parts;
  /// Bytes of one block on one rank.
  int64_t block_bytes(DType cache_dtype) const;
};

/// Keys (Nkv, D, block_tokens), so that a vector holds one component of 16 keys, and values (Nkv, block_tokens, D).
SequenceState key_value_state(int64_t kv_heads, int64_t head_dim, const AttentionParams& params);

/// The state of one layer on a device: a tensor (blocks, ...) for every part.
template <class B>
struct LayerState {
  std::vector<Tensor<B>> parts;
  int group = 0;  ///< index into Batch::block_tables
  const Tensor<B>& operator[](size_t part) const { return parts[part]; }
};

}  // namespace infernum
