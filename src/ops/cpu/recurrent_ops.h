// RecurrentOps: the inner loops of the causal convolution and the gated delta rule, one table per instruction set.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace infernum {

/// Tokens begin .. end - 1 of one value head, for some columns of its state. A head's row of token t lies at its pointer + t * its stride.
struct DeltaRun {
  const float *q, *k;  ///< (dk) per token, normalised, q scaled
  const float* v;      ///< (columns) per token
  const float *g, *beta;
  float* o;  ///< (columns) per token
  int64_t q_stride, v_stride, g_stride, beta_stride, o_stride;
  int64_t begin, end;
  int64_t dk, columns;   ///< columns <= RecurrentOps::delta_columns
  const float* from;     ///< state before the first token, rows state_stride apart; null: zero
  float* to;             ///< state after the last token; may be `from`
  int64_t state_stride;  ///< elements
  float* scratch;        ///< (dk, delta_columns)
};

struct RecurrentOps {
  int64_t delta_columns;  ///< of the state that one run handles: as many as keep its registers and its share of L1 busy
  void (*delta)(const DeltaRun&);
  /// y = silu(sum over j of w[j] * u[j]); w (taps, n), u[j] (n).
  void (*conv)(float* y, const float* const* u, const float* w, int64_t taps, int64_t n);
  /// y = x * scale / sqrt(sum of x^2 + 1e-6).
  void (*unit_length)(float* y, const float* x, int64_t n, float scale);
  /// g = a_neg * softplus(a + dt_bias), beta = sigmoid(b).
  void (*gates)(float* g, float* beta, const float* a, const float* b, const float* a_neg, const float* dt_bias, int64_t n);
};

const RecurrentOps& recurrent_ops(Isa isa);

}  // namespace infernum
