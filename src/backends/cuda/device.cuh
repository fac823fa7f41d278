// What kernels share: element types and their conversion to float, rows of a view, sums over warps and blocks.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/check.h"
#include "core/view.h"

namespace infernum::cuda {

/// A matrix-like view as kernels see it: row r begins at data + r * stride.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  __device__ T* operator[](int64_t r) const { return data + r * stride; }
};
template <class T>
Rows<T> rows(const View<Cuda>& v) {
  return {static_cast<T*>(v.data), v.stride};
}

template <class T>
struct Type {
  using type = T;
};

/// Calls f(Type<T>{}) with T = float, __half or __nv_bfloat16.
template <class F>
void dispatch_float(DType dtype, const F& f) {
  switch (dtype) {
    case DType::F32: return f(Type<float>{});
    case DType::F16: return f(Type<__half>{});
    case DType::BF16: return f(Type<__nv_bfloat16>{});
    default: fail("a float tensor is needed", info(dtype).name);
  }
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ T from_float(float x) {
  if constexpr (sizeof(T) == 4)
    return x;
  else if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else
    return __float2bfloat16_rn(x);
}

/// N consecutive elements, moved by one or a few wide accesses where aligned to their size.
template <class T, int N>
struct alignas(sizeof(T) * N <= 16 ? sizeof(T) * N : 16) Pack {
  T values[N];
};

/// From here on the next kernel of the stream may begin, if it was launched `early`; at the top of a kernel that leaves room for it.
__device__ inline void let_successor_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/// Until the kernels before this one are done and their results visible. Every kernel that is launched `early` calls it on all paths,
/// also where it reads no results: who comes after it relies on that.
__device__ inline void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// The top of a small kernel that is launched `early`: it saves the time between two kernels, no more.
__device__ inline void begin_early() {
  let_successor_begin();
  wait_for_predecessor();
}

__device__ inline float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

/// Sum over a block of whole warps (at most 1024 threads), the same on every thread, in an order that depends on the block's size alone.
__device__ inline float block_sum(float x) {
  __shared__ float sums[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  x = warp_sum(x);
  __syncthreads();  // whoever still reads the sums of a call before
  if (lane == 0) sums[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? sums[lane] : 0.f);
}

}  // namespace infernum::cuda
