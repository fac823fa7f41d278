// DecoderConfig: what decoder families share, read from either spelling of config.json (transformers 4 and 5). Names equal Hugging Face's.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "layers/grouped_query_attention.h"
#include "layers/rope_frequencies.h"
#include "models/config_reader.h"

namespace infernum {

struct DecoderConfig {
  int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
  int64_t num_attention_heads, num_key_value_heads, head_dim;
  int64_t max_position_embeddings;
  float rms_norm_eps;
  bool tie_word_embeddings;
  std::vector<int> windows;  ///< per layer: keys a query sees, 0 for all
  RopeConfig rope;
  int64_t context;  ///< longest sequence this deployment runs; max_position_embeddings unless the user asks for another

  AttentionShape attention(int64_t layer, bool qkv_bias, bool o_bias) const {
    const AttentionParams params{static_cast<int>(head_dim), static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim))),
                                 windows[static_cast<size_t>(layer)], 0, 0};
    return {hidden_size, num_attention_heads, num_key_value_heads, {static_cast<int>(head_dim), rope.rope_interleaved}, params, qkv_bias,
            o_bias};
  }

  /// Reads and checks the shared keys. `default_head_dim` 0: hidden_size / num_attention_heads.
  explicit DecoderConfig(const ConfigReader& json, int64_t default_head_dim = 0);
};

/// Refuses mixtures so large that describing them alone would exhaust a machine.
void check_experts(int64_t experts, int64_t num_hidden_layers);

/// rope_parameters (transformers 5) or rope_theta and rope_scaling (4).
RopeConfig read_rope(const ConfigReader& json, int64_t head_dim, int64_t max_position_embeddings);

/// Refuses keys that change the maths in a way this engine's families do not implement, and logs unknown ones.
void check_unread(const ConfigReader& json, std::string_view family);

}  // namespace infernum
