// Multi-head latent attention (DeepSeek-V2, 2024) in its absorbed form: the cache holds one latent and one rotated key per token for all
// heads; the matrices that would expand a latent to keys and values of a head are applied to its query and its output instead.
#pragma once
#include "layers/cut.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/step.h"
#include "ops/latent_attention.h"
#include "ops/rope.h"

namespace infernum {

struct LatentAttentionShape {
  int64_t hidden_size, heads;
  int64_t q_lora_rank;  ///< 0: queries are not compressed
  int64_t kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim;
  bool bias;  ///< of the projections whose outputs all heads share
  int rope_table;
  bool rope_interleaved;
  float scale;
  float norm_eps = 1e-6f;  ///< of the norms of the latents, whatever rms_norm_eps is
};

/// The matrices that expand a latent (R) to a head's keys without position, transposed (R, nope), or its values (v, R); one for each of
/// this rank's heads. Under `path` lie `kv_b_proj.weight` (heads * (nope + v), R) or, in GGUF files, stacks k_b_proj and v_b_proj.
std::vector<StoredTensor> read_key_expansion(WeightSource& source, const std::string& path, const LatentAttentionShape& s, int rank,
                                             int ranks);
std::vector<StoredTensor> read_value_expansion(WeightSource& source, const std::string& path, const LatentAttentionShape& s, int rank,
                                               int ranks);

/// x (T, H) -> queries of this rank's heads (T, heads * (nope + rope)), compressed between or not.
template <class B>
class LatentQuery {
 public:
  LatentQuery(const Weights<B>& w, const LatentAttentionShape& s)
      : out_(w / (s.q_lora_rank ? "q_b_proj" : "q_proj"), s.heads * (s.qk_nope_head_dim + s.qk_rope_head_dim),
             s.q_lora_rank ? s.q_lora_rank : s.hidden_size) {
    if (!s.q_lora_rank) return;
    q_a_proj_.emplace(w / "q_a_proj", s.q_lora_rank, s.hidden_size, s.bias);
    q_a_layernorm_.emplace(w / "q_a_layernorm", s.q_lora_rank, s.norm_eps);
  }
  Tensor<B, Shard> operator()(const Tensor<B>& x) const {
    if (!q_a_proj_) return out_(x);
    const auto compressed = (*q_a_proj_)(x);
    const auto normed = (*q_a_layernorm_)(compressed);
    return out_(normed);
  }

 private:
  std::optional<FullLinear<B>> q_a_proj_;
  std::optional<Norm<B>> q_a_layernorm_;
  ColLinear<B> out_;
};

template <class B>
class MultiHeadLatentAttention {
 public:
  MultiHeadLatentAttention(const Weights<B>& w, const LatentAttentionShape& s)
      : shape_(s),
        heads_(s.heads / w.device().ranks),
        query_(w, s),
        kv_a_proj_with_mqa_(w / "kv_a_proj_with_mqa", s.kv_lora_rank + s.qk_rope_head_dim, s.hidden_size, s.bias),
        kv_a_layernorm_(w / "kv_a_layernorm", s.kv_lora_rank, s.norm_eps),
        k_b_(load_weights<B>(w.device(), read_key_expansion(w.source(), w.path(), s, w.device().rank, w.device().ranks))),
        v_b_(load_weights<B>(w.device(), read_value_expansion(w.source(), w.path(), s, w.device().rank, w.device().ranks))),
        o_proj_(w / "o_proj", s.hidden_size, s.heads * s.v_head_dim, s.bias) {}

  /// Rows [latent | rotated key] per token, the same on every rank.
  SequenceState state() const {
    return {{Retention::Kind::All}, {{"latent", {block_tokens, shape_.kv_lora_rank + shape_.qk_rope_head_dim}}}};
  }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& state) const {
    const auto& table = step.rope[static_cast<size_t>(shape_.rope_table)];
    const RopeParams params{static_cast<int>(shape_.qk_rope_head_dim), shape_.rope_interleaved};
    const int64_t nope = shape_.qk_nope_head_dim, rotary = shape_.qk_rope_head_dim, rank = shape_.kv_lora_rank;

    const auto kv = kv_a_proj_with_mqa_(x);
    const auto latent = kv_a_layernorm_(slice_heads(kv, 1, 0, rank));
    const auto k_rope = rope(slice_heads(kv, 1, rank, rotary), table, params);
    latent_append(state[0], latent, k_rope, step.batch, state.group);

    const auto q = query_(x);
    const auto q_nope = slice_heads(q, heads_, 0, nope);
    const auto q_rope = rope(slice_heads(q, heads_, nope, rotary), table, params);
    const auto q_latent = multiply_heads<Shard>(q_nope, k_b_);  // (T, heads * R): products with latents are now products with keys
    const auto o_latent = latent_attention(concat_heads(q_latent, q_rope, heads_), state[0], step.batch, state.group,
                                           {static_cast<int>(rank), static_cast<int>(rotary), shape_.scale, step.batch.context});
    const auto o = multiply_heads<Shard>(o_latent, v_b_);
    return o_proj_(o);
  }

 private:
  LatentAttentionShape shape_;
  int64_t heads_;  ///< of this rank
  LatentQuery<B> query_;
  FullLinear<B> kv_a_proj_with_mqa_;
  Norm<B> kv_a_layernorm_;
  Matrices<B> k_b_;  ///< (R, nope) for each head
  Matrices<B> v_b_;  ///< (v, R) for each head
  RowLinear<B> o_proj_;
};

}  // namespace infernum
