// Llama with an activation of one's own, on the CPU and on CUDA: the op is in hard_swish.h and its kernels beside it, the model below.
// No source of the engine is touched.
#include "../support.h"
#include "hard_swish.h"
#include "models/family_of.h"
#include "models/llama.h"

namespace example {

template <class B>
struct HardSwishMlp : llama::Mlp<B> {
  using llama::Mlp<B>::Mlp;
  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto gate = this->gate_proj(x);
    const auto up = this->up_proj(x);
    const auto activated = hard_swish(gate);
    return this->down_proj(mul(activated, up));
  }
};

template <class B>
using HardSwishLlama = CausalLm<B, PreNormLayer<B, llama::Attention<B>, HardSwishMlp<B>>>;

double definition(double x) { return x * std::clamp(x / 6 + 0.5, 0., 1.); }

/// Every float type, sizes that fill no vector and no block, columns of a wider tensor, and what is not a number.
template <class B>
void check_op(Device<B>& device, const char* backend) {
  const auto expect = [&](const Tensor<B>& x, const std::string& what) {
    std::vector<double> want;
    for (const float v : to_host(*device.queue, x.view())) want.push_back(definition(static_cast<double>(v)));
    const auto got = to_host(*device.queue, hard_swish(x).view());
    expect_close(std::string(backend) + " hard_swish " + what, got, want, allowed_error(x.dtype()), x.dtype() == DType::F32 ? 1 : 1e-1);
  };
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
    for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 33}, {33, 520}, {0, 5}})
      expect(from_host(device, {rows, cols}, dtype, random_values(rows * cols, 1)), describe(dtype));
    expect(from_host(device, {5, 70}, dtype, random_values(350, 2)).columns(3, 40), "columns of " + describe(dtype));
  }
  const auto limits = to_host(*device.queue, hard_swish(from_host(device, {2}, DType::F32, {NAN, INFINITY})).view());
  check(std::isnan(limits[0]) && limits[1] == INFINITY, "hard_swish: NaN stays, and so does infinity", backend, limits[0], limits[1]);
  std::printf("hard_swish on %s: as its definition in double\n", backend);
}

}  // namespace example

int main(int argc, char** argv) try {
  using namespace example;
  on_every_backend("hard_swish", [](auto& device, const char* backend) { check_op(device, backend); });

  const Checkpoint checkpoint = open_checkpoint(argc > 1 ? argv[1] : "models/storyteller");
  const Family hard_swish_llama = family<llama::Config, HardSwishLlama>("hard swish llama", {});
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const auto model = load_model(checkpoint, hard_swish_llama, {});
  tell(*model, tokenizer, "Once upon a time");
  expect_same_model_on_cuda(checkpoint, hard_swish_llama, tokenizer.encode("Once upon a time there was a little dog"));
  return 0;
} catch (const infernum::Error& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
