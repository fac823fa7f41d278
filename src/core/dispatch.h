// From a run-time dtype to a compile-time element type.
#pragma once
#include "core/check.h"
#include "core/dtype.h"
#include "core/half.h"

namespace infernum {

template <class T>
struct Type {
  using type = T;
};

/// Calls f(Type<T>{}) with T = float, F16 or BF16.
template <class F>
decltype(auto) dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::F32: return f(Type<float>{});
    case DType::F16: return f(Type<F16>{});
    case DType::BF16: return f(Type<BF16>{});
    default: fail("a float tensor is needed", dtype);
  }
}

}  // namespace infernum
