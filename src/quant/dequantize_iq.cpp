// Dequantisation of the 256-element blocks with non-linear levels: IQ4_XS and the grid type IQ3_S.
#include "quant/dequantize.h"
#include "quant/iq3s_grid.h"

namespace infernum {

void dequantize_block(const BlockIQ4_XS& b, float* y) {
  const float d(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const float scale = d * static_cast<float>(iq4xs_scale(b, sub));
    const uint8_t* qs = b.qs + 16 * sub;
    for (int l = 0; l < 16; ++l) {
      y[l] = scale * static_cast<float>(iq4_values[qs[l] & 15]);
      y[l + 16] = scale * static_cast<float>(iq4_values[qs[l] >> 4]);
    }
    y += 32;
  }
}

void dequantize_block(const BlockIQ3_S& b, float* y) {
  const float d(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const float scale = d * static_cast<float>(1 + 2 * (b.scales[sub / 2] >> 4 * (sub & 1) & 15));
    for (int p = 0; p < 8; ++p) {
      const auto& entry = iq3s_grid[b.qs[8 * sub + p] | (b.qh[sub] >> p & 1) << 8];
      const int signs = b.signs[4 * sub + p / 2] >> 4 * (p & 1);
      for (int k = 0; k < 4; ++k) *y++ = (signs >> k & 1 ? -scale : scale) * static_cast<float>(entry[k]);
    }
  }
}

}  // namespace infernum
