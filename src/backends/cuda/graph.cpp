#include "backends/cuda/graph.h"

#include <cuda_runtime_api.h>

#include "backends/cuda/error.h"

namespace infernum {

CudaGraph::~CudaGraph() {
  if (graph_) cudaGraphExecDestroy(graph_);
}

void CudaGraph::record(Queue<Cuda>& queue, const std::function<void()>& submit) {
  cuda_check(cudaStreamBeginCapture(queue.stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t recorded = nullptr;
  try {
    submit();
  } catch (...) {
    cudaStreamEndCapture(queue.stream, &recorded);
    if (recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();
    throw;
  }
  cuda_check(cudaStreamEndCapture(queue.stream, &recorded), "cudaStreamEndCapture");
  const cudaError_t error = cudaGraphInstantiate(&graph_, recorded, 0);
  cudaGraphDestroy(recorded);
  cuda_check(error, "cudaGraphInstantiate");
}

void CudaGraph::launch(Queue<Cuda>& queue) const { cuda_check(cudaGraphLaunch(graph_, queue.stream), "cudaGraphLaunch"); }

}  // namespace infernum
