#include "backends/cuda/event.h"

#include <cuda_runtime_api.h>

#include "backends/cuda/error.h"

namespace infernum {

CudaEvent::CudaEvent() { cuda_check(cudaEventCreate(&event_), "cudaEventCreate"); }

CudaEvent::~CudaEvent() {
  if (event_) cudaEventDestroy(event_);
}

void CudaEvent::record(Queue<Cuda>& queue) { cuda_check(cudaEventRecord(event_, queue.stream), "cudaEventRecord"); }

double CudaEvent::seconds_since(const CudaEvent& earlier) const {
  float milliseconds = 0;
  cuda_check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace infernum
