// Experts of a mixture: gated MLPs of which every token uses a few (Shazeer et al. 2017). Each rank holds a slice of every expert.
#pragma once
#include <variant>

#include "blocks/swiglu.h"
#include "layers/gated_mlp.h"
#include "layers/linear.h"
#include "ops/moe.h"

namespace infernum {

/// Names of an expert's three matrices under the scope: "gate_proj" or, for mixtral, "w1".
struct ExpertNames {
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";
};

struct MixtureShape {
  int64_t hidden_size, experts, width;  ///< width: rows of an expert's gate
  RouteParams route = {};
  ExpertNames names = {};
  bool router_bias = false;
  bool selection_bias = false;  ///< `e_score_correction_bias` beside the router moves the choice of experts, not their weights
  bool expert_bias = false;     ///< every matrix of every expert has a bias
  bool interleaved = false;     ///< where gate and up are stored as one matrix, their rows alternate (gpt-oss)
  bool weights_inputs = false;  ///< an expert sees its token times its weight, and outputs are summed as they are (Llama 4)
};

enum class ExpertMatrix { Gate, Up, Down };

/// One matrix of every expert, this rank's part: gate and up (width / ranks, H), down (H, width / ranks). Under `path` lie, told apart by
/// names and shapes,
///   per expert  0.gate_proj.weight (n, k) ...
///   stacked     gate_proj.weight (E, n, k) ...
///   fused       gate_up_proj (E, 2 width, H) and down_proj (E, H, width), or both transposed: (E, H, 2 width) and (E, width, H).
///   MXFP4       gate_up_proj_blocks and gate_up_proj_scales, down_proj_...: fused, as gpt-oss is published
/// What is a run of whole stored rows stays in place; columns, alternating rows and transposed matrices are copied.
std::vector<StoredTensor> read_experts(WeightSource& source, const std::string& path, const MixtureShape& shape, ExpertMatrix which,
                                       int rank, int ranks);

/// The biases that belong to read_experts(): gate and up (E, width / ranks), down (E, H) whole.
StoredTensor read_expert_biases(WeightSource& source, const std::string& path, const MixtureShape& shape, ExpertMatrix which, int rank,
                                int ranks);

/// Activation: (gate, up) -> their gated product, elementwise.
template <class B, class Activation = SwiGlu>
class Experts {
 public:
  Experts(const Weights<B>& w, const MixtureShape& shape, Activation activation = {})
      : activation_(activation),
        weights_inputs_(shape.weights_inputs),
        gate_(load(w, shape, ExpertMatrix::Gate)),
        up_(load(w, shape, ExpertMatrix::Up)),
        down_(load(w, shape, ExpertMatrix::Down)) {
    if (!shape.expert_bias) return;
    gate_bias_ = relabel<Shard>(bias(w, shape, ExpertMatrix::Gate));
    up_bias_ = relabel<Shard>(bias(w, shape, ExpertMatrix::Up));
    if (w.device().rank == 0) down_bias_ = bias(w, shape, ExpertMatrix::Down);  // a Partial sums over ranks: add it once
  }

  /// x (T, H) through the experts in `routing`, weighted and summed: (T, H).
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Routing<B>& routing) const {
    auto gate = expert_matmul<Shard>(x, gate_, routing.ids);
    auto up = expert_matmul<Shard>(x, up_, routing.ids);
    if (weights_inputs_) {  // both are linear in x
      const auto weights = routing.weights.reshape({routing.weights.shape().elements(), 1});
      gate = scale_rows(gate, weights);
      up = scale_rows(up, weights);
    }
    if (gate_bias_) gate = add_expert_bias(gate, *gate_bias_, routing.ids);
    if (up_bias_) up = add_expert_bias(up, *up_bias_, routing.ids);
    auto down = expert_matmul<Partial>(activation_(gate, up), down_, routing.ids);
    if (down_bias_) down = add_expert_bias(down, *down_bias_, routing.ids);
    return combine_experts(down, weights_inputs_ ? clamp(routing.weights, 1, 1) : routing.weights);
  }

 private:
  static Matrices<B> load(const Weights<B>& w, const MixtureShape& shape, ExpertMatrix which) {
    return load_weights<B>(w.device(), read_experts(w.source(), w.path(), shape, which, w.device().rank, w.device().ranks));
  }
  static Tensor<B> bias(const Weights<B>& w, const MixtureShape& shape, ExpertMatrix which) {
    return place_f32(w.device(), read_expert_biases(w.source(), w.path(), shape, which, w.device().rank, w.device().ranks));
  }

  Activation activation_;
  bool weights_inputs_;
  Matrices<B> gate_, up_;  ///< (width / ranks, H)
  Matrices<B> down_;       ///< (H, width / ranks)
  std::optional<Tensor<B, Shard>> gate_bias_, up_bias_;
  std::optional<Tensor<B>> down_bias_;
};

/// Router, experts and weighted sum.
template <class B, class Activation = SwiGlu>
class SparseMlp {
 public:
  SparseMlp(const Weights<B>& router, const Weights<B>& experts, const MixtureShape& shape, Activation activation = {})
      : router_(router, shape.experts, shape.hidden_size, shape.router_bias), experts_(experts, shape, activation), route_(shape.route) {
    if (shape.selection_bias) selection_bias_ = router.vector("e_score_correction_bias", shape.experts);
  }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto logits = router_.in_f32(x);
    const auto routing = route(logits, selection_bias_, route_);
    return experts_(x, routing);
  }

 private:
  FullLinear<B> router_;
  Experts<B, Activation> experts_;
  RouteParams route_;
  std::optional<Tensor<B>> selection_bias_;
};

/// A mixture beside an MLP that every token uses (Dai et al. 2024).
template <class B>
struct SharedExpertMlp {
  SparseMlp<B> routed;
  GatedMlp<B> shared;
  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto chosen = routed(x);
    const auto always = shared(x);
    return add(chosen, always);
  }
};

/// One kind of MLP or another, as the layer decides.
template <class... Kinds>
struct EitherMlp {
  using Kind = std::variant<Kinds...>;
  Kind mlp;
  template <class B>
  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    return std::visit([&](const auto& m) { return m(x); }, mlp);
  }
};

}  // namespace infernum
