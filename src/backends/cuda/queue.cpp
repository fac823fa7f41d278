#include "backends/cuda/queue.h"

#include <cuda_runtime_api.h>

#include "backends/cuda/blas_lt.h"
#include "backends/cuda/error.h"
#include "backends/cuda/ptx_module.h"
#include "backends/cuda/transfer.h"

namespace infernum {
namespace {

MemorySource device_memory() {
  return {[](size_t bytes) -> void* {
            void* memory = nullptr;
            if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
            cudaGetLastError();
            return nullptr;
          },
          [](void* memory) { cudaFree(memory); }};
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
  check(p.major >= 8, "cuda: a device of compute capability 8.0 or newer is needed", p.name,
        std::to_string(p.major) + "." + std::to_string(p.minor));
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

PtxModule& Queue<Cuda>::module(const std::string& file) {
  std::unique_ptr<PtxModule>& module = modules_[file];
  if (!module) {
    bind();
    module = std::make_unique<PtxModule>(PtxModule::from_file(file));
  }
  return *module;
}

}  // namespace infernum
