// Gemma 4 (Gemma Team 2026): Gemma 3's layers with plain norms, attention without scale, normed values, larger heads in the layers that see
// everything, layers that read the cache of an earlier one, embeddings of the token in every layer; some models have a mixture of experts
// beside every MLP.
#pragma once
#include <numbers>
#include <optional>

#include "layers/experts.h"
#include "models/gemma2.h"
#include "ops/rows.h"

namespace infernum::gemma4 {

struct Config : DecoderConfig {
  struct Heads {
    int64_t head_dim, num_key_value_heads;
  };
  std::vector<Heads> heads;             ///< per layer
  int64_t hidden_size_per_layer_input;  ///< 0: no embeddings per layer
  int64_t vocab_size_per_layer_input;
  bool attention_k_eq_v, use_double_wide_mlp, attention_bias, enable_moe_block;
  int64_t num_experts = 0, top_k_experts = 0, moe_intermediate_size = 0;  ///< with enable_moe_block

  explicit Config(const ConfigReader& json);

  bool sees_all(int64_t layer) const { return windows[static_cast<size_t>(layer)] == 0; }
  bool has_cache(int64_t layer) const { return cache_of[static_cast<size_t>(layer)] == layer; }

  AttentionShape attention(int64_t layer) const {
    auto shape = DecoderConfig::attention(layer, attention_bias, attention_bias);
    shape.num_key_value_heads = heads[static_cast<size_t>(layer)].num_key_value_heads;
    shape.params.head_dim = shape.rope.head_dim = static_cast<int>(heads[static_cast<size_t>(layer)].head_dim);
    shape.params.scale = 1;
    return shape;
  }

 private:
  void read_heads(const ConfigReader& json);
  void read_ropes(const ConfigReader& json);
  void share_caches(int64_t shared, const std::vector<std::string>& types);
};

template <class B>
struct Attention {
  /// Of layers with a cache of their own.
  struct KeyValue {
    ColLinear<B> k_proj;
    std::optional<ColLinear<B>> v_proj;  ///< none: values are the keys before norm and rotation
    HeadNorm<B> k_norm;
  };
  AttentionShape shape;
  float eps;
  SequenceState cache;
  ColLinear<B> q_proj;
  HeadNorm<B> q_norm;
  std::optional<KeyValue> key_value;
  RowLinear<B> o_proj;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : shape(c.attention(layer)),
        eps(c.rms_norm_eps),
        cache(key_value_cache(w, shape)),
        q_proj(w / "q_proj", shape.num_attention_heads * shape.params.head_dim, c.hidden_size, c.attention_bias),
        q_norm(w / "q_norm", shape.params.head_dim, eps),
        o_proj(w / "o_proj", c.hidden_size, shape.num_attention_heads * shape.params.head_dim, c.attention_bias) {
    if (!c.has_cache(layer)) return;
    const int64_t width = shape.num_key_value_heads * shape.params.head_dim;
    const bool keys_are_values = c.attention_k_eq_v && c.sees_all(layer);
    key_value.emplace(KeyValue{ColLinear<B>(w / "k_proj", width, c.hidden_size, c.attention_bias), std::nullopt,
                               HeadNorm<B>(w / "k_norm", shape.params.head_dim, eps)});
    if (!keys_are_values) key_value->v_proj.emplace(w / "v_proj", width, c.hidden_size, c.attention_bias);
  }

  SequenceState state() const { return cache; }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = rotate(q_norm(q_proj(x)), shape, step);
    if (key_value) {
      const auto projected = key_value->k_proj(x);
      const auto k = rotate(key_value->k_norm(projected), shape, step);
      const auto v = head_norm(key_value->v_proj ? (*key_value->v_proj)(x) : projected, shape.params.head_dim, eps);
      cache_append(kv, k, v, step.batch);
    }
    const auto o = attention(q, kv, step.batch, shape.params);
    return o_proj(o);
  }
};

/// What a layer adds for its own embedding of the token.
template <class B>
struct PerLayerInput {
  int64_t width;
  FullLinear<B> gate, projection;
  Norm<B> norm;
  PerLayerInput(const Weights<B>& w, const Config& c)
      : width(c.hidden_size_per_layer_input),
        gate(w / "per_layer_input_gate", c.hidden_size_per_layer_input, c.hidden_size),
        projection(w / "per_layer_projection", c.hidden_size, c.hidden_size_per_layer_input),
        norm(w / "post_per_layer_input_norm", c.hidden_size, c.rms_norm_eps) {}
  /// h (T, H), embedding (T, Dp) -> (T, H).
  Tensor<B> operator()(const Tensor<B>& h, const Tensor<B>& embedding) const { return norm(projection(geglu(gate(h), embedding))); }
};

template <class B>
struct Mlp : GatedMlp<B, GeGlu> {
  Mlp(const Weights<B>& w, const Config& c, int64_t layer)
      : GatedMlp<B, GeGlu>(w / "mlp", c.hidden_size, c.intermediate_size * (c.use_double_wide_mlp && !c.has_cache(layer) ? 2 : 1)) {}
};

