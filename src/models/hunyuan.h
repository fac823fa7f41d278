// Hunyuan, dense (Tencent 2025): Llama whose queries and keys are normalised per head, after rotation.
#pragma once
#include "models/llama.h"

namespace infernum::hunyuan {

struct Config : llama::Config {
  explicit Config(const ConfigReader& json) : llama::Config(json, {.rms_norm_eps = 1e-5}) {
    check(json.boolean("use_qk_norm").value_or(true), "config.json: this family always normalises queries and keys: use_qk_norm");
    check(!json.boolean("use_cla").value_or(false), "config.json: attention across layers is not implemented: use_cla");
  }
};

template <class B>
struct Attention : llama::Attention<B> {
  HeadNorm<B> query_layernorm, key_layernorm;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : llama::Attention<B>(w, c, layer),
        query_layernorm(w / "query_layernorm", c.head_dim, c.rms_norm_eps),
        key_layernorm(w / "key_layernorm", c.head_dim, c.rms_norm_eps) {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = query_layernorm(rotate(this->q_proj(x), this->shape, step));
    const auto k = key_layernorm(rotate(this->k_proj(x), this->shape, step));
    const auto v = this->v_proj(x);
    const auto o = cache_and_attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

template <class B>
using Hunyuan = CausalLm<B, PreNormLayer<B, Attention<B>, llama::Mlp<B>>>;

}  // namespace infernum::hunyuan
