// Route. Tiny: E logits per token, so what counts is the latency of one warp.
#include "ops/cuda/map_rows.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using cuda::Rows;

constexpr unsigned all_lanes = 0xffffffffu;

/// A number that orders as x does, NaN as -inf; never 0, which marks what cannot be chosen, or has been.
__device__ unsigned sort_key(float x) {
  if (isnan(x)) x = -INFINITY;
  const unsigned bits = __float_as_uint(x + 0.f);  // -0 is 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// Takes the `count` largest of keys[0 .. n-1] (shared memory), ties to the lower index: on_chosen(s, index) on every lane, by falling key.
/// What was taken has the key 0 afterwards. Every lane keeps the best of its own share, and finds another only when that is taken.
template <class F>
__device__ void take_largest(unsigned* keys, int n, int count, const F& on_chosen) {
  const int lane = threadIdx.x % 32;
  unsigned best = 0;
  int best_index = 0;
  const auto find_best = [&] {
    best = 0;
    for (int i = lane; i < n; i += 32)
      if (keys[i] > best) best = keys[i], best_index = i;
  };
  find_best();
  for (int s = 0; s < count; s++) {
    const unsigned largest = __reduce_max_sync(all_lanes, best);
    const unsigned candidate = best == largest ? static_cast<unsigned>(best_index) : ~0u;
    const auto index = static_cast<int>(__reduce_min_sync(all_lanes, candidate));
    if (index % 32 == lane) {
      keys[index] = 0;
      find_best();
    }
    on_chosen(s, index);
  }
  __syncwarp();
}

/// Of c[0 .. n-1] the largest, or the sum of the two largest; NaN does not count. Begins at `start`, so that lanes that read groups of 32
/// do not meet in one bank of shared memory.
__device__ float group_score(const float* c, int n, int start, bool largest_only) {
  float first = -INFINITY, second = -INFINITY;
#pragma unroll 4
  for (int i = 0; i < n; i++) {
    const int at = start + i;
    const float v = c[at < n ? at : at - n];
    if (v > first) {
      second = first;
      first = v;
    } else if (v > second) {
      second = v;
    }
  }
  return largest_only ? first : first + second;
}

/// Scores of the logits, in place; the result, the same on every lane, is NaN if any logit is.
__device__ float score(float* x, int n, bool sigmoid) {
  const int lane = threadIdx.x % 32;
  float total = 0;
  if (sigmoid) {
    for (int e = lane; e < n; e += 32) total += x[e] = 1.f / (1.f + expf(-x[e]));
    return cuda::warp_sum(total);
  }
  float highest = -INFINITY;
  for (int e = lane; e < n; e += 32) highest = fmaxf(highest, x[e]);
  highest = cuda::warp_max(highest);
  for (int e = lane; e < n; e += 32) total += x[e] = expf(x[e] - highest);
  total = cuda::warp_sum(total);
  for (int e = lane; e < n; e += 32) x[e] /= total;
  return total;
}

/// A warp per token. Shared memory of a warp: scores (E), what experts are chosen by (E) and its keys (E), keys of the groups.
template <class T>
__global__ void route_kernel(Rows<float> weights, Rows<int32_t> ids, Rows<const T> logits, const float* bias, int64_t tokens, int experts,
                             RouteParams p) {
  extern __shared__ float shared[];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t t = int64_t{blockIdx.x} * (blockDim.x / 32) + warp;
  if (t >= tokens) return;
  float* scores = shared + warp * (3 * experts + p.groups);
  float* choice = scores + experts;
  auto* keys = reinterpret_cast<unsigned*>(choice + experts);
  unsigned* group_keys = keys + experts;

  for (int e = lane; e < experts; e += 32) scores[e] = choice[e] = cuda::to_float(logits[t][e]);
  const float total = score(scores, experts, p.scoring == RouteParams::Sigmoid);
  if (bias)  // without one the logits choose: scores rise with them
    for (int e = lane; e < experts; e += 32) choice[e] = scores[e] + bias[e];
  __syncwarp();

  const int size = experts / p.groups;
  const bool grouped = p.kept_groups < p.groups, largest_only = p.group_score == RouteParams::Max;
  if (grouped) {
    const float* judged = largest_only || bias ? choice : scores;
    for (int g = lane; g < p.groups; g += 32) group_keys[g] = sort_key(group_score(judged + g * size, size, g % size, largest_only));
    take_largest(group_keys, p.groups, p.kept_groups, [](int, int) {});
  }
  for (int e = lane; e < experts; e += 32) keys[e] = grouped && group_keys[e / size] != 0 ? 0 : sort_key(choice[e]);
  // What cannot be a weight is not passed off as one: it reaches the logits, where the sampler reports it.
  float kept = p.scoring == RouteParams::Sigmoid ? 1e-20f : 0.f;
  take_largest(keys, experts, p.top_k, [&](int s, int e) {
    kept += scores[e];
    if (s % 32 == lane) ids[t][s] = e, weights[t][s] = scores[e];
  });
  const float factor = isnan(total) ? total : p.renormalise ? p.scale / kept : p.scale;
  for (int s = lane; s < p.top_k; s += 32) weights[t][s] *= factor;
}

}  // namespace

void kernel(Route, Queue<Cuda>& q, View<Cuda> weights, View<Cuda> ids, View<Cuda> logits, View<Cuda> bias, RouteParams p) {
  const int64_t experts = logits.cols(), tokens = logits.rows();
  const size_t bytes = static_cast<size_t>(3 * experts + p.groups) * sizeof(float);
  const unsigned warps = bytes <= 12 << 10 ? 4 : 1;
  check(bytes <= static_cast<size_t>(q.properties.shared_bytes_per_block), "route: more experts than fit in shared memory", experts);
  const Grid grid{dim3(static_cast<unsigned>(cuda::ceil_div(tokens, warps))), dim3(32 * warps), bytes * warps};
  cuda::dispatch_float(logits.dtype, [&]<class T>(cuda::Type<T>) {
    launch(q, Route::name, route_kernel<T>, grid, {&weights, &ids, &logits}, cuda::rows<float>(weights), cuda::rows<int32_t>(ids),
           cuda::rows<const T>(logits), bias.as<const float>(), tokens, experts, p);
  });
}

}  // namespace infernum
