// Llama with another attention: a soft cap on the scores (Gemma 2) and a sink per head (Xiao et al. 2024), both zero-cost to swap in.
// The model file is untouched; the new block is the struct below, and it runs on every backend and under `inspect` like any other.
#include <cstdio>

#include "core/check.h"
#include "models/family_of.h"
#include "models/llama.h"
#include "models/loader.h"
#include "runtime/generator.h"
#include "text/load_text.h"

using namespace infernum;

template <class B>
struct CappedAttention : llama::Attention<B> {
  Tensor<B, Shard> sinks;  // a score per query head that takes part in the softmax and carries no value

  CappedAttention(const Weights<B>& w, const llama::Config& c, int64_t layer)
      : llama::Attention<B>(w, c, layer), sinks(constant<B, Shard>(w.device(), c.num_attention_heads / w.device().ranks, 0.f)) {
    this->shape.params.softcap = 30;
  }

  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = this->q_proj(x);
    const auto k = this->k_proj(x);
    const auto v = this->v_proj(x);
    return this->o_proj(attend(q, k, v, this->shape, step, kv, std::optional(sinks)));
  }
};

template <class B>
using CappedLlama = CausalLm<B, PreNormLayer<B, CappedAttention<B>, llama::Mlp<B>>>;

int main(int argc, char** argv) try {
  const Checkpoint checkpoint = open_checkpoint(argc > 1 ? argv[1] : "models/storyteller");
  const auto model = load_model(checkpoint, family<llama::Config, CappedLlama>("capped llama", {}), {});
  const Tokenizer tokenizer = load_tokenizer(checkpoint);

  GenerationRequest request;
  request.prompt = tokenizer.encode("Once upon a time");
  request.max_tokens = 40;
  request.sampling.temperature = 0;
  Generator(*model, tokenizer, {.cache_tokens = 256}).run({request}, [](size_t, const std::string& text) {
    std::fputs(text.c_str(), stdout);
    return true;
  });
  std::puts("");
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
