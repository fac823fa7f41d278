// The bodies of RowOps, included by one file per instruction set.
#pragma once
#include <cmath>

#include "ops/cpu/row_ops.h"
#include "ops/cpu/vec.h"

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

void rms_norm(float* y, const float* x, const float* w, int64_t n, float eps) {
  const Vec scale = splat(1 / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  map(
      y, n, [scale](Vec v, Vec g) { return v * scale * g; }, x, w);
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

constexpr RowOps row_ops_here{rms_norm, add_rms_norm, add, mul, silu_row, swiglu, scaled_add, rotate_half, to_f32, from_f32};

}  // namespace
}  // namespace infernum
