#include "backends/cuda/allocate.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <string>

#include "backends/cuda/error.h"

namespace infernum {
namespace {

/// While it lives, this thread may call what does not belong into a recording that it makes.
class BesideRecording {
 public:
  BesideRecording() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~BesideRecording() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  BesideRecording(const BesideRecording&) = delete;
  BesideRecording& operator=(const BesideRecording&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace

void* allocate_on_device(int64_t bytes) {
  const BesideRecording guard;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (error != cudaErrorMemoryAllocation) {
    cuda_check(error, "cudaMalloc");
    return memory;
  }
  cudaGetLastError();
  int ordinal = 0;
  size_t unused = 0, total = 0;
  cudaDeviceProp properties{};
  cuda_check(cudaGetDevice(&ordinal), "cudaGetDevice");
  cuda_check(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
  cuda_check(cudaMemGetInfo(&unused, &total), "cudaMemGetInfo");
  throw OutOfMemory("on the device " + std::string(properties.name), bytes, static_cast<int64_t>(unused), static_cast<int64_t>(total));
}

}  // namespace infernum
