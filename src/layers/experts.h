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

/// One matrix of all experts as a stack (E, n, k), this rank's part: gate and up (E, width / ranks, H), down (E, H, width / ranks). Under
/// `path` lie, told apart by names and shapes,
///   per expert  0.gate_proj.weight (n, k) ...
///   stacked     gate_proj.weight (E, n, k) ...
///   fused       gate_up_proj (E, 2 width, H) and down_proj (E, H, width), or both transposed: (E, H, 2 width) and (E, width, H).
///   MXFP4       gate_up_proj_blocks and gate_up_proj_scales, down_proj_...: fused, as gpt-oss is published
/// What lies in one piece stays in place.
StoredTensor read_experts(WeightSource& source, const std::string& path, const MixtureShape& shape, ExpertMatrix which, int rank,
                          int ranks);

/// Gate above up (E, 2 width, H), in place; nothing unless they are stored so and one rank has them all.
std::optional<StoredTensor> read_gate_above_up(WeightSource& source, const std::string& path, const MixtureShape& shape, int ranks);

/// The biases that belong to read_experts(): gate and up (E, width / ranks), down (E, H) whole.
StoredTensor read_expert_biases(WeightSource& source, const std::string& path, const MixtureShape& shape, ExpertMatrix which, int rank,
                                int ranks);

/// Activation: (gate, up) -> their gated product, elementwise.
template <class B, class Activation = SwiGlu>
class Experts {
 public:
  Experts(const Weights<B>& w, const MixtureShape& shape, Activation activation = {})
      : activation_(activation),
        width_(shape.width),
        weights_inputs_(shape.weights_inputs),
        gate_(load_gate(w, shape)),
        down_(load(w, shape, ExpertMatrix::Down)) {
    if (!fused(w, shape)) up_ = load(w, shape, ExpertMatrix::Up);
    if (!shape.expert_bias) return;
    gate_bias_ = relabel<Shard>(bias(w, shape, ExpertMatrix::Gate));
    up_bias_ = relabel<Shard>(bias(w, shape, ExpertMatrix::Up));
    if (w.device().rank == 0) down_bias_ = bias(w, shape, ExpertMatrix::Down);  // a Partial sums over ranks: add it once
  }

  /// x (T, H) through the experts in `routing`, weighted and summed: (T, H).
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Routing<B>& routing) const {
    auto [gate, up] = gate_and_up(x, routing.ids);
    if (weights_inputs_) {  // both are linear in x
      const auto weights = routing.weights.reshape({routing.weights.shape().elements(), 1});
      gate = scale_rows(gate, weights);
      up = scale_rows(up, weights);
    }
    if (gate_bias_) gate = add_expert_bias(gate, *gate_bias_, routing.ids);
    if (up_bias_) up = add_expert_bias(up, *up_bias_, routing.ids);
    auto down = multiply_experts<Partial>(activation_(gate, up), down_, routing.ids);
    if (down_bias_) down = add_expert_bias(down, *down_bias_, routing.ids);
    return combine_experts(down, weights_inputs_ ? clamp(routing.weights, 1, 1) : routing.weights);
  }

 private:
  using Pair = std::pair<Tensor<B, Shard>, Tensor<B, Shard>>;
  Pair gate_and_up(const Tensor<B>& x, const Tensor<B>& ids) const {
    auto gate = multiply_experts<Shard>(x, gate_, ids);
    if (up_) return {gate, multiply_experts<Shard>(x, *up_, ids)};
    return {slice_heads(gate, 1, 0, width_), slice_heads(gate, 1, width_, width_)};
  }

  static bool fused(const Weights<B>& w, const MixtureShape& shape) {
    return read_gate_above_up(w.source(), w.path(), shape, w.device().ranks).has_value();
  }
  static LinearWeight<B> load(const Weights<B>& w, const MixtureShape& shape, ExpertMatrix which) {
    return load_weight<B>(w.device(), read_experts(w.source(), w.path(), shape, which, w.device().rank, w.device().ranks));
  }
  static LinearWeight<B> load_gate(const Weights<B>& w, const MixtureShape& shape) {
    const auto both = read_gate_above_up(w.source(), w.path(), shape, w.device().ranks);
    return both ? load_weight<B>(w.device(), *both) : load(w, shape, ExpertMatrix::Gate);
  }
  static Tensor<B> bias(const Weights<B>& w, const MixtureShape& shape, ExpertMatrix which) {
    return place_f32(w.device(), read_expert_biases(w.source(), w.path(), shape, which, w.device().rank, w.device().ranks));
  }

  Activation activation_;
  int64_t width_;
  bool weights_inputs_;
  LinearWeight<B> gate_;  ///< (E, width / ranks, H), or without up_ gate above up (E, 2 width, H)
  std::optional<LinearWeight<B>> up_;
  LinearWeight<B> down_;  ///< (E, H, width / ranks)
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
