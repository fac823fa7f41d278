#include "ops/sequence_state.h"

#include <algorithm>

namespace infernum {

int64_t Retention::oldest_read(int64_t position) const {
  switch (kind) {
    case Kind::All: return 0;
    case Kind::Window: return std::max<int64_t>(0, position - tokens + 1);
    case Kind::Chunk: return position / tokens * tokens;
    case Kind::Recurrent: return std::max<int64_t>(0, position - 1);
  }
  return 0;
}

int64_t Retention::blocks_held(int64_t length, int64_t step) const {
  const auto blocks = [](int64_t n) { return (n + block_tokens - 1) / block_tokens; };
  switch (kind) {
    case Kind::All: return blocks(length) + 1;  // the last block is rarely full
    case Kind::Window:
    case Kind::Chunk: return std::min(blocks(length) + 1, blocks(tokens + step) + 1);  // a window need not begin with a block
    case Kind::Recurrent: return 2;                                                    // the state read and the state written
  }
  return 0;
}

int64_t Retention::checkpoint_blocks() const {
  switch (kind) {
    case Kind::All: return 0;  // the sequence holds them anyway
    case Kind::Window:
    case Kind::Chunk: return (tokens - 1 + block_tokens - 1) / block_tokens;
    case Kind::Recurrent: return 1;
  }
  return 0;
}

int64_t SequenceState::block_bytes(DType cache_dtype) const {
  int64_t bytes = 0;
  for (const StatePart& p : parts) bytes += bytes_of(p.exact ? DType::F32 : cache_dtype, p.block.elements());
  return bytes;
}

SequenceState key_value_state(int64_t kv_heads, int64_t head_dim, const AttentionParams& params) {
  Retention r;
  if (params.window > 0) r = {Retention::Kind::Window, params.window};
  if (params.chunk > 0) r = {Retention::Kind::Chunk, params.chunk};
  return {r, {{"k_cache", {kv_heads, head_dim, block_tokens}}, {"v_cache", {kv_heads, block_tokens, head_dim}}}};
}

}  // namespace infernum
