// Quantisation to the K-quants with a minimum: Q2_K, Q4_K, Q5_K. Each sub-block gets the scale and minimum of least weighted error, those
// are rounded to small integers over the super-block, and the elements are rounded again with what came out.
#include <algorithm>

#include "quant/quantize.h"
#include "quant/rounding.h"

namespace infernum {
namespace {

/// x is about scale * q - min with 0 <= q <= top; min >= 0.
struct Affine {
  float scale = 0, min = 0;
};

/// Which inverse scales to try: (top + first + step * i) / range for i = 0..steps.
struct Search {
  int top;
  float first, step;
  int steps;
  bool absolute_error;  // compare candidates by weighted absolute instead of squared error
};

float error_of(const float* x, const float* w, const uint8_t* q, int n, Affine a, bool absolute) {
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float diff = a.scale * q[i] - a.min - x[i];
    error += w[i] * (absolute ? std::abs(diff) : diff * diff);
  }
  return error;
}

/// Weighted least squares for scale and min with the levels fixed; false where they are all alike.
bool solve(const float* x, const float* w, const uint8_t* q, int n, Affine& a) {
  float sum_w = 0, sum_x = 0, sum_q = 0, sum_qq = 0, sum_xq = 0;
  for (int i = 0; i < n; ++i) {
    const auto level = static_cast<float>(q[i]);
    sum_w += w[i];
    sum_x += w[i] * x[i];
    sum_q += w[i] * level;
    sum_qq += w[i] * level * level;
    sum_xq += w[i] * level * x[i];
  }
  const float determinant = sum_w * sum_qq - sum_q * sum_q;
  if (!(determinant > 0)) return false;
  a.scale = (sum_w * sum_xq - sum_x * sum_q) / determinant;
  a.min = (sum_q * sum_xq - sum_qq * sum_x) / determinant;
  if (a.min < 0) a = {sum_xq / sum_qq, 0};
  return true;
}

template <int N>
Affine fit(const float* x, const float* w, const Search& search) {
  const auto [low_at, high_at] = std::minmax_element(x, x + N);
  const float low = std::min(*low_at, 0.0f), high = *high_at;
  const auto top = static_cast<float>(search.top);
  if (!(high - low > 1e-30f)) return {0, -low};
  uint8_t q[N];
  Affine best{(high - low) / top, -low};
  // Candidates start from the best minimum so far, not from the least element: that reaches better fits.
  const auto round_levels = [&](float steps) {
    const float inv = steps / (high + best.min);
    for (int i = 0; i < N; ++i) q[i] = static_cast<uint8_t>(nearest((x[i] + best.min) * inv, 0, search.top));
  };
  round_levels(top);
  float best_error = error_of(x, w, q, N, best, search.absolute_error);
  for (int i = 0; i <= search.steps; ++i) {
    round_levels(top + search.first + search.step * static_cast<float>(i));
    Affine candidate;
    if (!solve(x, w, q, N, candidate)) continue;
    const float error = error_of(x, w, q, N, candidate, search.absolute_error);
    if (error < best_error) {
      best = candidate;
      best_error = error;
    }
  }
  return best;
}

/// d and dmin of a super-block and the integer scales and minima of its sub-blocks, 0..top.
template <int Subs>
struct SuperBlock {
  F16 d, dmin;
  uint8_t scale[Subs], min[Subs];

  SuperBlock(const Affine (&a)[Subs], int top) {
    float max_scale = 0, max_min = 0;
    for (const auto& sub : a) {
      max_scale = std::max(max_scale, sub.scale);
      max_min = std::max(max_min, sub.min);
    }
    const auto steps = static_cast<float>(top);
    d = F16(max_scale / steps);
    dmin = F16(max_min / steps);
    const float inv_scale = max_scale > 0 ? steps / max_scale : 0, inv_min = max_min > 0 ? steps / max_min : 0;
    for (int s = 0; s < Subs; ++s) {
      scale[s] = static_cast<uint8_t>(nearest(a[s].scale * inv_scale, 0, top));
      min[s] = static_cast<uint8_t>(nearest(a[s].min * inv_min, 0, top));
    }
  }

