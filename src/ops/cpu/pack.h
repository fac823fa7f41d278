// Packed weights: GGUF blocks of 16 rows interleaved so that one 64-byte vector holds 4 consecutive values of each row.
//
// A row group (16 rows, the last one filled up with zero rows) is a run of tiles along k; `v[j]` is a 64-byte vector whose 4-byte lane r
// comes from row r; all numbers in bytes:
//   Q4_0_R16  pairs of blocks: f16 d[2][16], then per block v[4]: the block's 16 bytes of nibbles, 4 at a time       (tile 2 x 288)
//   Q8_0_R16  pairs of blocks: f16 d[2][16], then per block v[8]: 32 values, stored unsigned as q + 128              (tile 2 x 544)
//             (an odd last block stands alone: f16 d[16], then its vectors)
//   Q4_K_R16  f16 d[16], f16 dmin[16], u8 scale[8][16], u8 min[8][16], v[32]: the 128 bytes of nibbles              (tile 2368)
//   Q5_K_R16  f16 d[16], f16 dmin[16], u8 scale[8][16], u8 min[8][16], v[8]: the 32 bytes of high bits, v[32]       (tile 2880)
//   Q6_K_R16  f16 d[16], 32 unused, i8 scale[16][16], v[32]: 128 bytes of nibbles, v[16]: 64 bytes of high bit pairs (tile 3392)
// Every tile starts at a multiple of 64 when the matrix does (but for the odd last block).
#pragma once
#include <cstddef>
#include <optional>

#include "core/view.h"

namespace infernum {

constexpr int64_t packed_rows = 16;

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
