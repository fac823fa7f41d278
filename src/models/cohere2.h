// Command R7B and Command A (Cohere 2024, 2025): attention and MLP side by side behind one layer norm; three layers of four have a window
// and positions, the fourth sees everything and has none (Yang et al. 2025, "RoPE to NoPE and back again").
#pragma once
#include "layers/causal_lm.h"
#include "layers/parallel_layer.h"
#include "models/llama.h"

namespace infernum::cohere2 {

struct Config : llama::Config {
  explicit Config(const ConfigReader& json)
      : llama::Config(json,
                      {.rms_norm_eps = 1e-5, .tie_word_embeddings = true, .max_position_embeddings = 8192, .norm_eps = "layer_norm_eps"}) {
    check_variant(json);
    logit_scale = static_cast<float>(json.number("logit_scale").value_or(0.0625));
    ropes[0].rope_interleaved = true;
    const int64_t pattern = json.size("sliding_window_pattern", 4);
    const auto derived = [&](int64_t layer) { return (layer + 1) % pattern ? "sliding_attention" : "full_attention"; };
    const auto types = read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"}, derived);
    windows = windows_of(json, types, 4096);
    for (size_t i = 0; i < layer_rope.size(); i++)
      if (types[i] == "full_attention") layer_rope[i] = AttentionShape::no_rope;
  }

 private:
  /// Published files describe their network by flags of which one setting is implemented, here and in the reference.
  static void check_variant(const ConfigReader& json) {
    check(!json.boolean("use_qk_norm").value_or(false), "config.json: this family does not normalise queries and keys: use_qk_norm");
    for (const char* key : {"use_parallel_block", "use_gated_activation"})
      check(json.boolean(key).value_or(true), "config.json: this flag must be true in this family", key);
    const auto positions = json.string("position_embedding_type").value_or("rope_gptj");
    check(positions == "rope_gptj", "config.json: unknown position_embedding_type; known: rope_gptj", positions);
    const double rotated = json.number("rotary_pct").value_or(1);
    check(rotated == 1, "config.json: rotary_pct must be 1 in this family", rotated);
  }
};

template <class B>
using Cohere2 = CausalLm<B, ParallelLayer<B, llama::Attention<B>, llama::Mlp<B>, BiaslessLayerNorm<B>>, BiaslessLayerNorm<B>>;

}  // namespace infernum::cohere2
