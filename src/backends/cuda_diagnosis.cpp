#include "backends/cuda_diagnosis.h"

#include <algorithm>
#include <charconv>

#include "core/device_error.h"

namespace infernum {
namespace {

/// Whether one entry of the list runs there. What is not a number, as "native" or "all", was chosen by who built it.
bool runs_on(std::string_view entry, int major, int minor) {
  int number = 0;
  const auto [rest, error] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
  if (error != std::errc()) return !entry.empty();
  const std::string_view kind(rest, static_cast<size_t>(entry.data() + entry.size() - rest));
  const int device = major * 10 + minor;
  if (!kind.empty() && kind.front() != '-') return kind.front() == 'f' ? number / 10 == major && number <= device : number == device;
  const bool machine_code = kind != "-virtual" && number / 10 == major && number <= device;
  const bool translated = kind != "-real" && number <= device;
  return machine_code || translated;
}

}  // namespace

bool cuda_sticky(int code) {
  switch (static_cast<CudaCode>(code)) {
    case CudaCode::DevicesUnavailable:
    case CudaCode::EccUncorrectable:
    case CudaCode::NvlinkUncorrectable:
    case CudaCode::Contained:
    case CudaCode::IllegalAddress:
    case CudaCode::LaunchTimeout:
    case CudaCode::ContextIsDestroyed:
    case CudaCode::Assert:
    case CudaCode::HardwareStackError:
    case CudaCode::IllegalInstruction:
    case CudaCode::MisalignedAddress:
    case CudaCode::InvalidAddressSpace:
    case CudaCode::InvalidPc:
    case CudaCode::LaunchFailure:
    case CudaCode::TensorMemoryLeak:
    case CudaCode::MpsClientTerminated:
    case CudaCode::ExternalDevice: return true;
    default: return false;
  }
}

std::string cuda_version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

std::string cuda_advice(int code, int driver, int built_with) {
  switch (static_cast<CudaCode>(code)) {
    case CudaCode::InsufficientDriver:
    case CudaCode::CallRequiresNewerDriver:
      // Drivers run programs of every minor version of the major one they support.
      return "the NVIDIA driver supports CUDA up to " + cuda_version(driver) + ", this program needs one for CUDA " +
             cuda_version(built_with / 1000 * 1000) + " or newer: update the driver, or run on the CPU with --device cpu";
    case CudaCode::UnsupportedPtxVersion:
      return "the NVIDIA driver, which supports CUDA up to " + cuda_version(driver) + ", cannot translate code of CUDA " +
             cuda_version(built_with) + " for this device: update the driver, or build with -DINFERNUM_CUDA_ARCHITECTURES set to the " +
             "compute capability of this device, such as 89-real";
    case CudaCode::NoDevice:
      return "there is an NVIDIA driver, but no GPU that this process may use: nvidia-smi lists them, CUDA_VISIBLE_DEVICES hides them; "
             "--device cpu runs without";
    case CudaCode::InvalidDevice: return "devices are numbered from 0, and nvidia-smi lists them";
    case CudaCode::NoKernelImageForDevice:
    case CudaCode::InvalidDeviceFunction:
    case CudaCode::InvalidKernelImage:
      return "this program was compiled for other devices: build it with -DINFERNUM_CUDA_ARCHITECTURES set to the compute capability of "
             "this "
             "one, such as 89-real";
    case CudaCode::SystemNotReady: return "a service of NVIDIA's is not running yet; on machines with NVSwitch that is the fabric manager";
    case CudaCode::SystemDriverMismatch: return "the parts of the NVIDIA driver are of different versions: a restart of the machine helps";
    case CudaCode::DevicesUnavailable: return "another process may have the device to itself: nvidia-smi shows its compute mode";
    default: return {};
  }
}

bool cuda_built_for(std::string_view architectures, int major, int minor) {
  while (!architectures.empty()) {
    const size_t end = std::min(architectures.find(','), architectures.size());
    if (runs_on(architectures.substr(0, end), major, minor)) return true;
    architectures.remove_prefix(std::min(end + 1, architectures.size()));
  }
  return false;
}

int64_t cuda_memory_left(std::string_view device, int64_t total, int64_t unused, double utilization) {
  const auto share = static_cast<int64_t>(static_cast<double>(total) * utilization);
  const int64_t taken = total - unused;
  if (taken < share) return share - taken;
  throw OutOfMemory("no memory is left for the key-value cache on the device " + std::string(device) + ": " + mebibytes(taken) + " of " +
                    mebibytes(total) + " are taken, by the weights and by other programs, and --gpu-memory-utilization " +
                    describe(utilization) + " lets us have " + mebibytes(share) +
                    "; raise it, end other programs, or take a smaller model or a format of fewer bits (infernum quantize)");
}

}  // namespace infernum
