// Mixtral (Jiang et al. 2024): Llama's attention, and in every layer a mixture of experts, of which each token uses the best few.
#pragma once
#include "layers/experts.h"
#include "models/llama.h"

namespace infernum::mixtral {

struct Config : llama::Config {
  int64_t num_local_experts, num_experts_per_tok;
  explicit Config(const ConfigReader& json)
      : llama::Config(json, {.rms_norm_eps = 1e-5, .rope_theta = 1e6, .max_position_embeddings = 131072, .num_key_value_heads = 8}),
        num_local_experts(json.size("num_local_experts", 8)),
        num_experts_per_tok(json.size("num_experts_per_tok", 2)) {
    check_experts(num_local_experts, num_hidden_layers);
    if (json.has("sliding_window")) windows.assign(windows.size(), static_cast<int>(json.size("sliding_window")));
  }
};

template <class B>
struct Mlp : SparseMlp<B> {
  Mlp(const Weights<B>& w, const Config& c, int64_t)
      : SparseMlp<B>(w / "block_sparse_moe" / "gate", w / "block_sparse_moe" / "experts",
                     {.hidden_size = c.hidden_size,
                      .experts = c.num_local_experts,
                      .width = c.intermediate_size,
                      .route = {.top_k = static_cast<int>(c.num_experts_per_tok), .renormalise = true},
                      .names = {"w1", "w3", "w2"}}) {}
};

template <class B>
using Mixtral = CausalLm<B, PreNormLayer<B, llama::Attention<B>, Mlp<B>>>;

}  // namespace infernum::mixtral
