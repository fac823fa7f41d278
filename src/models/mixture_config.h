// The mixtures of DeepSeek and of families with the same keys: dense first layers, then many small experts beside a shared one.
#pragma once
#include "layers/experts.h"
#include "models/config.h"

namespace infernum {

/// A key that may be null or 0, which both mean none.
int64_t count_or_null(const ConfigReader& json, std::string_view key, int64_t fallback);

/// Which layers are mixtures, and of what shape; shared by families with the same keys.
struct MixtureConfig {
  int64_t first_k_dense_replace, moe_layer_freq, n_shared_experts;
  MixtureShape shape;
  bool is_sparse(int64_t layer) const { return layer >= first_k_dense_replace && layer % moe_layer_freq == 0; }
};

/// The keys of V3's router: sigmoid scores, a bias that moves the choice, experts in groups (DeepSeek-V3, section 2.1.2). `defaults` for
/// absent keys.
struct MixtureDefaults {
  int64_t experts, experts_per_token, width, groups, kept_groups, first_dense;
  double scale;
};
MixtureConfig read_mixture(const ConfigReader& json, const DecoderConfig& c, const MixtureDefaults& defaults);
/// The keys of V2's: a softmax, and groups only with topk_method group_limited_greedy.
MixtureConfig read_softmax_mixture(const ConfigReader& json, const DecoderConfig& c);

/// A dense MLP in the first layers, then the mixture, with or without a shared expert.
template <class B>
struct FirstDenseMlp : EitherMlp<GatedMlp<B>, SparseMlp<B>, SharedExpertMlp<B>> {
  using Either = EitherMlp<GatedMlp<B>, SparseMlp<B>, SharedExpertMlp<B>>;

  template <class Config>
  FirstDenseMlp(const Weights<B>& w, const Config& c, int64_t layer) : Either{make(w / "mlp", c, layer)} {}

 private:
  template <class Config>
  static typename Either::Kind make(const Weights<B>& w, const Config& c, int64_t layer) {
    const MixtureConfig& m = c.mixture;
    if (!m.is_sparse(layer)) return GatedMlp<B>(w, c.hidden_size, c.intermediate_size, c.mlp_bias);
    SparseMlp<B> routed(w / "gate", w / "experts", m.shape);
    if (!m.n_shared_experts) return routed;
    return SharedExpertMlp<B>{std::move(routed),
                              GatedMlp<B>(w / "shared_experts", c.hidden_size, m.shape.width * m.n_shared_experts, c.mlp_bias)};
  }
};

}  // namespace infernum
