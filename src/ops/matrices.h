// Matrices<Backend>: weights of one shape and type, each where it happens to lie: the experts of a mixture, the heads of an attention.
#pragma once
#include <span>
#include <vector>

#include "core/tensor.h"

namespace infernum {

template <class B>
class Matrices {
 public:
  /// At least one; (n, k) each.
  explicit Matrices(std::vector<Tensor<B>> list) : list_(std::move(list)) {
    check(!list_.empty(), "matrices: at least one");
    const Tensor<B>& first = list_.front();
    check(first.shape().rank() == 2, "matrices: each has two dimensions", first.shape());
    for (const Tensor<B>& m : list_) {
      check(m.shape() == first.shape() && m.dtype() == first.dtype(), "matrices: all have one shape and type", m.shape(), m.dtype(),
            first.shape(), first.dtype());
      views_.push_back(m.view());
    }
  }

  /// (matrices, n, k)
  Shape shape() const { return list_.front().shape().prepended(static_cast<int64_t>(list_.size())); }
  DType dtype() const { return list_.front().dtype(); }
  std::span<const View<B>> views() const { return views_; }

 private:
  std::vector<Tensor<B>> list_;
  std::vector<View<B>> views_;  ///< of the list, as kernels see it
};

}  // namespace infernum
