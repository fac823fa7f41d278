// cuda_check(): CUDA's return codes as Errors that name the call. A sticky code means that the device is lost to this process.
#pragma once
#include <string_view>

#include "core/check.h"

namespace infernum {

/// A CUDA call failed in a way that no later call on this device can survive, for example an illegal address.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

/// `code` is a cudaError_t. Throws Error, or DeviceLost where the error is sticky, unless the call succeeded.
void cuda_check(int code, std::string_view call, Where where = "cuda");

}  // namespace infernum
