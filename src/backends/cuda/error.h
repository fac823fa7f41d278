// cuda_check(): CUDA's return codes as Errors that name the call. A sticky code means that the device is lost to this process.
#pragma once
#include <string_view>

#include "core/check.h"
#include "core/device_error.h"

namespace infernum {

/// `code` is a cudaError_t. Unless the call succeeded, throws Error; where memory was short OutOfMemory, where the error is sticky
/// DeviceLost.
void cuda_check(int code, std::string_view call, Where where = "cuda");

}  // namespace infernum
