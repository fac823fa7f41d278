// What CUDA's codes and a machine's numbers mean to the user: found and needed versions, and what to change. Without CUDA itself, so that
// it is tested everywhere.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace infernum {

/// Of cudaError_t, whose values are part of CUDA's ABI, what is told apart here. Older toolkits lack some of the names.
enum class CudaCode : int {
  MemoryAllocation = 2,
  InsufficientDriver = 35,
  CallRequiresNewerDriver = 36,
  DevicesUnavailable = 46,
  InvalidDeviceFunction = 98,
  NoDevice = 100,
  InvalidDevice = 101,
  InvalidKernelImage = 200,
  NoKernelImageForDevice = 209,
  EccUncorrectable = 214,
  NvlinkUncorrectable = 220,
  UnsupportedPtxVersion = 222,
  Contained = 226,
  IllegalAddress = 700,
  LaunchTimeout = 702,
  ContextIsDestroyed = 709,
  Assert = 710,
  HardwareStackError = 714,
  IllegalInstruction = 715,
  MisalignedAddress = 716,
  InvalidAddressSpace = 717,
  InvalidPc = 718,
  LaunchFailure = 719,
  TensorMemoryLeak = 721,
  SystemNotReady = 802,
  SystemDriverMismatch = 803,
  MpsClientTerminated = 810,
  ExternalDevice = 911,
};

/// Whether no later call of this process on the device can succeed.
bool cuda_sticky(int code);

/// "12.4" of 12040, as CUDA counts versions.
std::string cuda_version(int number);

/// What to do about a failure; empty where CUDA's own words have to do. `driver` is the newest CUDA that the driver supports, `built_with`
/// the one of this program.
std::string cuda_advice(int code, int driver, int built_with);

/// Whether code for `architectures`, a list as CMake takes it but with commas, runs on this compute capability: machine code ("90-real") on
/// its own and newer ones of the same major version, what the driver translates ("80-virtual") on all from its own on, "80" is both. A
/// letter behind the number ties it to just that capability.
bool cuda_built_for(std::string_view architectures, int major, int minor);

/// What remains of the share `utilization` of a device's memory; throws OutOfMemory that names the numbers where nothing does.
int64_t cuda_memory_left(std::string_view device, int64_t total, int64_t unused, double utilization);

}  // namespace infernum
