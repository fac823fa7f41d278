// Quantisation to the K-quants with a minimum: Q2_K, Q4_K, Q5_K. Each sub-block gets the scale and minimum of least weighted error, those
// are rounded to small integers over the super-block, and the elements are rounded again with what came out.
#include <algorithm>

#include "quant/quantize.h"
#include "quant/rounding.h"

namespace infernum {
namespace {

/// Which inverse scales to try: (top + first + step * i) / range for i = 0..steps.
struct Search {
  int top;
  float first, step;
  int steps;
  bool absolute_error;  // compare candidates by weighted absolute instead of squared error
};

/// A sub-block in each lane: x[i][s] is element i of sub-block s. All loops over s are innermost and become vector code.
template <int Subs>
using Lanes = float[Subs];

/// x is about scale * q - min with 0 <= q <= top; min >= 0.
template <int Subs>
struct Affine {
  Lanes<Subs> scale, min;
};

/// Errors of the levels q: the weighted sums of size(difference).
template <int Subs, int N, class Size>
void error_of(const Lanes<Subs> (&x)[N], const Lanes<Subs> (&w)[N], const Lanes<Subs> (&q)[N], const Affine<Subs>& a, Size size,
              Lanes<Subs>& error) {
  Lanes<Subs> sum{};
  for (int i = 0; i < N; ++i)
    for (int s = 0; s < Subs; ++s) sum[s] += w[i][s] * size(a.scale[s] * q[i][s] - a.min[s] - x[i][s]);
  std::copy(sum, sum + Subs, error);
}

/// Weighted least squares for scale and min with the levels fixed; NaN or infinite where they are all alike.
template <int Subs, int N>
void solve(const Lanes<Subs> (&x)[N], const Lanes<Subs> (&w)[N], const Lanes<Subs> (&q)[N], Affine<Subs>& a) {
  Lanes<Subs> sum_w{}, sum_x{}, sum_q{}, sum_qq{}, sum_xq{};
  for (int i = 0; i < N; ++i)
    for (int s = 0; s < Subs; ++s) {
      const float weight = w[i][s], value = x[i][s], level = q[i][s];
      sum_w[s] += weight;
      sum_x[s] += weight * value;
      sum_q[s] += weight * level;
      sum_qq[s] += weight * level * level;
      sum_xq[s] += weight * level * value;
    }
  for (int s = 0; s < Subs; ++s) {
    float determinant = sum_w[s] * sum_qq[s] - sum_q[s] * sum_q[s];
    determinant = determinant > 0 ? determinant : 0.0f;
    const float scale = (sum_w[s] * sum_xq[s] - sum_x[s] * sum_q[s]) / determinant;
    const float min = (sum_q[s] * sum_xq[s] - sum_qq[s] * sum_x[s]) / determinant;
    const float through_zero = sum_xq[s] / sum_qq[s];
    a.scale[s] = min < 0 ? through_zero : scale;
    a.min[s] = min < 0 ? 0 : min;
  }
}

template <int Subs, int N>
Affine<Subs> fit(const Lanes<Subs> (&x)[N], const Lanes<Subs> (&w)[N], const Search& search) {
  Lanes<Subs> low{}, high, best_error, error, q[N];
  Affine<Subs> best, candidate;
  for (int s = 0; s < Subs; ++s) high[s] = x[0][s];
  for (int i = 0; i < N; ++i)
    for (int s = 0; s < Subs; ++s) {
      low[s] = x[i][s] < low[s] ? x[i][s] : low[s];
      high[s] = x[i][s] > high[s] ? x[i][s] : high[s];
    }
  const auto top = static_cast<float>(search.top);
  for (int s = 0; s < Subs; ++s) {
    best.scale[s] = (high[s] - low[s]) / top;
    best.min[s] = -low[s];
  }
  // Candidates start from the best minimum so far, not from the least element: that reaches better fits.
  const auto round_levels = [&](float steps) {
    Lanes<Subs> inv;
    for (int s = 0; s < Subs; ++s) inv[s] = steps / (high[s] + best.min[s]);
    for (int i = 0; i < N; ++i)
      for (int s = 0; s < Subs; ++s) q[i][s] = nearest_float((x[i][s] + best.min[s]) * inv[s], 0, top);
  };
  const auto measure = [&](const Affine<Subs>& a, Lanes<Subs>& to) {
    if (search.absolute_error)
      error_of(
          x, w, q, a, [](float diff) { return std::abs(diff); }, to);
    else
      error_of(
          x, w, q, a, [](float diff) { return diff * diff; }, to);
  };
  round_levels(top);
  measure(best, best_error);
  for (int i = 0; i <= search.steps; ++i) {
    round_levels(top + search.first + search.step * static_cast<float>(i));
    solve(x, w, q, candidate);
    measure(candidate, error);
    for (int s = 0; s < Subs; ++s) {
      const bool better = error[s] < best_error[s];  // never so for NaN
      best.scale[s] = better ? candidate.scale[s] : best.scale[s];
      best.min[s] = better ? candidate.min[s] : best.min[s];
      best_error[s] = better ? error[s] : best_error[s];
    }
  }
  for (int s = 0; s < Subs; ++s)
    if (!(high[s] - low[s] > 1e-30f)) {
      best.scale[s] = 0;
      best.min[s] = -low[s];
    }
  return best;
}

/// d and dmin of a super-block and the integer scales and minima of its sub-blocks, 0..top.
template <int Subs>
struct SuperBlock {
  F16 d, dmin;
  uint8_t scale[Subs], min[Subs];

  SuperBlock(const Affine<Subs>& a, int top) {
    const float max_scale = std::max(0.0f, *std::max_element(a.scale, a.scale + Subs));
    const float max_min = std::max(0.0f, *std::max_element(a.min, a.min + Subs));
    const auto steps = static_cast<float>(top);
    d = F16(max_scale / steps);
    dmin = F16(max_min / steps);
    const float inv_scale = max_scale > 0 ? steps / max_scale : 0, inv_min = max_min > 0 ? steps / max_min : 0;
    for (int s = 0; s < Subs; ++s) {
      scale[s] = static_cast<uint8_t>(nearest(a.scale[s] * inv_scale, 0, top));
      min[s] = static_cast<uint8_t>(nearest(a.min[s] * inv_min, 0, top));
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
  Lanes<8> lanes[32], w[32], squares{}, rms;
  for (int i = 0; i < 32; ++i)
    for (int sub = 0; sub < 8; ++sub) {
      lanes[i][sub] = x[32 * sub + i];
      squares[sub] += lanes[i][sub] * lanes[i][sub];
    }
  for (int sub = 0; sub < 8; ++sub) rms[sub] = std::sqrt(squares[sub] / 32);
  for (int i = 0; i < 32; ++i)
    for (int sub = 0; sub < 8; ++sub) w[i][sub] = rms[sub] + std::abs(lanes[i][sub]);
  return SuperBlock<8>(fit(lanes, w, search), 63);
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
  Lanes<16> lanes[16], w[16];
  for (int i = 0; i < 16; ++i)
    for (int sub = 0; sub < 16; ++sub) {
      lanes[i][sub] = x[16 * sub + i];
      w[i][sub] = std::abs(lanes[i][sub]);
    }
  const SuperBlock<16> super(fit(lanes, w, {3, -0.5f, 0.1f, 15, true}), 15);
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