/// The mixture beside the MLP of a layer, with norms of its own. It is routed by the residual stream itself.
template <class B>
struct Mixture {
  Tensor<B> router_scale;      ///< (H)
  Tensor<B> per_expert_scale;  ///< (E, 1)
  FullLinear<B> router;
  Experts<B, GeGlu> experts;
  Norm<B> before, after, after_mlp;
  RouteParams route_params;
  float eps, router_multiplier;

  Mixture(const Weights<B>& w, const Config& c)
      : router_scale((w / "router").vector("scale", c.hidden_size)),
        per_expert_scale((w / "router").vector("per_expert_scale", c.num_experts).reshape({c.num_experts, 1})),
        router(w / "router" / "proj", c.num_experts, c.hidden_size),
        experts(w / "experts", {.hidden_size = c.hidden_size, .experts = c.num_experts, .width = c.moe_intermediate_size}),
        before(w / "pre_feedforward_layernorm_2", c.hidden_size, c.rms_norm_eps),
        after(w / "post_feedforward_layernorm_2", c.hidden_size, c.rms_norm_eps),
        after_mlp(w / "post_feedforward_layernorm_1", c.hidden_size, c.rms_norm_eps),
        route_params{.top_k = static_cast<int>(c.top_k_experts), .renormalise = true},
        eps(c.rms_norm_eps),
        router_multiplier(static_cast<float>(1 / std::sqrt(static_cast<double>(c.hidden_size)))) {}

  /// The residual stream h (T, H) -> (T, H), normed.
  Tensor<B> operator()(const Tensor<B>& h) const {
    const auto logits = scale(router.in_f32(rms_norm(h, router_scale, eps)), router_multiplier);
    auto chosen = route(logits, std::nullopt, route_params);
    const int64_t tokens = h.shape()[0], pairs = chosen.ids.shape().elements();
    const auto factors = embed(per_expert_scale, chosen.ids.reshape({pairs}));
    chosen.weights = scale_rows(chosen.weights.reshape({pairs, 1}), factors).reshape({tokens, pairs / tokens});
    return after(all_reduce(experts(before(h), chosen)));
  }
};

template <class B>
struct Layer : SandwichLayer<B, Attention<B>, Mlp<B>> {
  int64_t index;
  std::optional<Mixture<B>> mixture;
  std::optional<PerLayerInput<B>> per_layer_input;
  float layer_scalar;

  Layer(const Weights<B>& w, const Config& c, int64_t i)
      : SandwichLayer<B, Attention<B>, Mlp<B>>(w, c, i), index(i), layer_scalar(w.scalar("layer_scalar")) {
    if (c.enable_moe_block) mixture.emplace(w, c);
    if (c.hidden_size_per_layer_input > 0) per_layer_input.emplace(w, c);
  }

  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    auto y = mixture ? with_mixture(h, step, state) : SandwichLayer<B, Attention<B>, Mlp<B>>::operator()(h, step, state);
    if (per_layer_input) {
      const int64_t width = per_layer_input->width;
      y = add(y, (*per_layer_input)(y, slice_heads(*step.per_layer_input, 1, index * width, width)));
    }
    return scale(y, layer_scalar);
  }

 private:
  /// The sandwich whose filling is the MLP plus the mixture.
  Tensor<B> with_mixture(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    const auto x = this->before_attention(h);
    const auto a = this->after_attention(all_reduce(this->self_attn(x, step, state)));
    const auto [sum, y] = add_rms_norm(h, a, this->before_mlp.weight, this->before_mlp.eps);
    const auto dense = mixture->after_mlp(all_reduce(this->mlp(y)));
    const auto routed = (*mixture)(sum);
    return add(sum, this->after_mlp(add(dense, routed)));
  }
};

/// The embedding of every token in every layer: half from a table, half from the ordinary embedding.
template <class B>
struct PerLayerEmbedding {
  struct Parts {
    Embedding<B> table;
    FullLinear<B> projection;
    HeadNorm<B> norm;
  };
  std::optional<Parts> parts;
  float projection_scale;

  PerLayerEmbedding(const Weights<B>& w, const Config& c)
      : projection_scale(static_cast<float>(1 / std::sqrt(static_cast<double>(c.hidden_size)))) {
    const int64_t width = c.hidden_size_per_layer_input, all = width * c.num_hidden_layers;
    if (width > 0)
      parts.emplace(Parts{{w / "embed_tokens_per_layer", c.vocab_size_per_layer_input, all, gemma2::embedding_multiplier(width)},
                          {w / "per_layer_model_projection", all, c.hidden_size},
                          {w / "per_layer_projection_norm", width, c.rms_norm_eps}});
  }
  /// Sets step.per_layer_input (T, L * Dp) from the embeddings h (T, H).
  void operator()(Step<B>& step, const Tensor<B>& h) const {
    if (!parts) return;
    const auto projected = parts->norm(scale(parts->projection(h), projection_scale));
    const auto looked_up = parts->table(step.batch.ids);
    step.per_layer_input = scale(add(projected, looked_up), std::numbers::sqrt2_v<float> / 2);
  }
};

template <class B>
using Gemma4 = CausalLm<B, Layer<B>, Norm<B>, PerLayerEmbedding<B>>;

}  // namespace infernum::gemma4
