// Gemma 4 (Gemma Team 2026): Gemma 3's layers with plain norms, attention without scale, normed values, larger heads in the layers that see
// everything, layers that read the cache of an earlier one, and embeddings of the token in every layer.
#pragma once
#include <numbers>
#include <optional>

#include "models/gemma2.h"
#include "ops/rows.h"

namespace infernum::gemma4 {

inline ConfigDefaults defaults() {
  ConfigDefaults d = gemma2::defaults;
  d.vocab_size = 262144;
  d.max_position_embeddings = 131072;
  return d;
}

struct Config : DecoderConfig {
  struct Heads {
    int64_t head_dim, num_key_value_heads;
  };
  std::vector<Heads> heads;             ///< per layer
  int64_t hidden_size_per_layer_input;  ///< 0: no embeddings per layer
  int64_t vocab_size_per_layer_input;
  bool attention_k_eq_v, use_double_wide_mlp, attention_bias;

  explicit Config(const ConfigReader& json)
      : DecoderConfig(json, defaults()),
        hidden_size_per_layer_input(
            json.integer("hidden_size_per_layer_input").value_or(json.is_null("hidden_size_per_layer_input") ? 0 : 256)),
        vocab_size_per_layer_input(json.size("vocab_size_per_layer_input", 262144)),
        attention_k_eq_v(json.boolean("attention_k_eq_v").value_or(false)),
        use_double_wide_mlp(json.boolean("use_double_wide_mlp").value_or(false)),
        attention_bias(json.boolean("attention_bias").value_or(false)) {
    embedding_scale = gemma2::embedding_multiplier(hidden_size);
    logit_softcap = gemma2::read_softcap(json, "final_logit_softcapping", 0);
    check(json.string("use_bidirectional_attention").value_or("vision") == "vision",  // concerns images only
          "config.json: use_bidirectional_attention makes an encoder; implemented: null, vision",
          *json.string("use_bidirectional_attention"));
    check(!json.boolean("enable_moe_block").value_or(false), "config.json: enable_moe_block = true is not implemented; implemented: false");
    check(hidden_size_per_layer_input >= 0 && hidden_size_per_layer_input <= hidden_size, "config.json: hidden_size_per_layer_input",
          hidden_size_per_layer_input);
    check(hidden_size_per_layer_input == 0 || vocab_size_per_layer_input >= vocab_size,
          "config.json: vocab_size_per_layer_input must cover the vocabulary", vocab_size_per_layer_input, vocab_size);
    auto types = read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"},
                                  [](int64_t layer) { return (layer + 1) % 6 ? "sliding_attention" : "full_attention"; });
    types.back() = "full_attention";
    windows = windows_of(json, types, 512);
    read_heads(json);
    read_ropes(json);
    share_caches(json.integer("num_kv_shared_layers").value_or(0), types);
  }

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
  /// `per_layer_config` overrides single layers; without it global_head_dim and num_global_key_value_heads hold for those that see all.
  void read_heads(const ConfigReader& json) {
    const auto overrides = json.object("per_layer_config");
    const int64_t global_dim = json.size("global_head_dim", 512);
    const int64_t global_heads = attention_k_eq_v ? json.size("num_global_key_value_heads", num_key_value_heads) : num_key_value_heads;
    for (int64_t i = 0; i < num_hidden_layers; i++) {
      const auto own = overrides ? overrides->object(std::to_string(i)) : std::nullopt;
      if (overrides)
        heads.push_back({own ? own->size("head_dim", head_dim) : head_dim,
                         own ? own->size("num_key_value_heads", num_key_value_heads) : num_key_value_heads});
      else
        heads.push_back(sees_all(i) ? Heads{global_dim, global_heads} : Heads{head_dim, num_key_value_heads});
      check(heads.back().head_dim <= 1024 && num_attention_heads % heads.back().num_key_value_heads == 0,
            "config.json: query heads must divide into groups of key-value heads of at most 1024 components", heads.back().head_dim,
            heads.back().num_key_value_heads);
      if (own)
        for (const auto& key : own->unread()) fail("config.json: unknown key in per_layer_config", i, key);
    }
  }
  /// Table 0: layers that see everything; table 1: layers with a window.
  void read_ropes(const ConfigReader& json) {
    const int64_t global_dim = heads.back().head_dim;
    ropes = {read_rope(json, global_dim, max_position_embeddings, {.rope_theta = 1e6}, "full_attention"),
             read_rope(json, head_dim, max_position_embeddings, {}, "sliding_attention")};
    if (!json.has("rope_parameters")) {
      ropes[0].rope_type = "proportional";
      ropes[0].proportion = 0.25;
    }
    for (size_t i = 0; i < windows.size(); i++) layer_rope[i] = windows[i] > 0 ? 1 : 0;
  }

  /// The last `shared` layers read the cache of the last layer of their type before them.
  void share_caches(int64_t shared, const std::vector<std::string>& types) {
    check(shared >= 0 && shared < num_hidden_layers, "config.json: num_kv_shared_layers is less than the layers", shared);
    for (int64_t i = 0; i < num_hidden_layers; i++) {
      int64_t donor = i < num_hidden_layers - shared ? i : num_hidden_layers - shared - 1;
      while (donor >= 0 && types[static_cast<size_t>(donor)] != types[static_cast<size_t>(i)]) donor--;
      check(donor >= 0, "config.json: num_kv_shared_layers leaves no layer of this type with a cache", types[static_cast<size_t>(i)]);
      check(heads[static_cast<size_t>(donor)].head_dim == heads[static_cast<size_t>(i)].head_dim,
            "config.json: a layer that shares a cache has heads of another size", i, donor);
      cache_of[static_cast<size_t>(i)] = donor;
    }
  }
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

template <class B>
struct Layer : SandwichLayer<B, Attention<B>, Mlp<B>> {
  int64_t index;
  std::optional<PerLayerInput<B>> per_layer_input;
  float layer_scalar;

  Layer(const Weights<B>& w, const Config& c, int64_t i)
      : SandwichLayer<B, Attention<B>, Mlp<B>>(w, c, i), index(i), layer_scalar(w.scalar("layer_scalar")) {
    if (c.hidden_size_per_layer_input > 0) per_layer_input.emplace(w, c);
  }

  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    auto y = SandwichLayer<B, Attention<B>, Mlp<B>>::operator()(h, step, state);
    if (per_layer_input) {
      const int64_t width = per_layer_input->width;
      y = add(y, (*per_layer_input)(y, slice_heads(*step.per_layer_input, 1, index * width, width)));
    }
    return scale(y, layer_scalar);
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
