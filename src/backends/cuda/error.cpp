#include "backends/cuda/error.h"

#include <cuda_runtime_api.h>

#include "backends/cuda_diagnosis.h"

namespace infernum {
namespace {

static_assert(static_cast<int>(CudaCode::MemoryAllocation) == cudaErrorMemoryAllocation);
static_assert(static_cast<int>(CudaCode::InsufficientDriver) == cudaErrorInsufficientDriver);
static_assert(static_cast<int>(CudaCode::NoDevice) == cudaErrorNoDevice);
static_assert(static_cast<int>(CudaCode::NoKernelImageForDevice) == cudaErrorNoKernelImageForDevice);
static_assert(static_cast<int>(CudaCode::UnsupportedPtxVersion) == cudaErrorUnsupportedPtxVersion);
static_assert(static_cast<int>(CudaCode::IllegalAddress) == cudaErrorIllegalAddress);
static_assert(static_cast<int>(CudaCode::LaunchFailure) == cudaErrorLaunchFailure);
static_assert(static_cast<int>(CudaCode::SystemDriverMismatch) == cudaErrorSystemDriverMismatch);

}  // namespace

void cuda_check(int code, std::string_view call, Where where) {
  const auto error = static_cast<cudaError_t>(code);
  if (error == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // so that the next launch is not blamed for it
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(std::string(where.rule) + ": not enough memory for " + std::string(call));
  int driver = 0, built_with = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&built_with);
  const std::string reason = std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ")";
  const std::string advice = cuda_advice(code, driver, built_with);
  const std::string text = " " + std::string(call) + ": " + reason + (advice.empty() ? "" : "; " + advice);
  if (!cuda_sticky(code)) fail_with(where, text);
  try {
    fail_with(where, text);
  } catch (const Error& e) {
    throw DeviceLost(e.what(), reason);
  }
}

}  // namespace infernum
