// Dispatch of quantize() over the types, and the check of its input.
#include "quant/quantize.h"

#include <cmath>
#include <limits>

#include "quant/quant.h"

namespace infernum {
namespace {

template <class Half>
void narrow(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const Half h(src[i]);
    std::memcpy(dst + 2 * i, &h, 2);
  }
}

}  // namespace

bool can_quantize(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16 || (is_gguf_block(type) && type != DType::IQ3_S);
}

float max_magnitude(DType type) {
  if (type == DType::F32) return std::numeric_limits<float>::max();
  if (type == DType::MXFP4) return 0x1.8p127f;  // 6 * 2^125; the next power of two would round up to infinity
  if (type == DType::BF16) return 0x1.fep127f;
  return 65504;
}

int64_t find_unquantizable(DType type, const float* src, int64_t n) {
  const float limit = max_magnitude(type);
  constexpr int64_t run = 1024;  // the inner loop has no exit, so that it becomes vector code
  for (int64_t begin = 0; begin < n; begin += run) {
    const int64_t end = std::min(n, begin + run);
    int bad = 0;
    for (int64_t i = begin; i < end; ++i) bad |= !(std::abs(src[i]) <= limit);
    for (int64_t i = begin; bad && i < end; ++i)
      if (!(std::abs(src[i]) <= limit)) return i;
  }
  return -1;
}

void quantize(DType type, const float* src, std::byte* dst, int64_t n) {
  check(n >= 0 && n % info(type).block == 0, "quantize: the length must be a multiple of the block", type, "length", n);
  check(can_quantize(type), "quantize: no conversion to", type);
  const int64_t bad = find_unquantizable(type, src, n);
  if (bad >= 0)
    fail("quantize: a value is not finite or too large for", type, "element", bad, "value", src[bad], "limit", max_magnitude(type));
  if (n == 0) return;
  switch (type) {
    case DType::F32: std::memcpy(dst, src, static_cast<size_t>(n) * 4); return;
    case DType::F16: narrow<F16>(src, dst, n); return;
    case DType::BF16: narrow<BF16>(src, dst, n); return;
    default: break;
  }
  with_block(type, [&](auto block) {
    using Block = decltype(block);
    if constexpr (!std::is_same_v<Block, BlockIQ3_S>) {
      for (int64_t i = 0; i < n / block_elements<Block>; ++i) {
        quantize_block(src + i * block_elements<Block>, block);
        std::memcpy(dst + i * static_cast<int64_t>(sizeof(Block)), &block, sizeof(Block));
      }
    }
  });
}

}  // namespace infernum
