// Tensor<Backend, Layout>: shape, dtype and shared storage on one device. Tensors of different backends or layouts are different types.
#pragma once
#include <memory>
#include <utility>

#include "core/device.h"
#include "core/layout.h"
#include "core/shape.h"

namespace infernum {

template <class B, Layout L = Full>
class Tensor {
 public:
  using Backend = B;
  /// Uninitialised, from the device's allocator.
  Tensor(Device<B>& device, Shape shape, DType dtype)
      : device_(&device), shape_(shape), dtype_(dtype), stride_(last(shape)), data_(allocate(*device.queue, shape, dtype)) {}
  /// Wraps memory that `data` keeps alive, for example a mapped file.
  Tensor(Device<B>& device, Shape shape, DType dtype, std::shared_ptr<void> data)
      : device_(&device), shape_(shape), dtype_(dtype), stride_(last(shape)), data_(std::move(data)) {}

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device<B>& device() const { return *device_; }
  const std::shared_ptr<void>& storage() const { return data_; }

  View<B> view() const {
    View<B> v{data_.get(), {}, stride_, shape_.rank(), dtype_};
    for (int i = 0; i < v.rank; i++) v.size[i] = shape_[i];
    return v;
  }
  /// The same elements in another shape; rows must be contiguous unless the last dimension stays.
  Tensor reshape(Shape shape) const {
    check(shape.elements() == shape_.elements(), "reshape: element counts differ", shape_, shape);
    check(stride_ == last(shape_) || last(shape) == last(shape_), "reshape: rows are not contiguous", shape_, "stride", stride_);
    Tensor t = *this;
    if (stride_ == last(shape_)) t.stride_ = last(shape);
    t.shape_ = shape;
    return t;
  }
  /// Rows begin..end of a matrix-like tensor (rank 2), without copying.
  Tensor rows(int64_t begin, int64_t end) const {
    check(shape_.rank() == 2 && begin >= 0 && begin <= end && end <= shape_[0], "rows: outside of the tensor", shape_, begin, end);
    return part({end - begin, shape_[1]}, begin * stride_);
  }
  /// Columns begin..end of a matrix (rank 2), without copying; a block type is cut between blocks.
  Tensor columns(int64_t begin, int64_t end) const {
    check(shape_.rank() == 2 && begin >= 0 && begin <= end && end <= shape_[1], "columns: outside of the tensor", shape_, begin, end);
    return part({shape_[0], end - begin}, begin);
  }

 private:
  template <class, Layout>
  friend class Tensor;
  template <Layout To, class B2, Layout From>
  friend Tensor<B2, To> relabel(Tensor<B2, From> x);

  template <Layout M>
  explicit Tensor(Tensor<B, M>&& o)
      : device_(o.device_), shape_(o.shape_), dtype_(o.dtype_), stride_(o.stride_), data_(std::move(o.data_)) {}
  static int64_t last(const Shape& s) { return s.rank() ? s.last() : 1; }
  Tensor part(Shape shape, int64_t first_element) const {
    check(first_element % info(dtype_).block == 0 && last(shape) % info(dtype_).block == 0, "slice: cuts through a block", dtype_, shape,
          first_element);
    Tensor t = *this;
    t.shape_ = shape;
    t.data_ = std::shared_ptr<void>(data_, static_cast<char*>(data_.get()) + bytes_of(dtype_, first_element));
    return t;
  }

  Device<B>* device_;
  Shape shape_;
  DType dtype_;
  int64_t stride_;
  std::shared_ptr<void> data_;
};

/// States that x has layout To. For collectives and the linear layers alone: this is where the laws of the types are made.
template <Layout To, class B, Layout From>
Tensor<B, To> relabel(Tensor<B, From> x) {
  return Tensor<B, To>(std::move(x));
}

template <class B, Layout L>
Tensor<B, L> empty_like(const Tensor<B, L>& x) {
  return {x.device(), x.shape(), x.dtype()};
}

/// Lets whoever listens on the device see an intermediate value by name; free when nobody does.
template <class B, Layout L>
void observe(std::string_view name, const Tensor<B, L>& x) {
  if (x.device().observer) x.device().observer(name, x.view());
}

}  // namespace infernum
