// CudaGraph: work recorded from a stream once and submitted again as a whole, which costs one launch instead of hundreds.
#pragma once
#include <functional>

#include "backends/cuda/queue.h"

struct CUgraphExec_st;

namespace infernum {

class CudaGraph {
 public:
  CudaGraph() = default;
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  bool recorded() const { return graph_ != nullptr; }
  /// Records what `submit` sends to the queue, without running it. `submit` must have run before, so that the queue's pool holds all the
  /// memory it needs: the addresses become part of the graph, and the pool never gives memory back while the queue lives.
  void record(Queue<Cuda>& queue, const std::function<void()>& submit);
  void launch(Queue<Cuda>& queue) const;

 private:
  CUgraphExec_st* graph_ = nullptr;
};

}  // namespace infernum
