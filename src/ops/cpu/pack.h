// Packed weights: GGUF blocks of 16 rows interleaved so that one 64-byte vector holds 4 consecutive values of each row.
//
// A row group (16 rows, the last one filled up with zero rows) is a run of tiles along k; `v[j]` is a 64-byte vector whose 4-byte lane r
// comes from row r; all numbers in bytes. Tiles are read in order: a core's prefetchers lose half the speed otherwise.
//   Blocks of 32 (SmallBlocks below): tiles of 1, 2 or 4 blocks, fewer at the end of a row; first the scales of all blocks of the tile (f16
//   d[16]; f16 d[16], m[16]; MXFP4 u8 e[16]), then per block, for 5-bit types, u64 high[8] (bit i of high[j] belongs to value i of v[j], in
//   lane order) and v[4], the 16 bytes of nibbles (Q8_0: v[8], stored unsigned as q + 128). Q4_K_R16  f16 d[16], f16 dmin[16], u8
//   scale[8][16], u8 min[8][16], v[32]: the 128 bytes of nibbles              (tile 2368) Q5_K_R16  f16 d[16], f16 dmin[16], u8
//   scale[8][16], u8 min[8][16], v[8]: the 32 bytes of high bits, v[32]       (tile 2880) Q6_K_R16  f16 d[16], 32 unused, i8 scale[16][16],
//   per 128 values v[8]: 32 bytes of high bit pairs, v[16]: 64 bytes of nibbles (tile 3392)
// Every tile starts at a multiple of 64 when the matrix does (but for the odd last block).
#pragma once
#include <cstddef>
#include <optional>

#include "core/view.h"

namespace infernum {

constexpr int64_t packed_rows = 16;

/// A packed type of 32-value blocks; bytes for 16 rows.
struct SmallBlocks {
  int tile_blocks;
  int scale_bytes;
  int high_bytes;
  int vectors;
  constexpr int64_t body_bytes() const { return high_bytes + 64 * vectors; }
  constexpr int64_t block_bytes() const { return scale_bytes + body_bytes(); }
};
constexpr SmallBlocks small_blocks(DType packed) {
  switch (packed) {
    case DType::Q4_1_R16: return {1, 64, 0, 4};
    case DType::Q5_0_R16: return {2, 32, 64, 4};
    case DType::Q5_1_R16: return {1, 64, 64, 4};
    case DType::Q8_0_R16: return {2, 32, 0, 8};
    case DType::MXFP4_R16: return {4, 16, 0, 4};
    default: return {2, 32, 0, 4};  // Q4_0, IQ4_NL
  }
}

/// The packed form made from blocks of type `from`; nothing where there is none (then the kernels take the blocks as they are).
std::optional<DType> packed_type(DType from);

/// Bytes of an (n, k) matrix in packed form; k is a multiple of the block. An (E, n, k) stack is E such matrices in a row.
constexpr int64_t packed_bytes(DType packed, int64_t n, int64_t k) {
  return bytes_of(packed, (n + packed_rows - 1) / packed_rows * packed_rows * k);
}

/// Packs the (n, k) matrix of `from` blocks at `rows` into packed_bytes() bytes at `out` (best 64-byte aligned), on all threads.
void pack_rows(Queue<Cpu>& queue, DType from, const std::byte* rows, int64_t n, int64_t k, std::byte* out);

/// The same for up to 16 rows, `row_bytes` apart, on this thread.
void pack_group(DType from, const std::byte* rows, int64_t row_bytes, int64_t n, int64_t k, std::byte* out);

}  // namespace infernum
