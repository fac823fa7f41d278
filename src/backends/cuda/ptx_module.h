// PtxModule: kernels that come as PTX or as a cubin, from Triton's ahead-of-time compiler for example, and are loaded while the program
// runs. Free of CUDA's headers, like the queue, and links no driver: that is loaded with the first module.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

#include "backends/cuda/queue.h"

namespace infernum {

/// How a kernel is launched. Who compiled it knows: of Triton's, threads are 32 * num_warps and shared_bytes is `shared` of its metadata.
struct PtxGrid {
  int64_t blocks[3] = {1, 1, 1};
  int64_t threads[3] = {1, 1, 1};
  int64_t shared_bytes = 0;  ///< dynamic shared memory
};

/// Code on one device: that of the queue whose module() made it and keeps it, or, for code that is in no file, the one that is current.
class PtxModule {
 public:
  /// `code` is PTX, which the driver compiles for the device, or a cubin or fatbin with code for it; `name` stands in messages. Throws
  /// Error with what the driver's assembler says. The code is trusted like the program itself: it runs, and nobody checks what it does.
  PtxModule(std::string name, const std::string& code);
  static PtxModule from_file(const std::string& file);
  ~PtxModule();
  PtxModule(PtxModule&&) noexcept;
  PtxModule& operator=(PtxModule&&) noexcept;

  /// Submits a kernel to the queue, or nothing where the grid is empty. The arguments are those that the kernel declares, in their order:
  /// pointers to device memory and numbers. Throws Error unless there is such a kernel and, where the driver can tell (CUDA 12.4), their
  /// number and sizes are its own.
  template <class... A>
  void launch(Queue<Cuda>& queue, const std::string& kernel, const PtxGrid& grid, const A&... arguments) {
    static_assert(((std::is_pointer_v<A> || std::is_arithmetic_v<A>)&&...), "kernels take pointers and numbers");
    const void* const values[] = {&arguments..., nullptr};
    const size_t bytes[] = {sizeof(A)..., 0};
    submit(queue, kernel, grid, values, {bytes, sizeof...(A)});
  }

 private:
  struct State;
  /// Values and sizes of the arguments.
  void submit(Queue<Cuda>& queue, const std::string& kernel, const PtxGrid& grid, const void* const* values, std::span<const size_t> bytes);

  std::unique_ptr<State> state_;
};

}  // namespace infernum
