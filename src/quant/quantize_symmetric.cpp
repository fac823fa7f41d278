// Quantisation to the types whose sub-blocks have a scale and no minimum: Q3_K, Q6_K, IQ4_NL, IQ4_XS and MXFP4. The error of element i
// weighs x_i^2. Scales start from the one that puts the extreme element on the extreme level, whichever its sign.
#include "quant/quantize.h"
#include "quant/rounding.h"

namespace infernum {
namespace {

constexpr float negligible = 1e-15f;  // far below half of the smallest F16

/// With levels q the best scale is xq / qq, and the weighted error falls by xq^2 / qq.
struct Moments {
  float xq = 0, qq = 0;

  void add(float x, float level, float sign = 1) {
    const float w = sign * x * x;
    xq += w * x * level;
    qq += w * level * level;
  }
  bool better_than(const Moments& other) const { return qq > 0 && xq * xq * other.qq > other.xq * other.xq * qq; }
  float scale() const { return qq > 0 ? xq / qq : 0; }
};

/// One try in each lane: inverse scales and their moments. Loops over lanes are innermost and become vector code.
template <int Tries>
struct Trial {
  float inv[Tries], xq[Tries]{}, qq[Tries]{};

  /// round(v): the level nearest to v, as a float.
  template <class Round>
  float best_scale(const float* x, int n, Round round) {
    for (int i = 0; i < n; ++i)
      for (int t = 0; t < Tries; ++t) {
        const float w = x[i] * x[i], level = round(inv[t] * x[i]);
        xq[t] += w * x[i] * level;
        qq[t] += w * level * level;
      }
    Moments best{xq[0], qq[0]};
    for (int t = 1; t < Tries; ++t)
      if (const Moments m{xq[t], qq[t]}; m.better_than(best)) best = m;
    return best.scale();
  }
};

/// Levels -half .. half - 1: the best scale among inverse scales around the starting one.
float fit_around(const float* x, int n, float half) {
  const float most = extreme(x, n);
  if (std::abs(most) < negligible) return 0;
  Trial<20> trial;
  for (int t = 0; t < 20; ++t) trial.inv[t] = -(half + 0.1f * static_cast<float>(t < 19 ? t - 9 : 0)) / most;  // the last repeats the start
  return trial.best_scale(x, n, [half](float v) { return nearest_float(v, -half, half - 1); });
}

/// Levels -4 .. 3: from the starting scale, moves single levels as long as that lowers the error (coordinate descent).
float fit_by_descent(const float* x) {
  const float most = extreme(x, 16);
  if (std::abs(most) < negligible) return 0;
  int q[16];
  Moments best;
  for (int i = 0; i < 16; ++i) {
    q[i] = nearest(-4 / most * x[i], -4, 3);
    best.add(x[i], static_cast<float>(q[i]));
  }
  bool moved = true;
  for (int round = 0; moved && round < 5; ++round) {
    moved = false;
    for (int i = 0; i < 16; ++i) {
      Moments others = best;
      others.add(x[i], static_cast<float>(q[i]), -1);
      if (!(others.xq > 0)) continue;
      const int level = nearest(x[i] * others.qq / others.xq, -4, 3);
      if (level == q[i]) continue;
      others.add(x[i], static_cast<float>(level));
      if (!others.better_than(best)) continue;
      best = others;
      q[i] = level;
      moved = true;
    }
  }
  return best.scale();
}

/// Values from here on are nearer to level k + 1 than to level k.
constexpr float iq4_middle(int k) { return 0.5f * static_cast<float>(iq4_values[k] + iq4_values[k + 1]); }

/// Index of the nearest of iq4_values.
int iq4_index(float v) {
  int index = 0;
  for (int k = 0; k < 15; ++k) index += v >= iq4_middle(k);
  return index;
}

float fit_iq4(const float* x) {
  const float most = extreme(x, 32);
  if (std::abs(most) < negligible) return 0;
  // The first try puts the extreme element near the shorter end of the levels, the others near -127.
  Trial<16> trial;
  for (int t = 0; t < 16; ++t) trial.inv[t] = static_cast<float>(t == 0 ? -iq4_values[0] : t - 8 + iq4_values[0]) / most;
  return trial.best_scale(x, 32, [](float v) {
    float level = iq4_values[0];
    for (int k = 0; k < 15; ++k) level += v >= iq4_middle(k) ? static_cast<float>(iq4_values[k + 1] - iq4_values[k]) : 0.0f;
    return level;
  });
}

void pack_iq4(const float* x, float scale, uint8_t* qs) {
  const float inv = inverse(scale);
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>(iq4_index(inv * x[j]) | iq4_index(inv * x[j + 16]) << 4);
}

}  // namespace

void quantize_block(const float* x, BlockQ3_K& b) {
  float scales[16];
  for (int s = 0; s < 16; ++s) scales[s] = fit_by_descent(x + 16 * s);
  const float inv = -32 * inverse(extreme(scales, 16));
  b = {};
  b.d = F16(inverse(inv));
  uint8_t q[256];
  for (int s = 0; s < 16; ++s) {
    const int scale = nearest(inv * scales[s], -32, 31), bits = scale + 32;
    b.scales[s % 8] |= static_cast<uint8_t>((bits & 15) << (s < 8 ? 0 : 4));
    b.scales[8 + s % 4] |= static_cast<uint8_t>((bits >> 4) << 2 * (s / 4));
    const float step = inverse(static_cast<float>(b.d) * static_cast<float>(scale));
    for (int i = 16 * s; i < 16 * s + 16; ++i) q[i] = static_cast<uint8_t>(nearest(x[i] * step, -4, 3) + 4);
  }
  for (int n = 0; n < 2; ++n)
    for (int j = 0; j < 4; ++j)
      for (int l = 0; l < 32; ++l) {
        const int level = q[128 * n + 32 * j + l];
        b.qs[32 * n + l] |= static_cast<uint8_t>((level & 3) << 2 * j);
        b.hmask[l] |= static_cast<uint8_t>((level >> 2) << (4 * n + j));
      }
}

void quantize_block(const float* x, BlockQ6_K& b) {
  float scales[16];
  for (int s = 0; s < 16; ++s) scales[s] = fit_around(x + 16 * s, 16, 32);
  const float inv = -128 * inverse(extreme(scales, 16));
  b = {};
  b.d = F16(inverse(inv));
  uint8_t q[256];
  for (int s = 0; s < 16; ++s) {
    b.scales[s] = static_cast<int8_t>(nearest(inv * scales[s], -128, 127));
    const float step = static_cast<float>(b.d) * b.scales[s];
    for (int i = 16 * s; i < 16 * s + 16; ++i) q[i] = static_cast<uint8_t>(step == 0 ? 32 : nearest(x[i] / step, -32, 31) + 32);
  }
  for (int n = 0; n < 2; ++n)
    for (int j = 0; j < 4; ++j)
      for (int l = 0; l < 32; ++l) {
        const int level = q[128 * n + 32 * j + l];
        b.ql[64 * n + 32 * (j & 1) + l] |= static_cast<uint8_t>((level & 15) << 4 * (j >> 1));
        b.qh[32 * n + l] |= static_cast<uint8_t>((level >> 4) << 2 * j);
      }
}

void quantize_block(const float* x, BlockIQ4_NL& b) {
  const float scale = fit_iq4(x);
  b.d = F16(scale);
  pack_iq4(x, scale, b.qs);
}

void quantize_block(const float* x, BlockIQ4_XS& b) {
  float scales[8];
  for (int s = 0; s < 8; ++s) scales[s] = fit_iq4(x + 32 * s);
  b = {};
  b.d = F16(-extreme(scales, 8) / 32);
  const float inv = inverse(static_cast<float>(b.d));
  for (int s = 0; s < 8; ++s) {
    const int scale = nearest(inv * scales[s], -32, 31), bits = scale + 32;
    b.scales_l[s / 2] |= static_cast<uint8_t>((bits & 15) << 4 * (s & 1));
    b.scales_h[s / 4] |= static_cast<uint8_t>((bits >> 4) << 2 * (s % 4));
    pack_iq4(x + 32 * s, static_cast<float>(b.d) * static_cast<float>(scale), b.qs + 16 * s);
  }
}

void quantize_block(const float* x, BlockMXFP4& b) {
  const float most = std::abs(extreme(x, 32));
  b = {};
  if (most == 0) return;
  // With the largest power of two of the block on level 4 elements above 6 are cut; with twice the scale none is. The better one wins.
  const int power = std::ilogb(most) - 2;
  float best_error = 0;
  for (int e = power; e <= power + 1; ++e) {
    BlockMXFP4 candidate{};
    candidate.e = static_cast<uint8_t>(nearest(static_cast<float>(e + 127), 0, 254));
    const float half = e8m0_half(candidate.e);
    double error = 0;
    for (int i = 0; i < 32; ++i) {
      const float v = std::abs(x[i]) / half;
      int index = 0;
      for (int k = 0; k < 7; ++k) index += v > 0.5f * static_cast<float>(e2m1_doubled[k] + e2m1_doubled[k + 1]);
      const double diff = v - e2m1_doubled[index];
      error += diff * diff * half * half;
      if (x[i] < 0 && index > 0) index |= 8;
      candidate.qs[i % 16] |= static_cast<uint8_t>(index << 4 * (i / 16));
    }
    if (e == power || error < best_error) {
      b = candidate;
      best_error = error;
    }
  }
}

}  // namespace infernum
