// Ops on every element or with one number per row or column.
#include "ops/cuda/activations.cuh"
#include "ops/cuda/map_rows.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Product {
  __device__ float operator()(float a, float b) const { return a * b; }
};
struct SiluOf {
  __device__ float operator()(float x) const { return cuda::silu(x); }
};
struct SigmoidOf {
  __device__ float operator()(float x) const { return cuda::sigmoid(x); }
};
struct GeluTanhOf {
  __device__ float operator()(float x) const { return cuda::gelu_tanh(x); }
};
struct GeluOf {
  __device__ float operator()(float x) const { return cuda::gelu(x); }
};
struct SoftcapOf {
  float c;
  __device__ float operator()(float x) const { return c * tanhf(x / c); }
};
struct ClampOf {
  float low, high;
  __device__ float operator()(float x) const { return cuda::clamp(x, low, high); }
};
struct Times {
  float s;
  __device__ float operator()(float x) const { return s * x; }
};

template <class S>
struct RowFactor {
  cuda::Rows<const S> s;
  __device__ Times row(int64_t r) const { return {cuda::to_float(*s[r])}; }
};

struct PositionFactor {
  const int32_t* positions;
  float beta, floor_scale;
  int offset;

  /// floor(x / floor_scale) of an exact x: the quotient is off by at most one, which the remainder tells.
  __device__ float steps(float x) const {
    const float q = floorf(x / floor_scale);
    if (fmaf(-q, floor_scale, x) < 0) return q - 1;
    return fmaf(-(q + 1), floor_scale, x) >= 0 ? q + 1 : q;
  }
  __device__ Times row(int64_t r) const {
    const auto x = static_cast<float>(int64_t{positions[r]} + offset);
    return {1 + beta * log1pf(steps(x))};
  }
};

}  // namespace

void kernel(Add, Queue<Cuda>& q, View<Cuda> y, View<Cuda> a, View<Cuda> b) {
  if (a.dtype == b.dtype) return cuda::map_elements(q, Add::name, Sum{}, y, a, b);
  check(y.dtype == DType::F32 && a.dtype == DType::F32, "add: of two dtypes the first is F32, as is the sum", info(y.dtype).name,
        info(a.dtype).name, info(b.dtype).name);
  const bool one_row = cuda::packed(y) && cuda::packed(a) && cuda::packed(b);
  cuda::dispatch_float(b.dtype, [&]<class T>(cuda::Type<T>) {
    cuda::map_rows(q, Add::name, {&y, &a, &b}, one_row ? 1 : y.rows(), one_row ? y.elements() : y.cols(), Sum{}, cuda::rows<float>(y),
                   cuda::rows<const float>(a), cuda::rows<const T>(b));
  });
}

void kernel(Mul, Queue<Cuda>& q, View<Cuda> y, View<Cuda> a, View<Cuda> b) { cuda::map_elements(q, Mul::name, Product{}, y, a, b); }

void kernel(Silu, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x) { cuda::map_elements(q, Silu::name, SiluOf{}, y, x); }

void kernel(Sigmoid, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x) { cuda::map_elements(q, Sigmoid::name, SigmoidOf{}, y, x); }

void kernel(GeluTanh, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x) { cuda::map_elements(q, GeluTanh::name, GeluTanhOf{}, y, x); }

void kernel(Gelu, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x) { cuda::map_elements(q, Gelu::name, GeluOf{}, y, x); }

void kernel(Softcap, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, float c) { cuda::map_elements(q, Softcap::name, SoftcapOf{c}, y, x); }

void kernel(Clamp, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, float low, float high) {
  cuda::map_elements(q, Clamp::name, ClampOf{low, high}, y, x);
}

void kernel(Scale, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, float s) { cuda::map_elements(q, Scale::name, Times{s}, y, x); }

void kernel(ScaleRows, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> s) {
  cuda::dispatch_float(s.dtype, [&]<class S>(cuda::Type<S>) {
    cuda::dispatch_float(x.dtype, [&]<class T>(cuda::Type<T>) {
      cuda::map_rows(q, ScaleRows::name, {&y, &x, &s}, y.rows(), y.cols(), RowFactor<S>{cuda::rows<const S>(s)}, cuda::rows<T>(y),
                     cuda::rows<const T>(x));
    });
  });
}

void kernel(PositionScale, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> positions, PositionScaleParams p) {
  cuda::dispatch_float(x.dtype, [&]<class T>(cuda::Type<T>) {
    cuda::map_rows(q, PositionScale::name, {&y, &x, &positions}, y.rows(), y.cols(),
                   PositionFactor{positions.as<const int32_t>(), p.beta, p.floor_scale, p.offset}, cuda::rows<T>(y),
                   cuda::rows<const T>(x));
  });
}

void kernel(AddBias, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> bias) {
  cuda::dispatch_float(x.dtype, [&]<class T>(cuda::Type<T>) {
    cuda::map_rows(q, AddBias::name, {&y, &x, &bias}, y.rows(), y.cols(), Sum{}, cuda::rows<T>(y), cuda::rows<const T>(x),
                   cuda::repeated<const float>(bias));
  });
}

}  // namespace infernum
