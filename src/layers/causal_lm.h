// CausalLm: embedding, a stack of decoder layers, final norm and head: the frame of every decoder-only language model.
#pragma once
#include <vector>

#include "layers/embedding.h"
#include "layers/norm.h"
#include "layers/rotary.h"
#include "layers/step.h"

namespace infernum {

/// A model whose layers share nothing but the rotary tables.
template <class B>
struct NoStepInput {
  template <class Config>
  NoStepInput(const Weights<B>&, const Config&) {}
  void operator()(Step<B>&, const Tensor<B>&) const {}
};

/// Layer: constructed from (weights, config, index), called as h = layer(h (T, H), step, its state); state() describes that state.
/// StepInput: from (weights, config), called as (step, embeddings (T, H)) to add what the layers of this model share in a step.
template <class B, class Layer, class FinalNorm = Norm<B>, class StepInput = NoStepInput<B>>
class CausalLm {
 public:
  template <class Config>
  CausalLm(const Weights<B>& w, const Config& c)
      : embed_tokens_(w / "model" / "embed_tokens", c.vocab_size, c.hidden_size, c.embedding_scale),
        norm_(w / "model" / "norm", c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        lm_head_(c.tie_word_embeddings ? w / "model" / "embed_tokens" : w / "lm_head", c.vocab_size, c.hidden_size, c.logit_scale,
                 c.logit_softcap),
        step_input_(w / "model", c) {
    int own = 0;
    for (int64_t i = 0; i < c.num_hidden_layers; i++) {
      const int64_t source = c.cache_of[static_cast<size_t>(i)];
      state_of_.push_back(source == i ? own++ : state_of_[static_cast<size_t>(source)]);
    }
    for (const RopeConfig& r : c.ropes) rotary_.emplace_back(w.device(), r, c.context);
    for (int64_t i = 0; i < c.num_hidden_layers; i++) layers_.emplace_back(w / "model" / "layers" / i, c, i);
  }

  /// What the layers keep of a sequence on this rank; a layer that reads another's cache keeps nothing.
  std::vector<SequenceState> states() const {
    std::vector<SequenceState> list;
    for (size_t i = 0; i < layers_.size(); i++)
      if (state_of_[i] == static_cast<int>(list.size())) list.push_back(layers_[i].state());
    return list;
  }

  /// Logits (n, V) of the rows the batch asks for.
  Tensor<B> operator()(const Batch<B>& batch, const std::vector<LayerState<B>>& states) const {
    auto h = embed_tokens_(batch.ids);
    observe("hidden0", h);
    Step<B> step{batch, {}, {}};
    for (const auto& rotary : rotary_) step.rope.push_back(rotary(batch.positions));
    step_input_(step, h);
    for (size_t i = 0; i < layers_.size(); i++) {
      h = layers_[i](h, step, states[static_cast<size_t>(state_of_[i])]);
      if (i + 1 < layers_.size()) observe("hidden" + std::to_string(i + 1), h);
    }
    if (h.device().observer) observe("hidden" + std::to_string(layers_.size()), norm_(h));
    const auto wanted = take_rows(h, batch.out_rows);
    const auto normed = norm_(wanted);
    return lm_head_(normed);
  }

 private:
  Embedding<B> embed_tokens_;
  FinalNorm norm_;
  LmHead<B> lm_head_;
  std::vector<RotaryEmbedding<B>> rotary_;
  StepInput step_input_;
  std::vector<Layer> layers_;
  std::vector<int> state_of_;  ///< per layer: index of the state it reads
};

}  // namespace infernum
