#include "blocks/compare.h"

#include <cmath>

namespace infernum {

void check_equal(std::string_view block, DType dtype, const std::vector<float>& fused, const std::vector<float>& decomposed) {
  check(fused.size() == decomposed.size(), "fusion check: sizes differ", block, fused.size(), decomposed.size());
  float largest = 0;
  for (float d : decomposed) largest = std::isfinite(d) ? std::max(largest, std::abs(d)) : largest;
  // The decomposed form rounds its intermediates to the activation dtype, the fused one does not: two roundings apart.
  const float tolerance = (dtype == DType::F32 ? 1e-5f : dtype == DType::F16 ? 4e-3f : 2e-2f) * largest;
  for (size_t i = 0; i < fused.size(); i++) {
    const bool same =
        std::abs(fused[i] - decomposed[i]) <= tolerance || (std::isnan(fused[i]) && std::isnan(decomposed[i])) || fused[i] == decomposed[i];
    check(same, "fusion check: fused and decomposed differ", block, "element", i, fused[i], decomposed[i]);
  }
}

}  // namespace infernum
