// DecoderConfig: what decoder families share, read from either spelling of config.json (transformers 4 and 5). Names equal Hugging Face's.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "layers/grouped_query_attention.h"
#include "layers/rope_frequencies.h"
#include "models/config_reader.h"

namespace infernum {

/// Values of absent keys, where a family's differ from Llama's.
struct ConfigDefaults {
  int64_t vocab_size = 0, num_attention_heads = 0;  ///< 0: the key is required
  int64_t head_dim = 0;                             ///< 0: hidden_size / num_attention_heads
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  std::string_view activation = "silu";  ///< the only hidden_act (or hidden_activation) the family implements
  std::string_view quant_method = {};    ///< the only one of quantization_config that the family is published with; empty: none
  double rope_theta = 10000, partial_rotary_factor = 1;
  int64_t max_position_embeddings = 2048, num_key_value_heads = 0;  ///< 0: as many as query heads
  std::string_view norm_eps = "rms_norm_eps";                       ///< the key that holds epsilon
  std::vector<std::string> rope_keys = {};                          ///< keys among the rope parameters that the family reads itself
};

struct DecoderConfig {
  int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
  int64_t num_attention_heads, num_key_value_heads, head_dim;
  int64_t max_position_embeddings;
  float rms_norm_eps;
  bool tie_word_embeddings;
  std::vector<int> windows;        ///< per layer: keys a query sees, 0 for all
  std::vector<RopeConfig> ropes;   ///< the rotary tables of the model; Llama has one
  std::vector<int> layer_rope;     ///< per layer: index into ropes, or AttentionShape::no_rope
  std::vector<int64_t> cache_of;   ///< per layer: the layer whose keys and values it reads; itself in most models
  int64_t context;                 ///< longest sequence this deployment runs; max_position_embeddings unless the user asks for another
  bool zero_centred_norm = false;  ///< norms are stored as weight - 1
  float embedding_scale = 1, logit_scale = 1, logit_softcap = 0;
  float residual_multiplier = 1;  ///< of what attention and MLP add to the residual stream

  /// Name of a layer's token mixer in the checkpoint.
  std::string_view attention_scope(int64_t) const { return "self_attn"; }
  /// Of grouped-query attention in one layer.
  AttentionShape attention(int64_t layer, bool qkv_bias, bool o_bias) const;

  /// Reads and checks the shared keys.
  explicit DecoderConfig(const ConfigReader& json, const ConfigDefaults& defaults = {});
};

/// Refuses mixtures so large that describing them alone would exhaust a machine.
void check_experts(int64_t experts, int64_t num_hidden_layers);

/// `layer_types`, or derived(layer) for every layer where the key is absent; throws unless all are among `known`.
std::vector<std::string> read_layer_types(const ConfigReader& json, int64_t layers, const std::vector<std::string>& known,
                                          const std::function<std::string(int64_t)>& derived);

/// sliding_window for layers of type sliding_attention, 0 for the others. `absent`: its value where the key is absent; 0: it is required.
std::vector<int> windows_of(const ConfigReader& json, const std::vector<std::string>& layer_types, int64_t absent = 0);

/// Per layer whether positions are encoded: `no_rope_layers` holds 1 for a layer where they are and 0 for one where they are not; absent:
/// every no_rope_layer_interval-th layer does without.
std::vector<bool> rotary_layers(const ConfigReader& json, int64_t layers);

/// rope_parameters (transformers 5) or rope_theta and rope_scaling (4). Where rope_parameters has one entry per layer type, that of
/// `layer_type`.
RopeConfig read_rope(const ConfigReader& json, int64_t head_dim, int64_t max_position_embeddings, const ConfigDefaults& defaults = {},
                     std::string_view layer_type = "full_attention");

/// Refuses keys that change the maths in a way this engine's families do not implement.
void check_unread(const ConfigReader& json, std::string_view family);
/// The other keys that nothing read, but for those known to be without effect.
std::vector<std::string> unknown_keys(const ConfigReader& json);

}  // namespace infernum
