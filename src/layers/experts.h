// Experts of a mixture: gated MLPs of which every token uses a few (Shazeer et al. 2017). Each rank holds a slice of every expert.
#pragma once
#include <functional>
#include <string>

#include "blocks/swiglu.h"
#include "layers/linear.h"
#include "ops/moe.h"

namespace infernum {

/// Names of an expert's three matrices under the scope: "gate_proj" or, for mixtral, "w1".
struct ExpertNames {
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";
};

/// The matrices of all experts as one stack (E, n, k), this rank's part of each. Stored per expert (`0.gate_proj.weight`), stacked
/// (`gate_proj.weight` (E, n, k)), or with gate and up fused (`gate_up_proj` (E, 2n, k), part 0 or 1; `down_proj` (E, n, k)).
StoredTensor read_experts(const std::function<bool(const std::string&)>& has,
                          const std::function<StoredTensor(const std::string&, const Shape&)>& read, std::string_view leaf, int fused_part,
                          int64_t experts, int64_t n, int64_t k, Split how, int rank, int ranks);

template <class B>
class Experts {
 public:
  Experts(const Weights<B>& w, int64_t experts, int64_t hidden_size, int64_t width, const ExpertNames& names = {})
      : gate_(load(w, names.gate, 0, experts, width, hidden_size, Split::Rows)),
        up_(load(w, names.up, 1, experts, width, hidden_size, Split::Rows)),
        down_(load(w, names.down, -1, experts, hidden_size, width, Split::Cols)) {}

  /// x (T, H) through the experts in `routing`, weighted and summed: (T, H).
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Routing<B>& routing) const {
    const auto gate = multiply_experts<Shard>(x, gate_, routing.ids);
    const auto up = multiply_experts<Shard>(x, up_, routing.ids);
    const auto down = multiply_experts<Partial>(swiglu(gate, up), down_, routing.ids);
    return combine_experts(down, routing.weights);
  }

 private:
  static LinearWeight<B> load(const Weights<B>& w, std::string_view leaf, int fused_part, int64_t experts, int64_t n, int64_t k,
                              Split how) {
    const auto has = [&](const std::string& name) { return w.has(name); };
    const auto read = [&](const std::string& name, const Shape& shape) { return w.stored(name, shape); };
    return load_weight<B>(w.device(), read_experts(has, read, leaf, fused_part, experts, n, k, how, w.device().rank, w.device().ranks));
  }
  LinearWeight<B> gate_, up_, down_;
};

/// Router, experts and weighted sum: softmax over all experts, the top_k of them (Jiang et al. 2024).
template <class B>
class SparseMlp {
 public:
  SparseMlp(const Weights<B>& router, const Weights<B>& experts, int64_t count, int64_t top_k, bool renormalise, int64_t hidden_size,
            int64_t width, const ExpertNames& names = {})
      : router_(router, count, hidden_size),
        experts_(experts, count, hidden_size, width, names),
        route_{.top_k = static_cast<int>(top_k), .renormalise = renormalise} {}

  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto logits = router_.in_f32(x);
    const auto routing = route(logits, {}, route_);
    return experts_(x, routing);
  }

 private:
  FullLinear<B> router_;
  Experts<B> experts_;
  RouteParams route_;
};

}  // namespace infernum
