#include "backends/cuda/bandwidth.h"

#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "backends/cuda/transfer.h"

namespace infernum {
namespace {

/// Every thread adds 16-byte words a grid apart, eight at once in flight; the sum is stored so that the reads are needed.
__global__ void read_stream(const uint4* data, int64_t words, uint32_t* sums) {
  constexpr int unroll = 8;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  uint32_t sum = 0;
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + (unroll - 1) * step < words; i += unroll * step) {
    uint4 v[unroll];
    for (int u = 0; u < unroll; u++) v[u] = __ldcs(data + i + u * step);
    for (int u = 0; u < unroll; u++) sum += v[u].x + v[u].y + v[u].z + v[u].w;
  }
  for (; i < words; i += step) sum += data[i].x;
  if (sum == 0xffffffffu) sums[blockIdx.x] = sum;
}

}  // namespace

double read_bandwidth(Queue<Cuda>& queue) {
  queue.bind();
  const int64_t bytes = std::min(int64_t{2} << 30, queue.properties.memory_bytes / 4) / 16 * 16;
  const int blocks = queue.properties.multiprocessors * 8;
  const auto data = allocate_lasting(queue, bytes), sums = allocate_lasting(queue, int64_t{4} * blocks);
  cuda_check(cudaMemsetAsync(data.get(), 1, static_cast<size_t>(bytes), queue.stream), "cudaMemset");
  cudaEvent_t begin, end;
  cuda_check(cudaEventCreate(&begin), "cudaEventCreate");
  cuda_check(cudaEventCreate(&end), "cudaEventCreate");
  float best = 1e30f;
  for (int pass = 0; pass < 6; pass++) {
    cudaEventRecord(begin, queue.stream);
    launch(queue, "read_bandwidth", read_stream, {dim3(static_cast<unsigned>(blocks)), dim3(256)}, {},
           static_cast<const uint4*>(data.get()), bytes / 16, static_cast<uint32_t*>(sums.get()));
    cudaEventRecord(end, queue.stream);
    queue.synchronize();
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    best = std::min(best, milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return static_cast<double>(bytes) / (static_cast<double>(best) * 1e-3);
}

}  // namespace infernum
