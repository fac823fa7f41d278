// Llama whose branches join the residual stream through a kernel given as PTX, as Triton's ahead-of-time compiler writes it: the kernel is
// in scaled_add.ptx, cuda/scaled_add.cpp launches it, and the layer below uses it.
#include "../support.h"
#include "models/family_of.h"
#include "models/llama.h"
#include "scaled_add.h"

namespace example {

/// The engine's layer with branches weighted by `weight`; with 1 the two are the same function.
template <class B>
struct WeightedLayer : PreNormLayer<B, llama::Attention<B>, llama::Mlp<B>> {
  using PreNormLayer<B, llama::Attention<B>, llama::Mlp<B>>::PreNormLayer;
  static constexpr float weight = 1;
  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    const auto x = this->input_layernorm(h);
    const auto a = all_reduce(this->self_attn(x, step, state));
    const auto sum = scaled_add(h, a, weight);
    const auto y = this->post_attention_layernorm(sum);
    const auto m = all_reduce(this->mlp(y));
    return scaled_add(sum, m, weight);
  }
};

template <class B>
using WeightedLlama = CausalLm<B, WeightedLayer<B>>;

/// Every float type, sizes that fill no block, columns of a wider tensor.
template <class B>
void check_op(Device<B>& device, const char* backend) {
  const auto expect = [&](const Tensor<B>& h, const Tensor<B>& x, float scale) {
    const auto a = to_host(*device.queue, h.view()), b = to_host(*device.queue, x.view());
    std::vector<double> want;
    for (size_t i = 0; i < a.size(); i++)
      want.push_back(static_cast<double>(a[i]) + static_cast<double>(scale) * static_cast<double>(b[i]));
    const auto got = to_host(*device.queue, scaled_add(h, x, scale).view());
    // Summands of up to about 15 may cancel.
    const double floor = h.dtype() == DType::F32 ? 15 : 1e-1;
    expect_close(std::string(backend) + " scaled_add " + describe(h.dtype()), got, want, allowed_error(h.dtype()), floor);
  };
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
    const auto random = [&](const Shape& shape, unsigned seed) {
      return from_host(device, shape, dtype, random_values(shape.elements(), seed));
    };
    for (const Shape& shape : {Shape{1, 1}, Shape{7, 33}, Shape{33, 520}, Shape{0, 5}}) expect(random(shape, 1), random(shape, 2), 0.7f);
    expect(random({5, 300}, 3).columns(2, 290), random({5, 289}, 4).columns(1, 289), -1.5f);
  }
  std::printf("scaled_add on %s: as its definition in double\n", backend);
}

}  // namespace example

int main(int argc, char** argv) try {
  using namespace example;
  on_every_backend("scaled_add", [](auto& device, const char* backend) { check_op(device, backend); });

  const Checkpoint checkpoint = open_checkpoint(argc > 1 ? argv[1] : "models/storyteller");
  const Family weighted_llama = family<llama::Config, WeightedLlama>("weighted llama", {});
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const auto ids = tokenizer.encode("Once upon a time there was a little dog");
  const auto model = load_model(checkpoint, weighted_llama, {}), original = load_model(checkpoint, {});
  const auto want = logits_of(*original, ids);
  expect_close("weighted llama with weights of 1", logits_of(*model, ids), want, 1e-5, 30);
  std::puts("weighted llama with weights of 1: llama's logits");
  tell(*model, tokenizer, "Once upon a time");
  expect_same_model_on_cuda(checkpoint, weighted_llama, ids);
  return 0;
} catch (const infernum::Error& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
