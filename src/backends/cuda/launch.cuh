// launch(): submits a kernel to a queue and names kernel, grid and tensors when CUDA refuses it.
#pragma once
#include <cuda_runtime.h>

#include <string>
#include <string_view>

#include "backends/cuda/error.h"
#include "backends/cuda/queue.h"

namespace infernum {

struct Grid {
  dim3 blocks;
  dim3 threads;
  size_t shared = 0;  ///< dynamic shared memory in bytes; more than 48 KiB is asked for
  /// May begin while the kernel before it on the stream still runs: it reads weights at most before wait_for_predecessor() (device.cuh),
  /// and writes nothing.
  bool early = false;
};

inline std::string describe(const View<Cuda>& v) {
  std::string text{info(v.dtype).name};
  for (int i = 0; i < v.rank; i++) text += (i ? "x" : "(") + std::to_string(v.size[i]);
  return text + ")";
}

/// Whether this build has code for compute capability 9.0. What is made for older devices runs there too, but does not wait.
inline constexpr bool made_for_hopper = [] {
  for (const int architecture : {__CUDA_ARCH_LIST__})
    if (architecture == 900) return true;
  return false;
}();

/// `op` is the tag's name; `shown` the views that an error message lists.
template <class... P, class... A>
void launch(Queue<Cuda>& q, std::string_view op, void (*function)(P...), const Grid& grid, std::initializer_list<const View<Cuda>*> shown,
            A&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;  // an empty tensor
  if (grid.shared > 48 << 10)
    cuda_check(cudaFuncSetAttribute(reinterpret_cast<const void*>(function), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(grid.shared)),
               op);
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{grid.blocks, grid.threads, grid.shared, q.stream, &early, 0};
  if (made_for_hopper && grid.early && q.properties.major == 9 && q.properties.minor == 0) config.numAttrs = 1;
  const cudaError_t error = cudaLaunchKernelEx(&config, function, static_cast<P>(arguments)...);
  if (error == cudaSuccess) [[likely]]
    return;
  std::string text = std::string(op) + " with " + std::to_string(grid.blocks.x) + "x" + std::to_string(grid.blocks.y) + "x" +
                     std::to_string(grid.blocks.z) + " blocks of " + std::to_string(grid.threads.x * grid.threads.y * grid.threads.z) +
                     " threads and " + std::to_string(grid.shared) + " bytes";
  for (const View<Cuda>* v : shown) text += " " + describe(*v);
  cuda_check(error, text, "cuda: launch failed");
}

}  // namespace infernum
