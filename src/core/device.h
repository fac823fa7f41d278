// Device: one rank's place of execution, and the switches that hold for all work on it.
#pragma once
#include <chrono>
#include <functional>
#include <string_view>

#include "core/view.h"

namespace infernum {

/// Blocks that have a fused kernel: ignore it, use it, or run both forms and compare.
enum class Fusion { Off, On, Check };

/// When an op ran, by the host's clock.
struct OpTime {
  std::string_view op;
  std::chrono::steady_clock::time_point start;
  double seconds = 0;
  int gpu = -1;  ///< the device's number; -1: the processor of the host
};
using OpTimer = std::function<void(const OpTime&)>;

template <class B>
struct Device {
  Queue<B>* queue = nullptr;
  int rank = 0;
  int ranks = 1;
  Fusion fusion = Fusion::On;
  DType dtype = DType::F32;                                              ///< of activations
  DType cache_dtype = DType::F32;                                        ///< of keys and values in the cache
  std::function<void(std::string_view name, const View<B>&)> observer;   ///< sees what a model passes to observe()
  std::function<void(std::string_view op, const View<B>&)> op_observer;  ///< sees the first output of every op
  OpTimer op_timer;                                                      ///< told when every op ran; on a GPU once the step is done
};

}  // namespace infernum
