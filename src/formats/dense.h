// Dense: a matrix of plain floats, multiplied as it is stored.
#pragma once
#include "formats/place.h"
#include "ops/matmul.h"

namespace infernum {

template <class B>
struct Dense {
  Tensor<B> w;  ///< (n, k); F32, F16 or BF16

  static bool stores(DType t) { return is_float(t); }
  static Dense load(Device<B>& device, const StoredTensor& t) { return {place(device, t)}; }
  static Matrices<B> load(Device<B>& device, const std::vector<StoredTensor>& list) { return place(device, list); }

  template <Layout Out, Layout In>
  Tensor<B, Out> multiply(const Tensor<B, In>& x, std::optional<DType> dtype) const {
    return matmul<Out>(x, w, dtype);
  }
};

}  // namespace infernum
