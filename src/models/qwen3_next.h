// Qwen3-Next (Qwen Team 2025): three layers of Gated DeltaNet to one of attention with an output gate, and mixtures of experts beside a
// gated shared expert.
#pragma once
#include "layers/experts.h"
#include "layers/gated_delta_net.h"
#include "models/qwen3.h"

namespace infernum::qwen3_next {

/// The mixture of experts of a sparse layer.
struct Mixture {
  int64_t experts, experts_per_token, width, shared_width;
  bool renormalise;
};

struct Config : DecoderConfig {
  DeltaNetShape delta_net;
  std::vector<bool> linear;  ///< per layer: Gated DeltaNet instead of attention
  bool attention_bias;

  explicit Config(const ConfigReader& json, bool fused = true, int64_t default_key_value_heads = 2)
      : DecoderConfig(json, {.head_dim = 256,
                             .partial_rotary_factor = 0.25,
                             .max_position_embeddings = 32768,
                             .num_key_value_heads = default_key_value_heads}),
        delta_net{hidden_size,
                  json.size("linear_num_key_heads", 16),
                  json.size("linear_num_value_heads", 32),
                  json.size("linear_key_head_dim", 128),
                  json.size("linear_value_head_dim", 128),
                  json.size("linear_conv_kernel_dim", 4),
                  fused,
                  json.boolean("linear_value_heads_tiled").value_or(false),
                  rms_norm_eps},
        attention_bias(json.boolean("attention_bias").value_or(false)) {
    zero_centred_norm = true;
    const int64_t interval = json.size("full_attention_interval", 4);
    const auto derived = [interval](int64_t layer) { return (layer + 1) % interval ? "linear_attention" : "full_attention"; };
    for (const auto& type : read_layer_types(json, num_hidden_layers, {"full_attention", "linear_attention"}, derived))
      linear.push_back(type == "linear_attention");
  }

  bool is_linear(int64_t layer) const { return linear[static_cast<size_t>(layer)]; }
  std::string_view attention_scope(int64_t layer) const { return is_linear(layer) ? "linear_attn" : "self_attn"; }
};

/// Grouped-query attention whose output passes a gate per component, projected together with the queries.
template <class B>
struct GatedAttention {
  AttentionShape shape;
  SequenceState cache;
  ColLinear<B> q_proj, k_proj, v_proj;  ///< q_proj: of every head q | gate
  HeadNorm<B> q_norm, k_norm;
  RowLinear<B> o_proj;

  GatedAttention(const Weights<B>& w, const Config& c, int64_t layer)
      : shape(c.attention(layer, c.attention_bias, c.attention_bias)),
        cache(key_value_cache(w, shape)),
        q_proj(w / "q_proj", 2 * c.num_attention_heads * c.head_dim, c.hidden_size, c.attention_bias),
        k_proj(w / "k_proj", c.num_key_value_heads * c.head_dim, c.hidden_size, c.attention_bias),
        v_proj(w / "v_proj", c.num_key_value_heads * c.head_dim, c.hidden_size, c.attention_bias),
        q_norm(w / "q_norm", c.head_dim, c.rms_norm_eps, c.zero_centred_norm),
        k_norm(w / "k_norm", c.head_dim, c.rms_norm_eps, c.zero_centred_norm),
        o_proj(w / "o_proj", c.hidden_size, c.num_attention_heads * c.head_dim, c.attention_bias) {}

  SequenceState state() const { return cache; }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q_and_gate = q_proj(x);
    const int64_t D = shape.params.head_dim, heads = q_and_gate.shape()[1] / (2 * D);
    const auto q = q_norm(slice_heads(q_and_gate, heads, 0, D));
    const auto gate = slice_heads(q_and_gate, heads, D, D);
    const auto k = k_norm(k_proj(x));
    const auto v = v_proj(x);
    const auto o = attend(q, k, v, shape, step, kv);
    return o_proj(mul(o, sigmoid(gate)));
  }
};

/// Experts of which a token uses a few, beside one that all tokens use as far as a gate lets them.
template <class B>
struct GatedSharedExpertMlp {
  SparseMlp<B> routed;
  GatedMlp<B> shared_expert;
  FullLinear<B> shared_expert_gate;

  GatedSharedExpertMlp(const Weights<B>& w, int64_t hidden_size, const Mixture& m)
      : routed(w / "gate", w / "experts",
               {.hidden_size = hidden_size,
                .experts = m.experts,
                .width = m.width,
                .route = {.top_k = static_cast<int>(m.experts_per_token), .renormalise = m.renormalise}}),
        shared_expert(w / "shared_expert", hidden_size, m.shared_width),
        shared_expert_gate(w / "shared_expert_gate", 1, hidden_size) {}

  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto chosen = routed(x);
    const auto always = shared_expert(x);
    const auto gate = sigmoid(shared_expert_gate.in_f32(x));
    return add(chosen, scale_rows(always, gate));
  }
};

/// The token mixer of a layer.
template <class B>
class Mixer {
 public:
  Mixer(const Weights<B>& w, const Config& c, int64_t layer)
      : mixer_(c.is_linear(layer) ? Kind(GatedDeltaNet<B>(w, c.delta_net)) : Kind(GatedAttention<B>(w, c, layer))) {}
  SequenceState state() const {
    return std::visit([](const auto& m) { return m.state(); }, mixer_);
  }
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& state) const {
    return std::visit([&](const auto& m) { return m(x, step, state); }, mixer_);
  }

 private:
  using Kind = std::variant<GatedDeltaNet<B>, GatedAttention<B>>;
  Kind mixer_;
};

struct MoeConfig : Config, qwen3::SparseLayers {
  Mixture mixture;

  explicit MoeConfig(const ConfigReader& json, bool fused = true)
      : Config(json, fused),
        SparseLayers(json),
        mixture{json.has("num_local_experts") ? json.size("num_local_experts") : json.size("num_experts", 512),
                json.size("num_experts_per_tok", 10), json.size("moe_intermediate_size", 512),
                json.size("shared_expert_intermediate_size", 512), json.boolean("norm_topk_prob").value_or(true)} {
    check_experts(mixture.experts, num_hidden_layers);
  }
};

template <class B>
struct MoeMlp : EitherMlp<GatedMlp<B>, GatedSharedExpertMlp<B>> {
  using Either = EitherMlp<GatedMlp<B>, GatedSharedExpertMlp<B>>;
  MoeMlp(const Weights<B>& w, const MoeConfig& c, int64_t layer) : Either{make(w / "mlp", c, c.is_sparse(layer))} {}

 private:
  static typename Either::Kind make(const Weights<B>& w, const MoeConfig& c, bool sparse) {
    if (!sparse) return GatedMlp<B>(w, c.hidden_size, c.intermediate_size);
    return GatedSharedExpertMlp<B>(w, c.hidden_size, c.mixture);
  }
};

template <class B>
using Qwen3Next = CausalLm<B, PreNormLayer<B, Mixer<B>, MoeMlp<B>>>;

}  // namespace infernum::qwen3_next
