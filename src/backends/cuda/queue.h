// Queue<Cuda>: one device, the stream that all work of a rank goes to, and memory whose reuse is ordered by that stream. Free of CUDA's
// headers, so that models compile without them.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "backends/cuda/placed_weights.h"
#include "backends/memory_pool.h"
#include "core/shape.h"
#include "core/view.h"

struct CUstream_st;

namespace infernum {

class BlasLt;
class OpClock;
class PtxModule;

/// What kernels size their grids by; read from the device.
struct CudaProperties {
  std::string name;
  int ordinal = 0;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64_t shared_bytes_per_block = 0;  ///< with opt-in
  int64_t memory_bytes = 0;
  double bandwidth = 0;  ///< bytes per second by the data sheet; 0: the driver does not tell
};

/// Devices that CUDA offers; 0 without a driver.
int cuda_device_count();
/// Throws Error that says what is missing: no driver, no device of this number, or one too old for the kernels of this build.
CudaProperties cuda_properties(int ordinal);

template <>
struct Queue<Cuda> {
  explicit Queue(int ordinal = 0);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /// Makes the device current for the calling thread: kernels and copies of this queue need that.
  void bind() const;
  /// Waits until all submitted work is done; throws what went wrong in it.
  void synchronize();
  /// At least `bytes` of device memory for the kernel that is submitted next; contents undefined.
  void* scratch(int64_t bytes);
  /// At least `bytes` of host memory that the device copies to and from without a stop in between; for one copy at a time.
  void* pinned(int64_t bytes);
  BlasLt& blas();
  OpClock& op_clock();
  /// Around the submission of an op whose time op_clock() is to tell. `name` outlives the step.
  void begin_op(std::string_view name);
  void end_op();
  /// The kernels in a file of PTX or a cubin (ptx_module.h), loaded when first asked for and kept as long as the queue.
  PtxModule& module(const std::string& file);

  const CudaProperties properties;
  CUstream_st* stream = nullptr;
  MemoryPool memory;  ///< a buffer let go may be handed out at once: whoever gets it works later on the same stream
  PlacedWeights placed;

 private:
  std::shared_ptr<void> scratch_, pinned_;
  int64_t scratch_bytes_ = 0, pinned_bytes_ = 0;
  std::unique_ptr<BlasLt> blas_;
  std::unique_ptr<OpClock> op_clock_;
  std::map<std::string, std::unique_ptr<PtxModule>> modules_;
};

inline std::shared_ptr<void> allocate(Queue<Cuda>& queue, const Shape& shape, DType dtype) {
  return queue.memory.allocate(bytes_of(dtype, shape.elements()));
}

}  // namespace infernum
