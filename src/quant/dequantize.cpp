// Dispatch of dequantize() over the types.
#include "quant/dequantize.h"

#include "quant/quant.h"

namespace infernum {
namespace {

template <class Half>
void widen(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    Half h;
    std::memcpy(&h, src + 2 * i, 2);
    dst[i] = static_cast<float>(h);
  }
}

}  // namespace

void dequantize(DType type, const std::byte* src, float* dst, int64_t n) {
  check(n >= 0 && n % info(type).block == 0, "dequantize: the length must be a multiple of the block", type, "length", n);
  if (n == 0) return;
  switch (type) {
    case DType::F32: std::memcpy(dst, src, static_cast<size_t>(n) * 4); return;
    case DType::F16: widen<F16>(src, dst, n); return;
    case DType::BF16: widen<BF16>(src, dst, n); return;
    default: break;
  }
  check(is_gguf_block(type), "dequantize: no conversion from", type);
  with_block(type, [&](auto block) {
    using Block = decltype(block);
    constexpr int elements = block_elements<Block>;
    for (int64_t i = 0; i < n / elements; ++i) dequantize_block(load_block<Block>(src, i), dst + i * elements);
  });
}

}  // namespace infernum
