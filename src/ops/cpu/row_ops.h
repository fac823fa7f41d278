// RowOps: the inner loops of the simple ops on f32 rows, one table per instruction set. Rows of other types pass through f32 scratch.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/dtype.h"

namespace infernum {

struct RowOps {
  void (*rms_norm)(float* y, const float* x, const float* w, int64_t n, float eps);  ///< w nullptr: ones
  void (*layer_norm)(float* y, const float* x, const float* w, int64_t n, float eps);
  /// sum = h + x; y = rms_norm(sum). sum may be h.
  void (*add_rms_norm)(float* sum, float* y, const float* h, const float* x, const float* w, int64_t n, float eps);
  void (*add)(float* y, const float* a, const float* b, int64_t n);
  void (*mul)(float* y, const float* a, const float* b, int64_t n);
  void (*silu)(float* y, const float* x, int64_t n);
  void (*sigmoid)(float* y, const float* x, int64_t n);
  void (*gelu_tanh)(float* y, const float* x, int64_t n);
  void (*gelu)(float* y, const float* x, int64_t n);
  void (*softcap)(float* y, const float* x, int64_t n, float c);
  void (*clamp)(float* y, const float* x, int64_t n, float low, float high);
  void (*scale)(float* y, const float* x, int64_t n, float s);
  void (*swiglu)(float* y, const float* gate, const float* up, int64_t n);
  void (*geglu)(float* y, const float* gate, const float* up, int64_t n);
  void (*clamped_swiglu)(float* y, const float* gate, const float* up, int64_t n, float alpha, float limit);
  void (*scaled_add)(float* y, float a, const float* x, int64_t n);  ///< y += a * x
  /// Rotates pairs (x[i], x[i + half]): cos, sin (half).
  void (*rotate_half)(float* y, const float* x, const float* cos, const float* sin, int64_t half);
  void (*to_f32)(float* y, const void* x, DType from, int64_t n);  ///< from F32, F16 or BF16
  void (*from_f32)(void* y, DType to, const float* x, int64_t n);
};

const RowOps& row_ops(Isa isa);

}  // namespace infernum
