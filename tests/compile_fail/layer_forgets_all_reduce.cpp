// A layer that forgets all_reduce: the partial sum of its MLP must not reach the residual stream.
#include "layers/gated_mlp.h"
#include "ops/collectives.h"

namespace infernum {

template <class B>
struct Layer {
  GatedMlp<B> mlp;
  Tensor<B> operator()(const Tensor<B>& h) const {
#ifdef INFERNUM_COMPILES
    const auto m = all_reduce(mlp(h));
#else
    const auto m = mlp(h);
#endif
    return add(h, m);
  }
};
template struct Layer<Cpu>;

}  // namespace infernum
