// DeepSeek-V2 and V3 (DeepSeek-AI 2024), and models of their shape (R1, Kimi-K2, Moonlight): latent attention, and behind the first layers
// a mixture of many small experts beside a shared one.
#pragma once
#include "layers/causal_lm.h"
#include "layers/latent_attention.h"
#include "layers/pre_norm_layer.h"
#include "models/mixture_config.h"

namespace infernum::deepseek {

struct Config : DecoderConfig {
  LatentAttentionShape latent;
  bool mlp_bias;
  MixtureConfig mixture;

 protected:
  Config(const ConfigReader& json, MixtureConfig (*read)(const ConfigReader&, const DecoderConfig&),
         int64_t default_max_position_embeddings);
};

struct V2Config : Config {
  explicit V2Config(const ConfigReader& json) : Config(json, read_softmax_mixture, 2048) {}
};

struct V3Config : Config {
  explicit V3Config(const ConfigReader& json)
      : Config(
            json,
            [](const ConfigReader& j, const DecoderConfig& c) {
              return read_mixture(j, c, {256, 8, 2048, 8, 4, 3, 2.5});
            },
            4096) {}
};

template <class B>
struct Attention : MultiHeadLatentAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t) : MultiHeadLatentAttention<B>(w, c.latent) {}
};

template <class B>
using Deepseek = CausalLm<B, PreNormLayer<B, Attention<B>, FirstDenseMlp<B>>>;

}  // namespace infernum::deepseek
