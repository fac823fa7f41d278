// The unit of CPU attention: a tile of query rows of one kv head against one sequence's paged keys and values.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/dtype.h"

namespace infernum {

struct AttentionTile {
  const float* q;           ///< (rows, D), already scaled; rows of one token's heads are neighbours
  float* out;               ///< (rows, D)
  const int32_t* position;  ///< (rows)
  const float* sinks;       ///< (rows), or null
  int64_t rows;
  int64_t head_dim;
  const void* k;         ///< this kv head in block 0: (D, 16)
  const void* v;         ///< this kv head in block 0: (16, D)
  int64_t block_stride;  ///< elements from a block to the next
  const int32_t* block_table;
  int window;
  float softcap;
  float* scratch;  ///< tile_scratch(rows, D) floats
};

/// Keys handled between two rescalings of the running sums.
inline constexpr int64_t tile_keys = 64;
inline int64_t tile_scratch(int64_t rows) { return rows * (tile_keys + 2); }

/// Online-softmax attention of the tile (Milakov and Gimelshein 2018; Dao 2023). The cache holds T = F32, F16 or BF16.
using AttendTile = void (*)(const AttentionTile&);
AttendTile attend_tile(Isa isa, DType cache);

}  // namespace infernum
