// Scalar arguments of kernels that take more than two of them.
#pragma once
#include <cstdint>

namespace infernum {

struct RopeParams {
  int head_dim = 0;
  bool interleaved = false;  ///< pairs (2i, 2i+1) as in GPT-J; otherwise (i, i + d/2) as in GPT-NeoX
};

struct AttentionParams {
  int head_dim = 0;
  float scale = 1;
  int window = 0;       ///< keys seen, the query's own included; 0: all
  float softcap = 0;    ///< c * tanh(s / c) on the scaled scores; 0: none
  int64_t context = 0;  ///< longest sequence of the batch, known to the host: sizes grids and traces
  int chunk = 0;        ///< key k is seen by query q only if k / chunk == q / chunk; 0: no such rule
};

struct LatentParams {
  int rank = 0;  ///< R: components of the latent, which are the values too
  int rope = 0;  ///< P: components of the rotated key behind it
  float scale = 1;
  int64_t context = 0;  ///< as in AttentionParams
};

struct DeltaParams {
  bool tiled_heads = false;  ///< value head h belongs to key head h % Hk; otherwise to h / (Hv / Hk)
};

}  // namespace infernum
