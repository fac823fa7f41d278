// The bodies of RowOps, included by one file per instruction set.
#pragma once
#include <cmath>

#include "ops/cpu/activations.h"
#include "ops/cpu/row_ops.h"

namespace infernum {
namespace {

/// y[i] = f(inputs[i]...) for all i; tails go through the same code on padded copies.
template <class F, class... In>
inline void map(float* y, int64_t n, const F& f, const In*... in) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, f(load(in + i)...));
  if (i == n) return;
  const auto padded = [&](const float* p) {
    float tail[lanes] = {};
    std::memcpy(tail, p + i, static_cast<size_t>(n - i) * sizeof(float));
    return load(tail);
  };
  float out[lanes];
  store(out, f(padded(in)...));
  std::memcpy(y + i, out, static_cast<size_t>(n - i) * sizeof(float));
}

inline float sum_of_squares(const float* x, int64_t n) {
  Vec a{}, b{};
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const Vec u = load(x + i), v = load(x + i + lanes);
    a += u * u;
    b += v * v;
  }
  float total = sum(a + b);
  for (; i < n; i++) total += x[i] * x[i];
  return total;
}

inline float sum(const float* x, int64_t n) {
  Vec a{};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) a += load(x + i);
  float total = sum(a);
  for (; i < n; i++) total += x[i];
  return total;
}
inline float sum_of_squares_around(float center, const float* x, int64_t n) {
  Vec a{};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const Vec d = load(x + i) - center;
    a += d * d;
  }
  float total = sum(a);
  for (; i < n; i++) total += (x[i] - center) * (x[i] - center);
  return total;
}

void rms_norm(float* y, const float* x, const float* w, int64_t n, float eps) {
  const Vec factor = splat(1 / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  if (w)
    map(
        y, n, [factor](Vec v, Vec g) { return v * factor * g; }, x, w);
  else
    map(
        y, n, [factor](Vec v) { return v * factor; }, x);
}
void layer_norm(float* y, const float* x, const float* w, int64_t n, float eps) {
  const auto count = static_cast<float>(n);
  const float mean = sum(x, n) / count, factor = 1 / std::sqrt(sum_of_squares_around(mean, x, n) / count + eps);
  map(
      y, n, [=](Vec v, Vec g) { return (v - mean) * factor * g; }, x, w);
}
void add(float* y, const float* a, const float* b, int64_t n) {
  map(
      y, n, [](Vec u, Vec v) { return u + v; }, a, b);
}
void add_rms_norm(float* sum, float* y, const float* h, const float* x, const float* w, int64_t n, float eps) {
  add(sum, h, x, n);
  rms_norm(y, sum, w, n, eps);
}
void mul(float* y, const float* a, const float* b, int64_t n) {
  map(
      y, n, [](Vec u, Vec v) { return u * v; }, a, b);
}
void silu_row(float* y, const float* x, int64_t n) {
  map(
      y, n, [](Vec v) { return silu(v); }, x);
}
void sigmoid_row(float* y, const float* x, int64_t n) {
  map(
      y, n, [](Vec v) { return sigmoid(v); }, x);
}
void gelu_tanh_row(float* y, const float* x, int64_t n) {
  map(
      y, n, [](Vec v) { return gelu_tanh(v); }, x);
}
void gelu_row(float* y, const float* x, int64_t n) {
  map(
      y, n, [](Vec v) { return gelu(v); }, x);
}
void softcap(float* y, const float* x, int64_t n, float c) {
  map(
      y, n, [c](Vec v) { return c * tanh(v / c); }, x);
}
void clamp(float* y, const float* x, int64_t n, float low, float high) {
  map(
      y, n, [=](Vec v) { return clamp(v, low, high); }, x);
}
void scale(float* y, const float* x, int64_t n, float s) {
  map(
      y, n, [s](Vec v) { return s * v; }, x);
}
void geglu(float* y, const float* gate, const float* up, int64_t n) {
  map(
      y, n, [](Vec g, Vec u) { return gelu_tanh(g) * u; }, gate, up);
}
void clamped_swiglu(float* y, const float* gate, const float* up, int64_t n, float alpha, float limit) {
  map(
      y, n,
      [=](Vec g, Vec u) {
        const Vec capped = clamp(g, -__builtin_inff(), limit);
        return (clamp(u, -limit, limit) + 1.f) * capped * sigmoid(alpha * capped);
      },
      gate, up);
}
void swiglu(float* y, const float* gate, const float* up, int64_t n) {
  map(
      y, n, [](Vec g, Vec u) { return silu(g) * u; }, gate, up);
}
void scaled_add(float* y, float a, const float* x, int64_t n) {
  map(
      y, n, [a](Vec v, Vec old) { return old + a * v; }, x, y);
}
void rotate_half(float* y, const float* x, const float* cos, const float* sin, int64_t half) {
  float low[lanes];
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {  // x may be y: both halves are read before either is written
    const Vec a = load(x + i), b = load(x + half + i), c = load(cos + i), s = load(sin + i);
    store(low, a * c - b * s);
    store(y + half + i, b * c + a * s);
    std::memcpy(y + i, low, sizeof low);
  }
  for (; i < half; i++) {
    const float a = x[i], b = x[half + i];
    y[i] = a * cos[i] - b * sin[i];
    y[half + i] = b * cos[i] + a * sin[i];
  }
}

template <class T>
inline void widen(float* y, const T* x, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, load(x + i));
  for (; i < n; i++) y[i] = static_cast<float>(x[i]);
}
template <class T>
inline void narrow(T* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, load(x + i));
  for (; i < n; i++) y[i] = static_cast<T>(x[i]);
}
void to_f32(float* y, const void* x, DType from, int64_t n) {
  if (from == DType::BF16)
    widen(y, static_cast<const BF16*>(x), n);
  else if (from == DType::F16)
    widen(y, static_cast<const F16*>(x), n);
  else
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float));
}
void from_f32(void* y, DType to, const float* x, int64_t n) {
  if (to == DType::BF16)
    narrow(static_cast<BF16*>(y), x, n);
  else if (to == DType::F16)
    narrow(static_cast<F16*>(y), x, n);
  else
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float));
}

constexpr RowOps row_ops_here{.rms_norm = rms_norm,
                              .layer_norm = layer_norm,
                              .add_rms_norm = add_rms_norm,
                              .add = add,
                              .mul = mul,
                              .silu = silu_row,
                              .sigmoid = sigmoid_row,
                              .gelu_tanh = gelu_tanh_row,
                              .gelu = gelu_row,
                              .softcap = softcap,
                              .clamp = clamp,
                              .scale = scale,
                              .swiglu = swiglu,
                              .geglu = geglu,
                              .clamped_swiglu = clamped_swiglu,
                              .scaled_add = scaled_add,
                              .rotate_half = rotate_half,
                              .to_f32 = to_f32,
                              .from_f32 = from_f32};

}  // namespace
}  // namespace infernum
