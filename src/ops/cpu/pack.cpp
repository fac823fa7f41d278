// Packing of GGUF blocks into 16-row groups: transposes of 4-byte lanes plus the unpacking of 6-bit scales. Bound by memory.
#include "ops/cpu/pack.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/queue.h"
#include "core/check.h"

namespace infernum {
namespace {

/// 16 rows of one block type; `missing` rows read as zero bytes, which every packed type decodes to zero because d is zero.
struct Rows {
  const std::byte* row[packed_rows];
  int64_t count;
};

/// out[j] lane r = 4 bytes at row r + offset + 4 j, each byte xor `flip`.
void transpose_lanes(const Rows& rows, int64_t offset, int lanes, uint32_t flip, std::byte* out) {
  for (int64_t r = 0; r < rows.count; r++) {
    const std::byte* from = rows.row[r] + offset;
    for (int j = 0; j < lanes; j++) {
      uint32_t lane;
      std::memcpy(&lane, from + 4 * j, 4);
      lane ^= flip;
      std::memcpy(out + 64 * j + 4 * r, &lane, 4);
    }
  }
  for (int64_t r = rows.count; r < packed_rows; r++)
    for (int j = 0; j < lanes; j++) std::memset(out + 64 * j + 4 * r, 0, 4);
}

/// out[r] = the f16 at row r + offset.
void gather_halves(const Rows& rows, int64_t offset, std::byte* out) {
  std::memset(out, 0, 2 * packed_rows);
  for (int64_t r = 0; r < rows.count; r++) std::memcpy(out + 2 * r, rows.row[r] + offset, 2);
}

/// Bit 4 r + i of high[j] = bit 4 j + i of the 32 high bits at row r + offset.
void pack_high_bits(const Rows& rows, int64_t offset, std::byte* out) {
  uint64_t high[8] = {};
  for (int64_t r = 0; r < rows.count; r++) {
    uint32_t bits;
    std::memcpy(&bits, rows.row[r] + offset, 4);
    for (int j = 0; j < 8; j++) high[j] |= static_cast<uint64_t>(bits >> 4 * j & 15) << 4 * r;
  }
  std::memcpy(out, high, sizeof high);
}

/// Blocks of 32: scales, then high bits if any, then quants.
void pack_small(const Rows& rows, DType from, int64_t blocks, std::byte* out) {
  const SmallBlocks form = small_blocks(*packed_type(from));
  const int64_t block_bytes = info(from).bytes, quants_at = block_bytes - 4 * form.vectors, high_at = quants_at - 4;
  const uint32_t flip = from == DType::Q8_0 ? 0x80808080 : 0;
  for (int64_t b = 0; b < blocks; b += form.tile_blocks) {
    const int64_t count = std::min<int64_t>(form.tile_blocks, blocks - b);
    for (int64_t i = 0; i < count; i++) {
      const int64_t at = (b + i) * block_bytes;
      std::byte *scale = out + i * form.scale_bytes, *body = out + count * form.scale_bytes + i * form.body_bytes();
      if (from == DType::MXFP4) {
        for (int64_t r = 0; r < packed_rows; r++) scale[r] = r < rows.count ? rows.row[r][at] : std::byte{0};
      } else {
        gather_halves(rows, at, scale);
        if (form.scale_bytes == 64) gather_halves(rows, at + 2, scale + 32);
      }
      if (form.high_bytes) pack_high_bits(rows, at + high_at, body);
      transpose_lanes(rows, at + quants_at, form.vectors, flip, body + form.high_bytes);
    }
    out += count * form.block_bytes();
  }
}

/// The 12 bytes that hold eight 6-bit scales and eight 6-bit mins (Q4_K, Q5_K), one byte each into scale[16 b] and min[16 b].
void unpack_k4(const std::byte* from, std::byte* scale, std::byte* min) {
  uint32_t s[3];
  std::memcpy(s, from, 12);
  const uint32_t parts[4] = {s[0] & 0x3f3f3f3f, (s[2] & 0x0f0f0f0f) | (s[0] >> 6 & 0x03030303) << 4,        // scales 0-3, 4-7
                             s[1] & 0x3f3f3f3f, (s[2] >> 4 & 0x0f0f0f0f) | (s[1] >> 6 & 0x03030303) << 4};  // mins
  for (int b = 0; b < 8; b++) {
    scale[packed_rows * b] = static_cast<std::byte>(parts[b / 4] >> 8 * (b % 4));
    min[packed_rows * b] = static_cast<std::byte>(parts[2 + b / 4] >> 8 * (b % 4));
  }
}

/// Q4_K (high = false) and Q5_K.
void pack_q45_k(const Rows& rows, int64_t blocks, bool high, std::byte* out) {
  const int64_t block_bytes = high ? 176 : 144, tile_bytes = high ? 2880 : 2368;
  for (int64_t b = 0; b < blocks; b++, out += tile_bytes) {
    const int64_t at = b * block_bytes;
    gather_halves(rows, at, out);
    gather_halves(rows, at + 2, out + 32);
    std::memset(out + 64, 0, 256);
    for (int64_t r = 0; r < rows.count; r++) unpack_k4(rows.row[r] + at + 4, out + 64 + r, out + 192 + r);
    if (high) transpose_lanes(rows, at + 16, 8, 0, out + 320);
    transpose_lanes(rows, at + (high ? 48 : 16), 32, 0, out + (high ? 832 : 320));
  }
}

void pack_q6_k(const Rows& rows, int64_t blocks, std::byte* out) {
  constexpr int64_t block_bytes = 210, tile_bytes = 3392;
  for (int64_t b = 0; b < blocks; b++, out += tile_bytes) {
    const int64_t at = b * block_bytes;
    std::memset(out, 0, 320);
    gather_halves(rows, at + 208, out);
    for (int64_t r = 0; r < rows.count; r++)
      for (int s = 0; s < 16; s++) out[64 + 16 * s + r] = rows.row[r][at + 192 + s];
    for (int half : {0, 1}) {
      transpose_lanes(rows, at + 128 + 32 * half, 8, 0, out + 320 + 1536 * half);
      transpose_lanes(rows, at + 64 * half, 16, 0, out + 320 + 1536 * half + 512);
    }
  }
}

}  // namespace

std::optional<DType> packed_type(DType from) {
  switch (from) {
    case DType::Q4_0: return DType::Q4_0_R16;
    case DType::Q4_1: return DType::Q4_1_R16;
    case DType::Q5_0: return DType::Q5_0_R16;
    case DType::Q5_1: return DType::Q5_1_R16;
    case DType::Q8_0: return DType::Q8_0_R16;
    case DType::IQ4_NL: return DType::IQ4_NL_R16;
    case DType::MXFP4: return DType::MXFP4_R16;
    case DType::Q4_K: return DType::Q4_K_R16;
    case DType::Q5_K: return DType::Q5_K_R16;
    case DType::Q6_K: return DType::Q6_K_R16;
    default: return std::nullopt;
  }
}

void pack_group(DType from, const std::byte* rows, int64_t row_bytes, int64_t n, int64_t k, std::byte* out) {
  Rows group{};
  group.count = std::min(n, packed_rows);
  for (int64_t r = 0; r < group.count; r++) group.row[r] = rows + r * row_bytes;
  const int64_t blocks = k / info(from).block;
  switch (from) {
    case DType::Q4_K: return pack_q45_k(group, blocks, false, out);
    case DType::Q5_K: return pack_q45_k(group, blocks, true, out);
    case DType::Q6_K: return pack_q6_k(group, blocks, out);
    default: return pack_small(group, from, blocks, out);
  }
}

void pack_rows(Queue<Cpu>& queue, DType from, const std::byte* rows, int64_t n, int64_t k, std::byte* out) {
  const auto packed = packed_type(from);
  check(packed.has_value(), "pack: this type has no packed form", from);
  check(n >= 0 && k >= 0 && k % info(from).block == 0, "pack: the row length is a multiple of the block", from, n, k);
  const int64_t row_bytes = bytes_of(from, k), group_bytes = packed_bytes(*packed, packed_rows, k);
  queue.parallel_for((n + packed_rows - 1) / packed_rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; g++)
      pack_group(from, rows + g * packed_rows * row_bytes, row_bytes, n - g * packed_rows, k, out + g * group_bytes);
  });
}

}  // namespace infernum
