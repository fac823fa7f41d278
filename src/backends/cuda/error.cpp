#include "backends/cuda/error.h"

#include <cuda_runtime_api.h>

namespace infernum {
namespace {

bool sticky(cudaError_t code) {
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorLaunchFailure:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable: return true;
    default: return false;
  }
}

}  // namespace

void cuda_check(int code, std::string_view call, Where where) {
  const auto error = static_cast<cudaError_t>(code);
  if (error == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // so that the next launch is not blamed for it
  const std::string text = " " + std::string(call) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  if (!sticky(error)) fail_with(where, text);
  try {
    fail_with(where, text);
  } catch (const Error& e) {
    throw DeviceLost(e.what());
  }
}

}  // namespace infernum
