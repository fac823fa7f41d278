// Fuzz target: the first byte picks a type, the rest are floats; what is accepted must come back finite.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "quant/quant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using infernum::DType;
  constexpr int first_block = static_cast<int>(DType::Q4_0), types = static_cast<int>(DType::TQ2_0) - first_block + 1;
  if (size == 0) return 0;
  const int pick = data[0] % (types + 3);
  const auto type = static_cast<DType>(pick < types ? first_block + pick : pick - types);
  if (!infernum::can_quantize(type)) return 0;
  const auto block = static_cast<size_t>(infernum::info(type).block), blocks = (size - 1) / 4 / block;
  std::vector<float> x(blocks * block);
  if (!x.empty()) std::memcpy(x.data(), data + 1, x.size() * 4);
  const auto n = static_cast<int64_t>(x.size());
  if (infernum::find_unquantizable(type, x.data(), n) >= 0) return 0;
  std::vector<std::byte> bytes(static_cast<size_t>(infernum::bytes_of(type, n)));
  infernum::quantize(type, x.data(), bytes.data(), n);
  infernum::dequantize(type, bytes.data(), x.data(), n);
  for (const float v : x)
    if (!std::isfinite(v)) std::abort();
  return 0;
}
