// Fuzz target: the first byte picks a type, the rest are blocks of it; any bytes must dequantise without touching memory outside.
#include <vector>

#include "quant/quant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using infernum::DType;
  constexpr int first_block = static_cast<int>(DType::Q4_0), types = static_cast<int>(DType::TQ2_0) - first_block + 1;
  if (size == 0) return 0;
  const int pick = data[0] % (types + 3);
  const auto type = static_cast<DType>(pick < types ? first_block + pick : pick - types);
  const auto& shape = infernum::info(type);
  const auto blocks = (size - 1) / static_cast<size_t>(shape.bytes);
  const auto* bytes = reinterpret_cast<const std::byte*>(data + 1);
  const std::vector<std::byte> exact(bytes, bytes + blocks * static_cast<size_t>(shape.bytes));  // no slack for an overread to hide in
  std::vector<float> x(blocks * static_cast<size_t>(shape.block));
  infernum::dequantize(type, exact.data(), x.data(), static_cast<int64_t>(x.size()));
  return 0;
}
