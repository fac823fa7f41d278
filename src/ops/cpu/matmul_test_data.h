// Random matrices of every storage type, and the plain double-precision products that the matmul tests compare with.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "backends/cpu/queue.h"
#include "core/half.h"
#include "ops/cpu/pack.h"
#include "quant/quant.h"

namespace infernum {

inline std::vector<Isa> levels_here() {
  std::vector<Isa> levels;
  for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512})
    if (isa <= best_isa()) levels.push_back(isa);
  return levels;
}

inline float to_float(DType t, const std::byte* p, int64_t i) {
  if (t == DType::F16) return static_cast<float>(reinterpret_cast<const F16*>(p)[i]);
  if (t == DType::BF16) return static_cast<float>(reinterpret_cast<const BF16*>(p)[i]);
  return reinterpret_cast<const float*>(p)[i];
}

inline void from_float(DType t, float f, std::byte* p, int64_t i) {
  if (t == DType::F16)
    reinterpret_cast<F16*>(p)[i] = F16(f);
  else if (t == DType::BF16)
    reinterpret_cast<BF16*>(p)[i] = BF16(f);
  else
    reinterpret_cast<float*>(p)[i] = f;
}

/// A matrix and what its elements mean.
struct TestMatrix {
  DType type;
  int64_t rows, cols;
  std::vector<std::byte> bytes;
  std::vector<double> values;

  View<Cpu> view() { return {bytes.data(), {rows, cols}, cols, 2, type}; }
  void decode() {
    std::vector<float> f(static_cast<size_t>(rows * cols));
    dequantize(type, bytes.data(), f.data(), rows * cols);
    values.assign(f.begin(), f.end());
  }
};

inline TestMatrix random_floats(DType type, int64_t rows, int64_t cols, unsigned seed) {
  TestMatrix m{type, rows, cols, std::vector<std::byte>(static_cast<size_t>(bytes_of(type, rows * cols))), {}};
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < rows * cols; i++) from_float(type, normal(rng), m.bytes.data(), i);
  m.decode();
  return m;
}

/// Random bytes with sane scale fields.
inline TestMatrix random_blocks(DType type, int64_t rows, int64_t cols, unsigned seed) {
  TestMatrix m{type, rows, cols, std::vector<std::byte>(static_cast<size_t>(bytes_of(type, rows * cols))), {}};
  std::mt19937 rng(seed);
  for (auto& b : m.bytes) b = static_cast<std::byte>(rng());
  std::vector<size_t> scales{0};  // byte offsets of the f16 fields
  switch (type) {
    case DType::Q4_1:
    case DType::Q5_1:
    case DType::Q4_K:
    case DType::Q5_K: scales = {0, 2}; break;
    case DType::Q2_K: scales = {80, 82}; break;
    case DType::Q3_K: scales = {108}; break;
    case DType::Q6_K: scales = {208}; break;
    case DType::TQ1_0: scales = {52}; break;
    case DType::TQ2_0: scales = {64}; break;
    default: break;
  }
  for (size_t at = 0; at < m.bytes.size(); at += static_cast<size_t>(info(type).bytes)) {
    if (type == DType::MXFP4)
      m.bytes[at] = static_cast<std::byte>(120 + rng() % 12);
    else
      for (size_t s : scales) {
        const F16 d(0.001f * static_cast<float>(1 + rng() % 100) * (rng() % 4 ? 1 : -1));
        std::memcpy(m.bytes.data() + at + s, &d, 2);
      }
  }
  m.decode();
  return m;
}

inline TestMatrix random_matrix(DType type, int64_t rows, int64_t cols, unsigned seed) {
  return is_float(type) ? random_floats(type, rows, cols, seed) : random_blocks(type, rows, cols, seed);
}

inline std::vector<std::byte> pack(Queue<Cpu>& queue, const TestMatrix& w, DType packed) {
  std::vector<std::byte> out(static_cast<size_t>(packed_bytes(packed, w.rows, w.cols)), std::byte{0xff});
  pack_rows(queue, w.type, w.bytes.data(), w.rows, w.cols, out.data());
  return out;
}

/// x as the int8 kernels see it: 32 values share the scale max / 127, rounded to nearest even.
inline std::vector<double> int8_rounded(const TestMatrix& x) {
  std::vector<double> out(x.values.size());
  for (size_t b = 0; b < out.size(); b += 32) {
    float largest = 0;
    for (size_t i = b; i < b + 32; i++) largest = std::max(largest, static_cast<float>(std::fabs(x.values[i])));
    const float inverse = largest >= 2e-36f ? 127 / largest : 0, scale = largest / 127;
    for (size_t i = b; i < b + 32; i++) out[i] = static_cast<double>(scale) * std::nearbyint(static_cast<float>(x.values[i]) * inverse);
  }
  return out;
}

struct Reference {
  double value, magnitude;  // sum of products, sum of their absolute values
};

inline Reference reference_dot(const double* x, const double* w, int64_t k) {
  Reference r{0, 0};
  for (int64_t i = 0; i < k; i++) {
    r.value += x[i] * w[i];
    r.magnitude += std::fabs(x[i] * w[i]);
  }
  return r;
}

/// y of the given type filled with NaN.
inline TestMatrix poisoned(DType type, int64_t rows, int64_t cols) {
  TestMatrix y{type, rows, cols, std::vector<std::byte>(static_cast<size_t>(bytes_of(type, rows * cols))), {}};
  for (int64_t i = 0; i < rows * cols; i++) from_float(type, std::numeric_limits<float>::quiet_NaN(), y.bytes.data(), i);
  return y;
}

/// Relative rounding of a stored result.
inline double storage_error(DType t) { return t == DType::F32 ? 0 : t == DType::F16 ? 0x1p-11 : 0x1p-8; }

}  // namespace infernum
