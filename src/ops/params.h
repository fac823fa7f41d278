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
  int chunk = 0;        ///< keys seen are those of the query's own chunk of so many positions; 0: all
  float softcap = 0;    ///< c * tanh(s / c) on the scaled scores; 0: none
  int64_t context = 0;  ///< longest sequence of the batch, known to the host: sizes grids and traces
};

struct LatentParams {
  int rank = 0;  ///< R: components of the latent, which are the values too
  int rope = 0;  ///< P: components of the rotated key behind it
  float scale = 1;
  int64_t context = 0;  ///< as in AttentionParams
};

/// y = x * (1 + beta * ln(1 + floor((position + offset) / floor_scale))): queries of layers without rotary embeddings.
struct PositionScaleParams {
  float beta = 0, floor_scale = 1;
  int offset = 0;
};

/// From logits to chosen experts and weights. Scores s are the softmax or sigmoid of the logits; experts are chosen by s plus a bias, among
/// `kept_groups` of `groups` equal runs of experts, those with the highest group score; weights are s without the bias.
struct RouteParams {
  enum Scoring { Softmax, Sigmoid };
  enum GroupScore { Max, SumOfTwo };  ///< of s plus bias: the largest, or the sum of the two largest in the group
  int top_k = 1;
  Scoring scoring = Softmax;
  int groups = 1, kept_groups = 1;
  GroupScore group_score = Max;
  bool renormalise = false;  ///< divide the chosen weights by their sum
  float scale = 1;           ///< of the weights, behind that
};

}  // namespace infernum
