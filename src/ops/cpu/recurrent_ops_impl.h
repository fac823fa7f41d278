// The bodies of RecurrentOps, included by one file per instruction set.
#pragma once
#include <cmath>

#include "ops/cpu/recurrent_ops.h"
#include "ops/cpu/vec.h"

namespace infernum {
namespace {

#if defined(__AVX512F__)
constexpr int delta_vectors = 2;  // 2 * 16 columns of 128 rows are 16 kB
#else
constexpr int delta_vectors = 1;
#endif
constexpr int64_t delta_width = delta_vectors * lanes;

struct Columns {
  Vec x[delta_vectors];
};

inline Columns load_columns(const float* p) {
  Columns c;
  for (int w = 0; w < delta_vectors; w++) c.x[w] = load(p + w * lanes);
  return c;
}
inline void store_columns(float* p, const Columns& c) {
  for (int w = 0; w < delta_vectors; w++) store(p + w * lanes, c.x[w]);
}
inline Columns load_columns(const float* p, int64_t n) {
  if (n == delta_width) return load_columns(p);
  float padded[delta_width] = {};
  std::memcpy(padded, p, static_cast<size_t>(n) * sizeof(float));
  return load_columns(padded);
}
inline void store_columns(float* p, const Columns& c, int64_t n) {
  if (n == delta_width) return store_columns(p, c);
  float padded[delta_width];
  store_columns(padded, c);
  std::memcpy(p, padded, static_cast<size_t>(n) * sizeof(float));
}

/// s = decay * the state before; returns s^T k.
inline Columns decay_and_read(const DeltaRun& r, float* s, float decay, const float* k) {
  Columns read{};
  for (int64_t i = 0; i < r.dk; i++) {
    Columns row = r.from ? load_columns(r.from + i * r.state_stride, r.columns) : Columns{};
    for (int w = 0; w < delta_vectors; w++) {
      row.x[w] *= decay;
      read.x[w] += row.x[w] * k[i];
    }
    store_columns(s + i * delta_width, row);
  }
  return read;
}

/// Writes a token's error into the state, reads its output, and goes on with the next token's decay and read: one pass over the state.
inline Columns write_and_go_on(float* s, int64_t dk, const Columns& e, const float* k, const float* q, float decay, const float* next_k,
                               Columns& read) {
  Columns o{}, next{};
  for (int64_t i = 0; i < dk; i++) {
    Columns row = load_columns(s + i * delta_width);
    for (int w = 0; w < delta_vectors; w++) {
      row.x[w] += e.x[w] * k[i];
      o.x[w] += row.x[w] * q[i];
      row.x[w] *= decay;
      next.x[w] += row.x[w] * next_k[i];
    }
    store_columns(s + i * delta_width, row);
  }
  read = next;
  return o;
}

/// The same for the last token: the state goes to its slot.
inline Columns write_last(const DeltaRun& r, const float* s, const Columns& e, const float* k, const float* q) {
  Columns o{};
  for (int64_t i = 0; i < r.dk; i++) {
    Columns row = load_columns(s + i * delta_width);
    for (int w = 0; w < delta_vectors; w++) {
      row.x[w] += e.x[w] * k[i];
      o.x[w] += row.x[w] * q[i];
    }
    store_columns(r.to + i * r.state_stride, row, r.columns);
  }
  return o;
}

void delta(const DeltaRun& r) {
  const auto decay = [&](int64_t t) { return std::exp(r.g[t * r.g_stride]); };
  Columns read = decay_and_read(r, r.scratch, decay(r.begin), r.k + r.begin * r.q_stride);
  for (int64_t t = r.begin; t < r.end; t++) {
    const float *q = r.q + t * r.q_stride, *k = r.k + t * r.q_stride;
    Columns e = load_columns(r.v + t * r.v_stride, r.columns);
    for (int w = 0; w < delta_vectors; w++) e.x[w] = (e.x[w] - read.x[w]) * r.beta[t * r.beta_stride];
    const Columns o =
        t + 1 < r.end ? write_and_go_on(r.scratch, r.dk, e, k, q, decay(t + 1), k + r.q_stride, read) : write_last(r, r.scratch, e, k, q);
    store_columns(r.o + t * r.o_stride, o, r.columns);
  }
}

void conv(float* y, const float* const* u, const float* w, int64_t taps, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    Vec total{};
    for (int64_t j = 0; j < taps; j++) total += load(w + j * n + i) * load(u[j] + i);
    store(y + i, silu(total));
  }
  for (; i < n; i++) {
    float total = 0;
    for (int64_t j = 0; j < taps; j++) total += w[j * n + i] * u[j][i];
    y[i] = total / (1 + std::exp(-total));
  }
}

void unit_length(float* y, const float* x, int64_t n, float scale) {
  Vec squares{};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) squares += load(x + i) * load(x + i);
  float total = sum(squares);
  for (; i < n; i++) total += x[i] * x[i];
  const float factor = scale / std::sqrt(total + 1e-6f);
  for (i = 0; i < n; i++) y[i] = x[i] * factor;
}

void gates(float* g, float* beta, const float* a, const float* b, const float* a_neg, const float* dt_bias, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const float x = a[i] + dt_bias[i];
    g[i] = a_neg[i] * (x > 20 ? x : std::log1p(std::exp(x)));  // beyond 20 softplus is the identity in f32
    beta[i] = 1 / (1 + std::exp(-b[i]));
  }
}

constexpr RecurrentOps recurrent_ops_here{delta_width, delta, conv, unit_length, gates};

}  // namespace
}  // namespace infernum
