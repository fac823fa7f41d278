#include "backends/cuda/queue.h"

#include <cuda_runtime_api.h>

#include "backends/cuda/allocate.h"
#include "backends/cuda/blas_lt.h"
#include "backends/cuda/error.h"
#include "backends/cuda/op_clock.h"
#include "backends/cuda/ptx_module.h"
#include "backends/cuda/transfer.h"
#include "backends/cuda_diagnosis.h"

namespace infernum {
namespace {

MemorySource device_memory() {
  return {[](size_t bytes) { return allocate_on_device(static_cast<int64_t>(bytes)); }, [](void* memory) { cudaFree(memory); }};
}

}  // namespace

int cuda_device_count() {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) cudaGetLastError(), n = 0;
  return n;
}

CudaProperties cuda_properties(int ordinal) {
  int driver = 0, count = 0;
  check(cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0,
        "cuda: no NVIDIA driver on this machine; run on the CPU with --device cpu");
  cuda_check(cudaGetDeviceCount(&count), "cudaGetDeviceCount", "cuda: no usable device");
  check(ordinal >= 0 && ordinal < count, "cuda: no device of this number; devices are numbered from 0", ordinal, "devices", count);
  cudaDeviceProp p{};
  cuda_check(cudaGetDeviceProperties(&p, ordinal), "cudaGetDeviceProperties");
  const std::string capability = std::to_string(p.major) + "." + std::to_string(p.minor);
  check(p.major >= 8, "cuda: a device of compute capability 8.0 or newer is needed", p.name, capability);
  check(
      cuda_built_for(INFERNUM_CUDA_ARCHITECTURES, p.major, p.minor),
      "cuda: this program has no kernels for this device; build it with -DINFERNUM_CUDA_ARCHITECTURES set to its compute capability, such "
      "as 89-real",
      p.name, "compute capability", capability, "compiled for", INFERNUM_CUDA_ARCHITECTURES);
  int kilohertz = 0, bits = 0;
  cudaDeviceGetAttribute(&kilohertz, cudaDevAttrMemoryClockRate, ordinal);
  cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, ordinal);
  return {p.name,
          ordinal,
          p.major,
          p.minor,
          p.multiProcessorCount,
          static_cast<int64_t>(p.sharedMemPerBlockOptin),
          static_cast<int64_t>(p.totalGlobalMem),
          2. * kilohertz * 1e3 * bits / 8};
}

Queue<Cuda>::Queue(int ordinal) : properties(cuda_properties(ordinal)), memory(device_memory()) {
  bind();
  cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
}

Queue<Cuda>::~Queue() {
  cudaSetDevice(properties.ordinal);
  cudaStreamSynchronize(stream);
  blas_.reset();
  op_clock_.reset();
  modules_.clear();
  cudaStreamDestroy(stream);
}

void Queue<Cuda>::bind() const { cuda_check(cudaSetDevice(properties.ordinal), "cudaSetDevice"); }

void Queue<Cuda>::synchronize() { cuda_check(cudaStreamSynchronize(stream), "cudaStreamSynchronize", "cuda: work on the device failed"); }

void* Queue<Cuda>::scratch(int64_t bytes) {
  if (bytes > scratch_bytes_) {
    scratch_.reset();
    scratch_ = memory.allocate(bytes);
    scratch_bytes_ = bytes;
  }
  return scratch_.get();
}

void* Queue<Cuda>::pinned(int64_t bytes) {
  if (bytes > pinned_bytes_) {
    pinned_ = allocate_pinned(*this, bytes);
    pinned_bytes_ = bytes;
  }
  return pinned_.get();
}

BlasLt& Queue<Cuda>::blas() {
  if (!blas_) blas_ = std::make_unique<BlasLt>();
  return *blas_;
}

OpClock& Queue<Cuda>::op_clock() {
  if (!op_clock_) op_clock_ = std::make_unique<OpClock>();
  return *op_clock_;
}

void Queue<Cuda>::begin_op(std::string_view name) { op_clock().begin(*this, name); }
void Queue<Cuda>::end_op() { op_clock().end(*this); }

PtxModule& Queue<Cuda>::module(const std::string& file) {
  std::unique_ptr<PtxModule>& module = modules_[file];
  if (!module) {
    bind();
    module = std::make_unique<PtxModule>(PtxModule::from_file(file));
  }
  return *module;
}

}  // namespace infernum
