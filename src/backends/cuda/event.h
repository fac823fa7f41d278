// CudaEvent: a mark in the order of a stream that knows when the device passed it.
#pragma once
#include "backends/cuda/queue.h"

struct CUevent_st;

namespace infernum {

class CudaEvent {
 public:
  CudaEvent();
  ~CudaEvent();
  CudaEvent(CudaEvent&& other) noexcept : event_(other.event_) { other.event_ = nullptr; }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  /// Behind what the queue was given so far.
  void record(Queue<Cuda>& queue);
  /// From `earlier` to here. The device must have passed both.
  double seconds_since(const CudaEvent& earlier) const;

 private:
  CUevent_st* event_ = nullptr;
};

}  // namespace infernum
