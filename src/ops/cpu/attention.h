// CPU attention: the work of one op, cut into tiles of query rows that share a sequence's keys, and the unit that computes a tile.
#pragma once
#include <algorithm>
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/view.h"

namespace infernum {

/// Query rows against a range of keys. Row r sees the keys oldest[r] .. position[r]; both ascend.
struct AttentionTile {
  const float* q;           ///< (rows, key_dim), already scaled; rows of one token's heads are neighbours
  float* out;               ///< (rows, value_dim): sum of exp(score - highest) * value, not yet divided by total
  float* highest;           ///< (rows): the largest score
  float* total;             ///< (rows): sum of exp(score - highest)
  const int32_t* position;  ///< (rows)
  const int32_t* oldest;    ///< (rows)
  int64_t rows, key_dim, value_dim;
  int64_t first_key, end_key;  ///< the keys to read; first_key is a multiple of 16
  const void* k;               ///< in block 0
  const void* v;               ///< in block 0: rows of keys, value_stride elements apart
  int64_t value_stride;
  int64_t block_stride;  ///< elements from a block to the next, of k and of v
  const int32_t* block_table;
  float softcap;
  float* scratch;  ///< tile_scratch() floats
};

/// Keys handled between two rescalings of the running sums: from one multiple of this to the next, whatever the first key is.
inline constexpr int64_t tile_keys = 64;
inline constexpr int64_t tile_scratch(int64_t rows, int64_t key_dim) { return std::max(rows, int64_t{16}) * tile_keys + 32 * key_dim; }

/// Online-softmax attention of the tile (Milakov and Gimelshein 2018; Dao 2023).
using AttendTile = void (*)(const AttentionTile&);

/// How a block stores its keys: a component of 16 keys side by side (key_dim, 16), or as rows, value_stride apart like the values.
enum class KeyLayout { Components, Rows };
/// The cache holds F32, F16 or BF16.
AttendTile attend_tile(Isa isa, DType cache, KeyLayout keys);

/// Attention of a ragged batch. Query head h reads kv head h / group.
struct AttentionWork {
  View<Cpu> y, q;  ///< (T, kv_heads * group * value_dim), (T, kv_heads * group * key_dim)
  View<Cpu> positions, query_start, block_table;
  const float* sinks = nullptr;  ///< (kv_heads * group) or null
  int64_t kv_heads = 1, group = 1, key_dim = 0, value_dim = 0;
  const void* k = nullptr;
  const void* v = nullptr;
  DType cache = DType::F32;
  KeyLayout keys = KeyLayout::Components;
  int64_t value_stride = 0, head_stride = 0, block_stride = 0;  ///< elements; head_stride: from a kv head to the next within a block
  float scale = 1, softcap = 0;
  int window = 0, chunk = 0;
};

/// Keys from `key` on that are attended to apart and then merged, in order: few query rows with many keys spread such parts over the
/// threads. They depend on nothing but the position, so that a row has the same bits in any company. 16 parts from one power of two to the
/// next bound what the parts of a long sequence take.
constexpr int64_t part_end(int64_t key) {
  int64_t size = 256;
  while (size * 32 <= key) size *= 2;
  return key / size * size + size;
}

void run_attention(Queue<Cpu>& queue, const AttentionWork& work);

}  // namespace infernum