  /// Levels 0..top_level of every element under the rounded scales.
  void levels(const float* x, int top_level, uint8_t (&q)[256]) const {
    constexpr int n = 256 / Subs;
    for (int s = 0; s < Subs; ++s) {
      const float step = static_cast<float>(d) * scale[s], low = static_cast<float>(dmin) * min[s];
      for (int i = s * n; i < (s + 1) * n; ++i) q[i] = step == 0 ? 0 : static_cast<uint8_t>(nearest((x[i] + low) / step, 0, top_level));
    }
  }
};

/// Q4_K and Q5_K: large elements weigh more, but none less than the root mean square of its sub-block.
SuperBlock<8> fit_subs_of_32(const float* x, const Search& search) {
  Affine a[8];
  for (int s = 0; s < 8; ++s) {
    const float* sub = x + 32 * s;
    float w[32], squares = 0;
    for (int i = 0; i < 32; ++i) squares += sub[i] * sub[i];
    const float rms = std::sqrt(squares / 32);
    for (int i = 0; i < 32; ++i) w[i] = rms + std::abs(sub[i]);
    a[s] = fit<32>(sub, w, search);
  }
  return SuperBlock<8>(a, 63);
}

/// The inverse of scale_min().
void pack_scales(const SuperBlock<8>& super, uint8_t (&s)[12]) {
  for (int b = 0; b < 4; ++b) {
    const int scale = super.scale[b + 4], min = super.min[b + 4];
    s[b] = static_cast<uint8_t>(super.scale[b] | (scale >> 4) << 6);
    s[b + 4] = static_cast<uint8_t>(super.min[b] | (min >> 4) << 6);
    s[b + 8] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
  }
}

/// The low four bits of each level: sub-blocks 2k and 2k + 1 share 32 bytes.
void pack_low_bits(const uint8_t (&q)[256], uint8_t (&qs)[128]) {
  for (int pair = 0; pair < 4; ++pair)
    for (int l = 0; l < 32; ++l) qs[32 * pair + l] = static_cast<uint8_t>((q[64 * pair + l] & 15) | q[64 * pair + 32 + l] << 4);
}

}  // namespace

void quantize_block(const float* x, BlockQ2_K& b) {
  Affine a[16];
  for (int s = 0; s < 16; ++s) {
    float w[16];
    for (int i = 0; i < 16; ++i) w[i] = std::abs(x[16 * s + i]);
    a[s] = fit<16>(x + 16 * s, w, {3, -0.5f, 0.1f, 15, true});
  }
  const SuperBlock<16> super(a, 15);
  b.d = super.d;
  b.dmin = super.dmin;
  for (int s = 0; s < 16; ++s) b.scales[s] = static_cast<uint8_t>(super.scale[s] | super.min[s] << 4);
  uint8_t q[256];
  super.levels(x, 3, q);
  for (int n = 0; n < 2; ++n)
    for (int l = 0; l < 32; ++l) {
      int bits = 0;
      for (int j = 0; j < 4; ++j) bits |= q[128 * n + 32 * j + l] << 2 * j;
      b.qs[32 * n + l] = static_cast<uint8_t>(bits);
    }
}

void quantize_block(const float* x, BlockQ4_K& b) {
  const auto super = fit_subs_of_32(x, {15, -1.0f, 0.1f, 20, false});
  b.d = super.d;
  b.dmin = super.dmin;
  pack_scales(super, b.scales);
  uint8_t q[256];
  super.levels(x, 15, q);
  pack_low_bits(q, b.qs);
}

void quantize_block(const float* x, BlockQ5_K& b) {
  const auto super = fit_subs_of_32(x, {31, -0.5f, 0.1f, 15, false});
  b.d = super.d;
  b.dmin = super.dmin;
  pack_scales(super, b.scales);
  uint8_t q[256];
  super.levels(x, 31, q);
  pack_low_bits(q, b.qs);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int sub = 0; sub < 8; ++sub) bits |= (q[32 * sub + l] >> 4) << sub;
    b.qh[l] = static_cast<uint8_t>(bits);
  }
}

}  // namespace infernum
