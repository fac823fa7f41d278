// A block of one's own with a fused kernel: checked against its definition, used in Llama, and what the check says of a wrong kernel.
#include "../support.h"
#include "models/family_of.h"
#include "models/llama.h"
#include "swish_glu.h"

namespace example {

template <class B, class Glu>
struct SwishMlp : llama::Mlp<B> {
  static constexpr float beta = 1.25f;
  using llama::Mlp<B>::Mlp;
  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto gate = this->gate_proj(x);
    const auto up = this->up_proj(x);
    return this->down_proj(Glu{}(gate, up, beta));
  }
};

template <class B>
using SwishLlama = CausalLm<B, PreNormLayer<B, llama::Attention<B>, SwishMlp<B, SwishGlu>>>;
template <class B>
using WrongLlama = CausalLm<B, PreNormLayer<B, llama::Attention<B>, SwishMlp<B, WrongSwishGlu>>>;

/// Fused, decomposed, and both compared, against the formula in double.
template <class B>
void check_block(Device<B>& device, const char* backend) {
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16})
    for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 33}, {33, 520}}) {
      const auto gate = from_host(device, {rows, cols}, dtype, random_values(rows * cols, 1));
      const auto up = from_host(device, {rows, cols}, dtype, random_values(rows * cols, 2));
      const auto g = to_host(*device.queue, gate.view()), u = to_host(*device.queue, up.view());
      std::vector<double> want;
      for (size_t i = 0; i < g.size(); i++) {
        const auto x = static_cast<double>(g[i]);
        want.push_back(x / (1 + std::exp(-1.25 * x)) * static_cast<double>(u[i]));
      }
      for (const Fusion fusion : {Fusion::On, Fusion::Off, Fusion::Check}) {
        device.fusion = fusion;
        const auto got = to_host(*device.queue, SwishGlu{}(gate, up, 1.25f).view());
        const double roundings = fusion == Fusion::Off ? 8 : 1;  // of the decomposed form's intermediates, one of them in an exponent
        expect_close(std::string(backend) + " swish_glu " + describe(dtype), got, want, roundings * allowed_error(dtype), 1e-1);
      }
    }
  std::printf("swish_glu on %s: fused and decomposed as the formula in double\n", backend);
}

/// What the engine says of a fused form that differs; empty if it says nothing.
template <class F>
std::string complaint(const F& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

/// Alone the mistake stays unseen, and where beta is 1 the check has nothing to see; with another beta it names block, element and values.
void check_that_the_wrong_one_is_caught(const Checkpoint& checkpoint, const std::vector<int32_t>& ids) {
  Queue<Cpu> queue;
  Device<Cpu> device;
  device.queue = &queue;
  const auto gate = from_host(device, {4, 8}, DType::F32, random_values(32, 3));
  for (const Fusion fusion : {Fusion::On, Fusion::Check}) {
    device.fusion = fusion;
    check(complaint([&] { WrongSwishGlu{}(gate, gate, 1); }).empty(), "with beta 1 the wrong kernel is right");
  }
  device.fusion = Fusion::On;
  check(complaint([&] { WrongSwishGlu{}(gate, gate, 1.25f); }).empty(), "without the check nobody complains");
  device.fusion = Fusion::Check;
  const std::string alone = complaint([&] { WrongSwishGlu{}(gate, gate, 1.25f); });
  check(alone.starts_with("fusion check: fused and decomposed differ: wrong_swish_glu element "), "the check names the wrong block", alone);

  ModelOptions options;
  options.fusion = Fusion::Check;
  const auto wrong = load_model(checkpoint, family<llama::Config, WrongLlama>("wrong swish llama", {}), options);
  const std::string whole = complaint([&] { logits_of(*wrong, ids); });
  check(whole.find("wrong_swish_glu element ") != whole.npos, "the check finds the wrong block in a model", whole);
  std::printf("the wrong kernel is caught:\n  alone: %s\n  in a model: %s\n", alone.c_str(), whole.c_str());
}

}  // namespace example

int main(int argc, char** argv) try {
  using namespace example;
  on_every_backend("swish_glu", [](auto& device, const char* backend) { check_block(device, backend); });

  const Checkpoint checkpoint = open_checkpoint(argc > 1 ? argv[1] : "models/storyteller");
  const Family swish_llama = family<llama::Config, SwishLlama>("swish llama", {});
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const auto ids = tokenizer.encode("Once upon a time there was a little dog");
  check_that_the_wrong_one_is_caught(checkpoint, ids);
  ModelOptions options;
  options.fusion = Fusion::Check;  // every block of every step, as `infernum run --fusion check` does
  tell(*load_model(checkpoint, swish_llama, options), tokenizer, "Once upon a time");
  expect_same_model_on_cuda(checkpoint, swish_llama, ids);
  return 0;
} catch (const infernum::Error& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
